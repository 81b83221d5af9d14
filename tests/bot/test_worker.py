"""The worker in this process, with a tiny real pipeline: from a queued row to pictures, and what may go wrong."""

import asyncio
import io
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.executor_thread import ExecutorThread
from limner.bot.worker.process import open_scoring
from limner.bot.worker.worker import WARM_UP, Worker
from limner.generators.base import Event, Expansion
from limner.generators.errors import DeviceLost
from limner.generators.executor import Executor
from tests.discord_records import until
from tests.rows import asked, new_job
from tests.tiny_models import build_tiny_pipeline

ADDED = "soft morning light"


class AddingExpander:
    """Adds the same words to every idea; a test can hold it up or let it fail."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.free = asyncio.Event()
        self.free.set()
        self.error: Exception | None = None

    async def expand(
        self, idea: str, *, locale: str, seed: int, max_words: int, english_only: bool = False, dialect: str = ""
    ) -> Expansion:
        if idea == WARM_UP:
            return Expansion(text=idea, added="", kept=(), model="test", seconds=0.0)
        self.asked.append({"idea": idea, "locale": locale, "seed": seed, "max_words": max_words})
        if "slow" in idea:
            await self.free.wait()
        if self.error:
            raise self.error
        return Expansion(text=f"{idea}, {ADDED}", added=ADDED, kept=(), model="test", seconds=0.1)

    async def close(self) -> None:
        pass


class WatchedExecutor(Executor):
    """The real executor; remembers who was painted together, and can be held up between two steps."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.cards, device="cpu", max_batch=settings.most_samples)
        self.batches: list[set[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.crashes = 0
        self.losses = 0

    def step(self, reserved: int = 0) -> list[Event]:
        self.gate.wait(20)
        self.batches.append(set(self.in_flight))
        if self.crashes:
            self.crashes -= 1
            raise RuntimeError("the driver has gone away")
        if self.losses:
            self.losses -= 1
            raise DeviceLost
        return super().step(reserved)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path) -> Settings:
    return settings.using(models={"tiny": str(tiny)}, device="cpu", max_steps=10_000, max_attempts=2)


@pytest.fixture
def expander() -> AddingExpander:
    return AddingExpander()


@pytest.fixture
def worker(app: App, expander: AddingExpander) -> Worker:
    return make_worker(app, expander)


def make_worker(app: App, expander: AddingExpander, executor: Executor | None = None) -> Worker:
    painter = ExecutorThread(executor or WatchedExecutor(app.settings), app.settings)
    return Worker(app, painter, expander, ClassifierThread(app.settings), open_scoring(app.settings), "worker-1")


async def ask(app: App, text: str = "a red cat", **options: Any) -> Job:
    usual: dict[str, Any] = {"seed": 7, "steps": 3}
    return await submit.imagine(app, asked(text=text, **usual | options))


async def sql(app: App, statement: str) -> None:
    """What another process does; in a thread, because whoever has the write lock may need the loop to let it go."""

    def execute() -> None:
        with closing(sqlite3.connect(app.settings.data / "limner.db")) as connection, connection:
            connection.execute(statement)

    await asyncio.to_thread(execute)


def files(app: App) -> list[Path]:
    return [path for path in app.images.folder.rglob("*") if path.is_file()]


@asynccontextmanager
async def running(worker: Worker) -> AsyncGenerator[None]:
    """The worker works beside the test; stopped in good order at its end."""
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(task, 15)


async def row(app: App, job: Job, what: Callable[[Job], Any]) -> Job:
    """The job's row as soon as it is like that."""
    async with asyncio.timeout(20):
        while not what(found := await app.jobs.get(job.id)):
            await asyncio.sleep(0.03)
        return found


async def seen(what: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so."""
    async with asyncio.timeout(20):
        while not await what():
            await asyncio.sleep(0.03)


async def test_a_queued_job_becomes_pictures_in_files_and_rows(app: App, worker: Worker) -> None:
    job = await ask(app, count=2)
    await worker.run(burst=True)
    job = await app.jobs.get(job.id)
    assert job.status == JobStatus.SUCCEEDED
    assert job.step == job.steps == 3
    assert job.seconds is not None
    assert job.busy_seconds is not None
    assert 0 < job.busy_seconds <= job.seconds
    assert [image.seed for image in job.images] == [7, 8]
    for image in job.images:
        png = app.images.read(image.sha256)
        assert len(png) == image.size
        picture = Image.open(io.BytesIO(png))
        assert picture.size == (image.width, image.height) == (16, 16)
        told = str(picture.info["parameters"])
        assert told.startswith(f"a red cat, {ADDED}\nSteps: 3, ")
        assert f"Seed: {image.seed}, " in told


async def test_a_picture_that_a_deleted_one_took_along_is_stored_again(
    app: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = app.jobs.finish

    async def finish_late(job: Job, pictures: Sequence[StoredPicture], **effort: Any) -> bool:
        await app.history.drop_files({picture.sha256 for picture in pictures})
        return await finish(job, pictures, **effort)

    monkeypatch.setattr(app.jobs, "finish", finish_late)
    job = await ask(app)
    await worker.run(burst=True)
    [image] = (await app.jobs.get(job.id)).images
    assert files(app) == [app.images.path(image.sha256)]


@pytest.mark.slow
async def test_the_model_is_loaded_while_the_first_prompt_is_made(app: App, expander: AddingExpander) -> None:
    executor = WatchedExecutor(app.settings)
    expander.free.clear()
    job = await ask(app, "a slow red cat")
    async with running(make_worker(app, expander, executor)):
        await until(lambda: bool(executor.loaded))
        assert (await app.jobs.get(job.id)).prompt is None
        expander.free.set()
        await row(app, job, lambda job: job.status == JobStatus.SUCCEEDED)


async def test_the_expansion_is_seeded_kept_and_made_once(
    app: App, worker: Worker, expander: AddingExpander, tmp_path: Path
) -> None:
    app.images.folder.write_text("a file where the folder should be")
    job = await ask(app, locale="zh-CN")
    await worker.run(burst=True)
    card = app.settings.default_card
    asked = {"idea": "a red cat", "locale": "zh-CN", "seed": 7, "max_words": card.max_added_words}
    assert expander.asked == [asked]
    job = await app.jobs.get(job.id)
    assert job.prompt == f"a red cat, {ADDED}"
    assert job.expanded
    assert job.expanded.added == ADDED
    app.images.folder.unlink()
    await sql(app, "UPDATE jobs SET not_before = 0")
    await make_worker(app, expander).run(burst=True)
    assert (await app.jobs.get(job.id)).status == JobStatus.SUCCEEDED
    assert len(expander.asked) == 1


async def test_without_expansion_the_words_are_painted_in_their_style(
    app: App, worker: Worker, expander: AddingExpander
) -> None:
    style = next(iter(app.styles.presets))
    job = await ask(app, expand="off", style=style)
    await worker.run(burst=True)
    job = await app.jobs.get(job.id)
    assert job.status == JobStatus.SUCCEEDED
    assert job.prompt == app.styles.apply(style, "a red cat")
    assert expander.asked == []


async def test_an_expansion_with_forbidden_words_is_refused_unpainted(app: App, worker: Worker) -> None:
    await app.filters.add(0, "morning light", by=1)
    job = await ask(app)
    await worker.run(burst=True)
    job = await app.jobs.get(job.id)
    assert (job.status, job.reason_code) == (JobStatus.REFUSED, "filter:expansion")
    assert job.reason
    assert "morning" not in job.reason
    assert job.images == []
    assert files(app) == []


async def test_a_preview_waits_for_its_owner_and_then_paints_what_was_chosen(
    app: App, worker: Worker, expander: AddingExpander
) -> None:
    job = await ask(app, expand="preview")
    await worker.run(burst=True)
    job = await app.jobs.get(job.id)
    assert (job.status, job.attempts, job.images) == (JobStatus.QUEUED, 0, [])
    assert job.held_at
    assert job.expanded
    await app.jobs.release_held(job.id, job.expanded, "a blue cat")
    await make_worker(app, expander).run(burst=True)
    job = await app.jobs.get(job.id)
    assert (job.status, job.prompt) == (JobStatus.SUCCEEDED, "a blue cat")
    assert len(expander.asked) == 1


async def test_another_expansion_comes_from_another_seed_and_replaces_the_one_before(
    app: App, worker: Worker, expander: AddingExpander
) -> None:
    job = await ask(app, expand="preview", seed=5)
    await worker.run(burst=True)
    job = await app.jobs.get(job.id)
    assert await app.jobs.expand_again(job)
    assert not await app.jobs.expand_again(job)
    waiting = await app.jobs.get(job.id)
    assert (waiting.held_at, waiting.prompt, waiting.expansion) == (None, None, None)
    await make_worker(app, expander).run(burst=True)
    job = await app.jobs.get(job.id)
    assert [asked["seed"] for asked in expander.asked] == [5, 6]
    assert (job.status, job.attempts, job.more_expansions, job.images) == (JobStatus.QUEUED, 0, 1, [])
    assert job.held_at
    assert job.request["seed"] == 5


async def test_a_cancel_takes_effect_within_a_step_and_touches_no_neighbour(app: App, expander: AddingExpander) -> None:
    executor = WatchedExecutor(app.settings)
    async with running(make_worker(app, expander, executor)):
        before = await row(app, await ask(app, steps=20, user_id=1), lambda job: job.is_final)
        stopped = await ask(app, steps=5000, user_id=1)
        await row(app, stopped, lambda job: job.step > 0)
        executor.gate.clear()
        neighbours = [await ask(app, steps=20, user_id=user) for user in (2, 3)]
        executor.gate.set()
        together = {str(job.id) for job in (stopped, *neighbours)}
        await until(lambda: together in executor.batches)
        await app.jobs.cancel(stopped.id, "You stopped it.")
        seen = len(executor.batches)
        ended = await row(app, stopped, lambda job: job.is_final)
        assert (ended.status, ended.reason) == (JobStatus.CANCELLED, "You stopped it.")
        after = [await row(app, job, lambda job: job.is_final) for job in neighbours]
        assert sum(str(stopped.id) in keys for keys in executor.batches[seen:]) <= 1
    for job in after:
        assert job.step == 20
        difference = ImageChops.difference(pixels(app, job), pixels(app, before))
        assert max(difference.tobytes()) <= 2


def pixels(app: App, job: Job) -> Image.Image:
    [image] = job.images
    return Image.open(io.BytesIO(app.images.read(image.sha256)))


async def test_a_cancel_while_expanding_or_storing_ends_the_job_too(app: App, expander: AddingExpander) -> None:
    expander.free.clear()
    async with running(make_worker(app, expander)):
        job = await ask(app, "a slow cat")
        await until(lambda: expander.asked)
        await app.jobs.cancel(job.id, "")
        await row(app, job, lambda job: job.status == JobStatus.CANCELLED)
    await sql(app, "UPDATE jobs SET status = 'queued', worker_id = NULL, cancel_requested = 1, finished_at = NULL")
    expander.free.set()
    await make_worker(app, expander).run(burst=True)
    assert (await app.jobs.get(job.id)).status == JobStatus.CANCELLED
    assert list(app.images.folder.glob("*/*")) == []


async def test_newcomers_join_and_an_expansion_holds_nobody_up(app: App, expander: AddingExpander) -> None:
    executor = WatchedExecutor(app.settings)
    expander.free.clear()
    async with running(make_worker(app, expander, executor)):
        long = await ask(app, steps=100, user_id=1)
        await row(app, long, lambda job: job.step > 0)
        slow = await ask(app, "a slow cat", user_id=2)
        await until(lambda: len(expander.asked) == 2)
        short = await ask(app, user_id=3)
        await row(app, short, lambda job: job.status == JobStatus.SUCCEEDED)
        assert {str(long.id), str(short.id)} in executor.batches
        assert (await app.jobs.get(slow.id)).status == JobStatus.RUNNING
        expander.free.set()
        await row(app, slow, lambda job: job.status == JobStatus.SUCCEEDED)
        await row(app, long, lambda job: job.status == JobStatus.SUCCEEDED)
    assert not any(str(slow.id) in keys and str(short.id) in keys for keys in executor.batches)


async def test_what_was_tried_before_is_painted_alone(app: App, expander: AddingExpander) -> None:
    executor = WatchedExecutor(app.settings)
    tried = await ask(app, user_id=1)
    await sql(app, "UPDATE jobs SET attempts = 1")
    others = [await ask(app, user_id=user) for user in (2, 3)]
    await make_worker(app, expander, executor).run(burst=True)
    assert [(await app.jobs.get(job.id)).status for job in (tried, *others)] == [JobStatus.SUCCEEDED] * 3
    assert all(keys == {str(tried.id)} for keys in executor.batches if str(tried.id) in keys)
    assert {str(job.id) for job in others} in executor.batches


async def test_a_batch_holds_no_more_samples_than_fit(settings: Settings, expander: AddingExpander) -> None:
    async with open_app(settings.using(max_batch=3)) as app:
        executor = WatchedExecutor(app.settings)
        jobs = [await ask(app, count=2, user_id=user) for user in (1, 2, 3)]
        large = await ask(app, count=4, user_id=4)
        await make_worker(app, expander, executor).run(burst=True)
        assert [(await app.jobs.get(job.id)).status for job in (*jobs, large)] == [JobStatus.SUCCEEDED] * 4
        assert max(map(len, executor.batches)) == 1


@pytest.mark.slow
async def test_after_a_cancelled_job_that_filled_the_batch_others_are_painted(
    app: App, expander: AddingExpander
) -> None:
    async with running(make_worker(app, expander)):
        full = await ask(app, steps=5000, count=app.settings.max_count)
        await row(app, full, lambda job: job.step > 0)
        await app.jobs.cancel(full.id, "")
        await row(app, full, lambda job: job.is_final)
        after = [await ask(app, user_id=user) for user in (1, 2)]
        for job in after:
            assert (await row(app, job, lambda job: job.is_final)).status == JobStatus.SUCCEEDED


async def test_stopping_puts_back_what_is_in_hand(app: App, expander: AddingExpander) -> None:
    expander.free.clear()
    async with running(make_worker(app, expander)):
        painting = await ask(app, steps=10_000, user_id=1)
        await row(app, painting, lambda job: job.step > 0)
        expanding = await ask(app, "a slow cat", user_id=2)
        await until(lambda: len(expander.asked) == 2)
    for job in (painting, expanding):
        job = await app.jobs.get(job.id)
        assert (job.status, job.worker_id, job.attempts) == (JobStatus.QUEUED, None, 0)


@pytest.mark.slow
async def test_steps_are_written_down_a_few_times_a_second_only(
    app: App, expander: AddingExpander, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[dict[int, int]] = []
    record = app.jobs.record_steps

    async def counting(worker_id: str, steps: dict[int, int]) -> None:
        written.append(dict(steps))
        await record(worker_id, steps)

    monkeypatch.setattr(app.jobs, "record_steps", counting)
    executor = WatchedExecutor(app.settings)
    async with running(make_worker(app, expander, executor)):
        loop = asyncio.get_running_loop()
        job = await ask(app, steps=10_000)
        await row(app, job, lambda job: job.step > 0)
        began, first = loop.time(), len(written)
        await until(lambda: loop.time() - began > 1)
        assert 2 <= len(written) - first <= 5
        assert len(executor.batches) > 2 * len(written)


async def test_a_worker_removes_refused_requests_that_are_too_old(app: App, expander: AddingExpander) -> None:
    old, young = [await app.jobs.log_refusal(new_job("a fox", user_id=3), "filter:idea", "No.") for _ in range(2)]
    await sql(app, f"UPDATE jobs SET created_at = created_at - 91 * 86400 WHERE id = {old.id}")
    async with running(make_worker(app, expander)), asyncio.timeout(20):
        while [job.id for job in await app.history.page(3, every_status=True)] != [young.id]:
            await asyncio.sleep(0.01)
