"""The worker and its classifier: every picture is scored, and one that cannot be waits without delaying others."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.moderation import quarantine
from limner.bot.moderation.blocked_images import ListedPicture
from limner.bot.moderation.image_policy import OF_INPUTS
from limner.bot.queue import endings
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker import classifier_thread
from limner.bot.worker import worker as worker_module
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.executor_thread import ExecutorThread
from limner.bot.worker.process import open_scoring
from limner.bot.worker.reports import Reports
from limner.bot.worker.worker import Worker
from limner.generators.base import SafetyScores
from limner.generators.executor import Executor
from limner.generators.language.expanders import NoExpander
from tests.rows import asked
from tests.simulated_discord import png
from tests.tiny_models import build_tiny_pipeline


class Scripted:
    """A test says what they see, and when they see nothing."""

    def __init__(self) -> None:
        self.score = 0.1
        self.blind = False
        self.looks = 0

    @classmethod
    def create(cls, **_: object) -> "Scripted":
        return cls()

    def look(self, image: Image.Image) -> SafetyScores:
        self.looks += 1
        if self.blind:
            raise RuntimeError("it is dark")
        return SafetyScores(self.score, {"explicit": self.score})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for module in (endings, quarantine):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(endings, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(classifier_thread, "PAUSE_SECONDS", 0.05)
    models, image_text_model = {"tiny": str(tiny)}, "there/is-none"
    return settings.using(
        models=models, image_text_model=image_text_model, device="cpu", safety_classifier="default", max_attempts=2
    )


@pytest.fixture
def classifier() -> Scripted:
    return Scripted()


@pytest.fixture
async def worker(app: App, classifier: Scripted) -> AsyncGenerator[Worker]:
    """A worker that works beside the test."""
    painter = ExecutorThread(Executor(app.settings.cards, device="cpu"), app.settings)
    worker = Worker(
        app,
        painter,
        NoExpander(),
        ClassifierThread(app.settings, lambda _: classifier),
        open_scoring(app.settings),
        "worker-1",
    )
    working = asyncio.create_task(worker.run())
    yield worker
    worker.stop()
    await asyncio.wait_for(working, 20)


async def ask(app: App, **options: Any) -> Job:
    return await submit.imagine(app, asked(text="a red cat", seed=7, steps=3, **options))


async def ended(app: App, job: Job, quarantine: str | None) -> Job:
    """The job's row as soon as it is painted or refused, and in this quarantine."""
    async with asyncio.timeout(30):
        while not (found := await app.jobs.get(job.id)).is_final or found.quarantine != quarantine:
            await asyncio.sleep(0.03)
    return found


async def test_every_picture_is_looked_at_before_its_job_is_done(
    app: App, worker: Worker, classifier: Scripted
) -> None:
    job = await ended(app, await ask(app, count=2), None)

    assert [(image.score, image.scores) for image in job.images] == [(0.1, {"explicit": 0.1})] * 2
    assert all(image.phash and image.looked_at and image.classifier == "default" for image in job.images)
    assert classifier.looks == 2


async def test_a_broken_classifier_keeps_pictures_and_a_mended_one_releases_them(
    app: App, worker: Worker, classifier: Scripted
) -> None:
    classifier.blind = True
    job = await ended(app, await ask(app, count=2), HoldReason.UNSEEN)
    other = await ended(app, await ask(app), HoldReason.UNSEEN)  # nobody is held up
    assert job.status == JobStatus.SUCCEEDED
    assert [image.looked_at for image in job.images] == [None, None]

    classifier.blind = False
    for one in (job, other):
        assert (await ended(app, one, None)).images[0].score == 0.1


@pytest.mark.slow
async def test_a_picture_whose_file_is_gone_is_not_waited_for(app: App, worker: Worker, classifier: Scripted) -> None:
    classifier.blind = True
    job = await ended(app, await ask(app), HoldReason.UNSEEN)
    app.images.path(job.images[0].sha256).unlink()

    assert (await ended(app, job, None)).images == []


