"""Parts of a picture painted by a worker with a tiny real pipeline: what is around it, and what stays to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from limner.bot import picture_actions
from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.picture_actions import Asker
from limner.bot.place import Where
from limner.bot.reasons import Action
from limner.bot.settings import Settings
from limner.bot.storage.models import Job
from limner.generators.image_canvas import SEAM
from tests.bot.test_worker import AddingExpander, ask, make_worker
from tests.tiny_models import build_tiny_pipeline

SOMEBODY = Asker(5, "en-US", Where())


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path) -> Settings:
    return settings.using(models={"tiny": str(tiny)}, device="cpu", max_jobs_per_user=10)


def pixels(app: App, job: Job) -> np.ndarray:
    return np.asarray(app.images.open(job.images[0].sha256))


async def done(app: App, *jobs: Job) -> list[Job]:
    """The jobs after a worker has worked until nothing was left."""
    await make_worker(app, AddingExpander()).run(burst=True)
    return [await app.jobs.get(job.id) for job in jobs]


async def test_what_is_around_a_picture_is_painted_and_the_picture_stays(app: App) -> None:
    [first] = await done(app, await ask(app, size="64x64"))
    wide, down, small = await done(
        app,
        await picture_actions.pan(app, first, 1, SOMEBODY, action=Action.PAN_LEFT),
        await picture_actions.pan(app, first, 1, SOMEBODY, action=Action.PAN_DOWN),
        await picture_actions.zoom_out(app, first, 1, SOMEBODY, times=2),
    )
    original = pixels(app, first)
    assert np.array_equal(pixels(app, wide)[:, 32 + SEAM :], original[:, SEAM:])
    assert np.array_equal(pixels(app, down)[: 64 - SEAM], original[: 64 - SEAM])
    assert pixels(app, wide).shape == (64, 96, 3)
    assert pixels(app, down).shape == (96, 64, 3)
    smaller = np.asarray(app.images.open(first.images[0].sha256).resize((32, 32), 1))
    assert np.array_equal(pixels(app, small)[24:40, 24:40], smaller[8:24, 8:24])
    for made in (wide, down, small):
        assert pixels(app, made)[:8, :8].std() > 1 or pixels(app, made)[-8:, -8:].std() > 1  # no edge drawn out
        assert (made.user_id, made.generation.is_from_picture) == (5, True)


async def test_one_picture_is_made_larger_and_again(app: App) -> None:
    [first] = await done(app, await ask(app, count=2))
    [larger] = await done(app, await picture_actions.upscale(app, first, 2, SOMEBODY, times=2))
    [largest] = await done(app, await picture_actions.upscale(app, larger, 1, SOMEBODY, times=4))
    sizes = [[(image.width, image.height, image.seed) for image in job.images] for job in (larger, largest)]
    assert sizes == [[(32, 32, 8)], [(128, 128, 8)]]


async def test_variations_differ_from_the_picture_and_from_each_other(app: App) -> None:
    [first] = await done(app, await ask(app))
    made = [await picture_actions.vary(app, first, 1, SOMEBODY, is_strong=strong) for strong in (False, True)]
    pictures = [pixels(app, job).tobytes() for job in [first, *await done(app, *made)]]
    assert len(set(pictures)) == 3


async def test_a_picture_that_was_deleted_meanwhile_ends_in_a_sentence(app: App) -> None:
    [first] = await done(app, await ask(app, count=2))
    waiting = await picture_actions.upscale(app, first, 2, SOMEBODY, times=2)
    varied = await picture_actions.vary(app, first, 2, SOMEBODY, is_strong=False)
    await app.history.drop_picture(first.id, 2)
    waiting, varied = await done(app, waiting, varied)
    assert waiting.reason == "That picture was deleted; choose another one."
    assert len(varied.images) == 1  # it has the picture for a start


async def test_a_model_that_fills_no_part_refuses_before_the_queue(app: App) -> None:
    [first] = await done(app, await ask(app))
    app.settings.cards["tiny"] = picture_actions.replace(app.settings.cards["tiny"], masks=False)
    with pytest.raises(BadOption, match="The model tiny cannot paint a part of a picture\\."):
        await picture_actions.zoom_out(app, first, 1, SOMEBODY, times=2)
