"""Explain: which words drew what in a picture, and what the added words did, as a request like any other."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.bot import picture_actions, submit
from limner.bot.app import App, open_app
from limner.bot.cli.imagine import shown
from limner.bot.errors import BadOption
from limner.bot.options.notes import sentences
from limner.bot.picture_actions import Asker
from limner.bot.place import OUTSIDE
from limner.bot.reasons import JobKind, JobStatus
from limner.bot.settings.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.executor_thread import ExecutorThread
from limner.bot.worker.process import open_scoring
from limner.bot.worker.word_sheet import draw_maps, numbered
from limner.bot.worker.worker import Worker
from limner.generators.base import Event, Expansion, WordMap
from limner.generators.cards.model_card import ModelCard
from limner.generators.requests import Finish
from tests.bot.test_worker import AddingExpander, WatchedExecutor, ask, make_worker, tiny
from tests.rows import asked, change, new_job, painted

__all__ = ["tiny"]
NOBODY = Asker(0, "en-US", OUTSIDE)
SAME = "The same as request {job}, pixel by pixel."
SIDES = "Left with the added words, right without them, from the same seed."


@pytest.fixture
def settings(settings: Settings, tiny: Path) -> Settings:
    models = {"tiny": str(tiny), **settings.models}
    return settings.using(models=models, device="cpu", image_text_model="pretrained:image-text")


async def paint(app: App, *jobs: Job) -> list[Job]:
    await make_worker(app, AddingExpander()).run(burst=True)
    return [await app.jobs.get(job.id) for job in jobs]


def opened(app: App, job: Job, number: int = 1) -> Image.Image:
    return app.images.open(job.images[number - 1].sha256)


def notes_of(app: App, job: Job) -> list[str]:
    return sentences(job, app.styles)


async def test_it_repeats_the_picture_and_shows_it_without_the_added_words(app: App) -> None:
    """For what two pictures cost; the sheets belong to the picture and are no pictures of their own."""
    job, plain = await paint(app, await ask(app, count=2), await ask(app, seed=8, expand="off"))
    asked_for = await picture_actions.explain(app, job, 2, NOBODY)
    assert (asked_for.samples, asked_for.steps, asked_for.pixels) == (2, 2 * job.steps, job.pixels // 2)
    assert asked_for.weight == job.weight / 2

    [made] = await paint(app, asked_for)

    assert (made.status, made.parent_id, made.parent_picture) == (JobStatus.SUCCEEDED, job.id, 2)
    sheet, beside = opened(app, made, 1), opened(app, made, 2)
    side = opened(app, job).width
    assert sheet.width > sheet.height > 256  # four words beside the picture, in two rows
    assert beside.crop((0, 0, side, side)).tobytes() == opened(app, job, 2).tobytes()
    assert beside.crop((beside.width - side, 0, beside.width, side)).tobytes() == opened(app, plain).tobytes()
    copied = shown(app, made, app.settings.data / "out")
    assert [file.read_bytes() for file in copied] == [app.images.read(image.sha256) for image in made.images]
    found = notes_of(app, made)
    assert SAME.format(job=job.id) in found
    assert SIDES in found
    assert any(note.startswith("Likeness to the idea: ") for note in found)
    assert made.images[0].phash == job.images[1].phash  # what a blocked picture is found by
    assert made.id not in [one.id for one in await app.history.page(None)]
    assert made.id in (await app.history.lineage.family(job, lambda _job: True)).jobs
    assert await app.alike.rows.count_missing() == 0


@pytest.mark.slow
async def test_pictures_made_from_pictures_changed_while_painted_and_finished_are_repeated_too(app: App) -> None:
    start = await app.inputs.store(squares())
    mask = await app.inputs.store(squares("black", "white"))
    [job] = await paint(app, await ask(app, "a (red:1.3) cat", image=start, strength=0.8, steps=6, expand="off"))
    new = submit.read(app, asked(text="a blue cat", seed=3, steps=6, image=start, strength=0.9))
    request = replace(new.request, mask=mask, steering=((2, "dogs"),), stop_after=4, finish=Finish(upscale=2))
    [edited] = await paint(app, await submit.submit(app, replace(new, request=request)))

    both = [await picture_actions.explain(app, one, 1, NOBODY) for one in (job, edited)]
    [without, with_addition] = await paint(app, *both)

    assert [len(one.images) for one in (without, with_addition)] == [1, 2]
    assert "The prompt has no added words to leave out, so there is nothing to compare." in notes_of(app, without)
    for made, repeated in ((without, job), (with_addition, edited)):
        assert SAME.format(job=repeated.id) in notes_of(app, made)


class StumblingExecutor(WatchedExecutor):
    """Fails once, in the second painting of the first explanation."""

    def step(self, reserved: int = 0) -> list[Event]:
        if len(self.batches) == 4:
            self.batches.append(set())
            raise RuntimeError("the driver has gone away")
        return super().step(reserved)


async def test_failed_attempts_begin_anew_and_an_erased_picture_is_not_compared(settings: Settings) -> None:
    """No sheet shows a picture that could not be classified, small or large; the classifier looks at it in full."""
    async with open_app(settings.using(image_text_model="")) as app:
        [job] = await paint(app, await ask(app))
        asked_for = await picture_actions.explain(app, job, 1, NOBODY)
        blind, able = app.settings.using(safety_classifier="missing"), app.settings
        for attempt, (settings, kind) in enumerate(((blind, WatchedExecutor), (able, StumblingExecutor)), 1):
            beside = (ClassifierThread(settings), open_scoring(able))
            worker = Worker(app, ExecutorThread(kind(able), able), AddingExpander(), *beside, "worker-1")
            await worker.run(burst=True)
            waiting = await app.jobs.get(asked_for.id)
            assert (waiting.status, waiting.attempts, len(waiting.images)) == (JobStatus.QUEUED, attempt, 0)
            await change(app.jobs, waiting.id, not_before=0.0)
        await app.history.delete(job.id)
        [made] = await paint(app, asked_for)
        assert (made.status, len(made.images)) == (JobStatus.SUCCEEDED, 2)
        assert notes_of(app, made)[0].startswith("The pictures of request ")


async def test_only_added_words_that_the_prompt_still_has_cost_a_second_picture(app: App) -> None:
    """A rule or a change while it was painted may have taken them out of the prompt."""
    expansion = Expansion("a fox, soft light", added="soft light", kept=(), model="test", seconds=0.1)
    prompts = ("oil painting of a fox, soft light", "a fox in the snow")
    jobs = [await painted(app.jobs, new_job(expansion=expansion, prompt=prompt)) for prompt in prompts]
    both = [await picture_actions.explain(app, job, 1, NOBODY) for job in jobs]
    assert [(one.samples, one.steps, one.weight) for one in both] == [(2, 8, 0.5), (1, 4, 1.0)]


async def test_what_cannot_be_explained_is_refused_at_once(app: App) -> None:
    job = await painted(app.jobs, new_job())
    for kind in (JobKind.FINISH, JobKind.EXPLAIN):
        finished = await painted(app.jobs, new_job(kind=kind, parent_id=job.id))
        with pytest.raises(BadOption, match="was finished, not painted"):
            await picture_actions.explain(app, finished, 1, NOBODY)
    for kind in ("gan", "vae", "openai", "comfy"):
        app.settings.cards["tiny"] = replace(ModelCard.read("tiny", "none", kind=kind), problem="")
        with pytest.raises(BadOption, match="cannot show which of its words drew what"):
            await picture_actions.explain(app, job, 1, NOBODY)
    assert await app.history.count(None, every_status=True) == 3


def test_words_that_the_font_lacks_are_numbered():
    cells = np.linspace(0, 0.2, 64 * 32, dtype=np.float32).reshape(64, 32)
    maps = [WordMap(word, 0, cells) for word in ("cat", "雨夜", "Пёс", "incomprehensibilities" * 3)]
    assert numbered(maps) == {2: "雨夜", 3: "Пёс"}
    sheet = draw_maps(Image.new("RGB", (256, 512), "red"), maps)
    assert sheet.width == 2 * 20 + 4 * (128 + 12) - 12
    assert draw_maps(Image.new("RGB", (64, 64), "red"), []).getpixel((30, 30)) == (255, 0, 0)


def squares(left: str = "red", right: str = "blue") -> bytes:
    """A PNG file of two colours beside each other."""
    image, file = Image.new("RGB", (16, 16), left), io.BytesIO()
    image.paste(right, (8, 0, 16, 16))
    image.save(file, "PNG")
    return file.getvalue()