async def test_the_picture_to_start_from_is_looked_at_once_and_painted_over(
    app: App, worker: Worker, classifier: Scripted
) -> None:
    sha256 = await app.inputs.store(png((64, 48)))
    first = await ended(app, await ask(app, image=sha256, strength=0.7), None)
    second = await ended(app, await ask(app, image=sha256, strength=0.7), None)
    plain = await ended(app, await ask(app), None)

    assert first.status == JobStatus.SUCCEEDED, first.reason
    assert first.images[0].sha256 == second.images[0].sha256 != plain.images[0].sha256
    assert classifier.looks == 4  # at three results, and once at what two of them began with
    assert (await app.inputs.get(sha256)) is not None


@pytest.mark.parametrize("code", [HoldReason.EXPLICIT, HoldReason.BLOCKED])
async def test_one_that_is_not_allowed_is_never_painted_over(
    app: App, worker: Worker, classifier: Scripted, code: HoldReason
) -> None:
    sha256 = await app.inputs.store(png((64, 48)))
    if code == HoldReason.EXPLICIT:
        classifier.score = 0.9
    else:
        await app.blocked.block(0, ListedPicture(classifier_thread.fingerprint(app.images.open(sha256))), 0)
    job = await ended(app, await ask(app, image=sha256), None)

    assert (job.status, job.reason_code, job.reason) == (JobStatus.REFUSED, f"picture:{code}", OF_INPUTS[code])
    assert (job.blocked_by or {}).get("bits") == (0 if code == HoldReason.BLOCKED else None)
    assert job.step == 0
    await app.history.drop_refused(job)
    assert not app.images.path(sha256).exists()
    assert await app.inputs.get(sha256) is None


async def test_one_that_nobody_can_look_at_is_not_painted_over(app: App, worker: Worker, classifier: Scripted) -> None:
    classifier.blind = True
    job = await ended(app, await ask(app, image=await app.inputs.store(png((64, 48)))), None)

    assert (job.status, job.reason_code, job.attempts) == (JobStatus.FAILED, "unclassified", 2)
    assert job.step == 0


async def test_one_that_was_harmless_is_judged_again_when_the_limits_change(
    app: App, worker: Worker, classifier: Scripted
) -> None:
    classifier.score = 0.4
    sha256 = await app.inputs.store(png((64, 48)))
    assert (await ended(app, await ask(app, image=sha256, guild_id=5), None)).status == JobStatus.SUCCEEDED
    await app.guilds.change(5, 1, explicit_limit=0.3)
    job = await ended(app, await ask(app, image=sha256, guild_id=5), None)

    assert (job.status, job.reason_code) == (JobStatus.REFUSED, "picture:explicit")


async def test_a_larger_picture_is_looked_at_like_any_other(app: App, worker: Worker, classifier: Scripted) -> None:
    job = await ended(app, await ask(app), None)
    classifier.score = 0.9
    larger = await ended(app, await submit.upscale(app, job, user_id=0, where=job.where), None)
    assert [(image.width, image.score) for image in (*job.images, *larger.images)] == [(16, 0.1), (32, 0.9)]
    classifier.blind = True
    larger = await ended(app, await submit.upscale(app, larger, user_id=0, where=job.where), HoldReason.UNSEEN)
    assert [image.looked_at for image in larger.images] == [None]


async def test_pictures_that_are_kept_back_are_not_made_larger(app: App, worker: Worker, classifier: Scripted) -> None:
    classifier.blind = True
    job = await ended(app, await ask(app), HoldReason.UNSEEN)
    with pytest.raises(BadOption, match="not posted yet"):
        await submit.upscale(app, job, user_id=0, where=job.where)


async def test_a_picture_is_looked_at_before_it_is_described(app: App, worker: Worker, classifier: Scripted) -> None:
    classifier.score = 0.9
    image = await app.inputs.store(png((64, 48)))
    job = await ended(app, await submit.describe(app, asked(text="", image=image, image_name="a.png")), None)
    assert (job.status, job.reason) == (JobStatus.REFUSED, OF_INPUTS[HoldReason.EXPLICIT])


async def test_a_preview_that_could_not_be_classified_is_not_kept(app: App, classifier: Scripted) -> None:
    reports = Reports(app, ClassifierThread(app.settings, lambda _: classifier), "painter")
    job = await ask(app)
    await app.jobs.claim("painter", capacity=10**6)
    for blind in (True, False):
        classifier.blind = blind
        reports.previewed(job, Image.new("RGB", (32, 32)))
        await reports.write_previews()
        assert (await app.jobs.preview(job.id) is None) == blind
