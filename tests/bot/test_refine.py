"""Refine: painted, read back, and painted again for what is missing, as one request with the queue's promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.bot import picture_actions, submit
from limner.bot.app import App, open_app
from limner.bot.errors import BadOption
from limner.bot.options.notes import sentences
from limner.bot.picture_actions import Asker
from limner.bot.place import OUTSIDE
from limner.bot.reasons import JobStatus
from limner.bot.settings.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.ui.job import job_messages
from limner.bot.worker.scoring_thread import ScoringThread
from limner.generators.base import Event
from limner.generators.vision.read_back import Reading
from tests.bot.test_worker import AddingExpander, WatchedExecutor, ask, files, make_worker, row, running, tiny
from tests.rows import asked, change, put_restyler

__all__ = ["tiny"]
NOBODY = Asker(0, "en-US", OUTSIDE)
IDEA = "two red cats to the left of a blue dog"


@pytest.fixture
def settings(settings: Settings, tiny: Path) -> Settings:
    return settings.using(
        models={"tiny": str(tiny)},
        device="cpu",
        image_text_model="pretrained:image-text",
        max_attempts=3,
        max_steps=10_000,
    )


async def paint(app: App, job: Job) -> Job:
    await make_worker(app, AddingExpander()).run(burst=True)
    return await app.jobs.get(job.id)


def notes_of(app: App, job: Job) -> list[str]:
    return sentences(job, app.styles)


class StumblingExecutor(WatchedExecutor):
    """Fails once, in the second round."""

    def step(self, reserved: int = 0) -> list[Event]:
        if len(self.batches) == 4:
            self.batches.append(set())
            raise RuntimeError("the driver has gone away")
        return super().step(reserved)


async def test_what_never_passes_keeps_the_best_and_says_what_is_missing(app: App) -> None:
    """It is charged for all rounds, a repeat gives the same picture, and so does another attempt after a failure."""
    asked_for = await ask(app, f"{IDEA} --refine 2", expand="off")
    assert (asked_for.steps, asked_for.samples, asked_for.weight) == (9, 3, pytest.approx(1 / 3))

    worker = make_worker(app, AddingExpander(), StumblingExecutor(app.settings))
    await worker.run(burst=True)
    assert (await app.jobs.get(asked_for.id)).status == JobStatus.QUEUED
    await change(app.jobs, asked_for.id, not_before=0.0)
    job = await paint(app, asked_for)

    assert (job.status, job.attempts, len(job.images)) == (JobStatus.SUCCEEDED, 2, 1)
    assert (job.step, job.steps, job.samples, job.weight) == (9, 9, 3, asked_for.weight)
    first, again, still, *_unread = notes_of(app, job)
    assert first.startswith("Not seen at first: ")
    assert again.startswith("Painted again with more weight on: (")
    assert still.startswith("Still not seen, so the best picture so far is kept (further rounds: 2): ")
    assert still in job_messages.ended(job, app.styles, says_ai=False)
    written = app.images.open(job.images[0].sha256).info["parameters"]
    assert "Seed: 7" in written
    assert "Refine: 2, " in written
    assert f"Refined seed: {job.images[0].seed}" in written

    repeated = await paint(app, await submit.repeat(app, job, where=OUTSIDE))
    assert f"The same as request {job.id}, pixel by pixel." in notes_of(app, repeated)
    with pytest.raises(BadOption, match="were refined in rounds"):
        await picture_actions.explain(app, job, 1, NOBODY)
    assert (await picture_actions.vary(app, job, 1, NOBODY, is_strong=True)).samples == 1


async def test_a_thing_that_is_missing_on_its_side_is_painted_there_alone(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second picture is seen to have the dog; left of it are the first one's very pixels."""
    seen: list[Image.Image] = []

    async def read(_scoring: object, images: Sequence[Image.Image], _idea: str) -> list[Reading]:
        seen.extend(images)
        words = ("two", "red", "left of", "cats", "blue")
        return [Reading(words, ("dog",), 0.5) if len(seen) == 1 else Reading((*words, "dog"), (), 0.6)]

    monkeypatch.setattr(ScoringThread, "read_back", read)
    job = await paint(app, await ask(app, f"{IDEA} --refine 3", expand="off"))
    first, second = (np.asarray(image.convert("RGB"), int) for image in seen)
    middle = first.shape[1] // 2
    assert np.array_equal(first[:, :middle], second[:, :middle])
    assert np.abs(first[:, middle:] - second[:, middle:]).max() > 2
    assert (job.samples, len(job.images)) == (2, 1)
    assert np.array_equal(np.asarray(app.images.open(job.images[0].sha256).convert("RGB")), second)
    assert "Now all of it is seen. Further rounds: 1" in notes_of(app, job)
    assert "Only a part of the best picture was painted again for: dog (right half)" in notes_of(app, job)


async def test_what_cannot_be_read_back_is_painted_and_charged_once(app: App, settings: Settings) -> None:
    job = await paint(app, await ask(app, "hope --refine 4", expand="off", count=2))
    assert (job.steps, job.samples, len(job.images)) == (3, 2, 2)
    assert notes_of(app, job) == ["None of these words can be read back in a picture, so it was painted once."]
    free = await ask(app, "hope", expand="off")
    assert free.turn - job.turn == pytest.approx(1)

    async with open_app(settings.using(image_text_model=str(settings.data / "none"))) as blind:
        job = await paint(blind, await ask(blind, f"{IDEA} --refine 4", expand="off"))
        assert (job.samples, len(job.images)) == (1, 1)
        assert notes_of(blind, job)[0] == "The pictures could not be read back, so the first ones are kept."
    async with open_app(settings.using(image_text_model="", models={"it": put_restyler(settings.data / "it")})) as app:
        with pytest.raises(BadOption, match="no model that reads pictures; leave out the option refine"):
            await submit.imagine(app, asked("a cat --refine 1"))


class PausingExecutor(WatchedExecutor):
    """Waits in the second round, until the test lets it go on."""

    def step(self, reserved: int = 0) -> list[Event]:
        events = super().step(reserved)
        if len(self.batches) == 12:
            self.gate.clear()
        return events


async def test_a_later_round_shows_its_number_and_can_be_cancelled(app: App) -> None:
    executor = PausingExecutor(app.settings)
    async with running(make_worker(app, AddingExpander(), executor)):
        job = await ask(app, f"{IDEA} --refine 4", expand="off", steps=10)
        job = await row(app, job, lambda job: job.step > 10)
        assert not job.is_steerable
        assert " · round 2 of at most 5" in job_messages.painting(job)
        await app.jobs.cancel(job.id, "enough")
        executor.gate.set()
        job = await row(app, job, lambda job: job.is_final)
    assert len(executor.batches) < 30
    assert (job.status, job.images, files(app)) == (JobStatus.CANCELLED, [], [])
