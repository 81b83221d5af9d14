"""Parts of a picture painted by a worker with a tiny real pipeline: what is around it, and what stays to the pixel."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.bot import picture_actions, submit
from limner.bot.app import App
from limner.bot.errors import BadOption, BadPicture
from limner.bot.picture_actions import Asker
from limner.bot.place import Where
from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import Action
from limner.bot.settings import Settings
from limner.bot.storage.pictures.decoder import BLACK, WHITE
from limner.bot.storage.tables.models import Job
from limner.bot.worker.prepare import NO_SUCH_PART, NOTHING_ELSE
from limner.generators.cards.model_card import ModelCard
from limner.generators.image_canvas import SEAM, grown
from limner.generators.vision.segmentation import load_segmentation
from tests.bot.test_worker import AddingExpander, ask, make_worker
from tests.pictures import saved
from tests.rows import new_job, painted, seen
from tests.tiny_models import (
    build_tiny_flux_pipeline,
    build_tiny_pipeline,
    build_tiny_sd3_pipeline,
    build_tiny_xl_pipeline,
)
from tests.tiny_segmentation import build_tiny_segmentation

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


async def pretended(app: App) -> Job:
    """A request of two pictures that no model painted."""
    files = [saved(Image.new("RGB", (16, 16), (200, shade, 40))) for shade in (0, 99)]
    stored = [StoredPicture(app.images.save(data), 16, 16, len(data), 7, seen()) for data in files]
    return await painted(app.jobs, new_job("a red cat", 0, model="tiny", samples=2), *stored)


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


@pytest.mark.slow
async def test_one_picture_is_made_larger_and_again(app: App) -> None:
    [first] = await done(app, await ask(app, count=2))
    [larger] = await done(app, await picture_actions.upscale(app, first, 2, SOMEBODY, times=2))
    [largest] = await done(app, await picture_actions.upscale(app, larger, 1, SOMEBODY, times=4))
    sizes = [[(image.width, image.height, image.seed) for image in job.images] for job in (larger, largest)]
    assert sizes == [[(32, 32, 8)], [(128, 128, 8)]]


@pytest.mark.slow
async def test_variations_differ_from_the_picture_and_from_each_other(app: App) -> None:
    [first] = await done(app, await ask(app))
    made = [await picture_actions.vary(app, first, 1, SOMEBODY, is_strong=strong) for strong in (False, True)]
    pictures = [pixels(app, job).tobytes() for job in [first, *await done(app, *made)]]
    assert len(set(pictures)) == 3


async def test_a_picture_that_was_deleted_meanwhile_ends_in_a_sentence(app: App) -> None:
    first = await pretended(app)
    waiting = await picture_actions.upscale(app, first, 2, SOMEBODY, times=2)
    varied = await picture_actions.vary(app, first, 2, SOMEBODY, is_strong=False)
    await app.history.drop_picture(first.id, 2)
    waiting, varied = await done(app, waiting, varied)
    assert waiting.reason == "That picture was deleted; choose another one."
    assert len(varied.images) == 1  # it has the picture for a start


@pytest.mark.slow
async def test_a_model_that_fills_no_part_refuses_before_the_queue(app: App) -> None:
    [first] = await done(app, await ask(app))
    app.settings.cards["tiny"] = picture_actions.replace(app.settings.cards["tiny"], masks=False)
    with pytest.raises(BadOption, match="The model tiny cannot paint a part of a picture\\."):
        await picture_actions.zoom_out(app, first, 1, SOMEBODY, times=2)


async def edited(app: App, first: Job, mask: str, *, keeps_rest: bool = True) -> Job:
    """An edit of a request's first picture."""
    return await picture_actions.edit(app, first, 1, SOMEBODY, "a blue cat", mask, keeps_rest=keeps_rest)


async def test_outside_of_the_part_not_one_pixel_changes(app: App) -> None:
    """By cells, and by a drawing of any size, which is fitted and whose edges are soft."""
    [first] = await done(app, await ask(app, size="64x64", upscale=2))
    mask = await app.inputs.store_cells(["B2", "B3", "C2"])
    drawn = Image.new("RGB", (1000, 700))
    drawn.paste("white", (0, 0, 500, 700))
    job, loose, soft = await done(
        app,
        await edited(app, first, mask),
        await edited(app, first, mask, keeps_rest=False),
        await edited(app, first, await app.inputs.store_mask(saved(drawn))),
    )
    inside = np.zeros((128, 128), dtype=bool)
    inside[32:64, 32:96] = inside[64:96, 32:64] = True
    original, result = pixels(app, first), pixels(app, job)
    assert result.shape == original.shape == (128, 128, 3)
    assert np.array_equal(result[~inside], original[~inside])
    assert (result[inside] != original[inside]).any(axis=1).mean() > 0.5
    assert (job.prompt, job.expand, job.mask_sha256) == ("a blue cat", "off", mask)
    assert pixels(app, loose).shape == (64, 64, 3)  # as it was painted
    original, result = original.astype(int), pixels(app, soft).astype(int)
    assert np.array_equal(result[:, 64:], original[:, 64:])
    changed = np.abs(result - original).mean(axis=(0, 2))[:64]
    assert changed[63] < changed[:48].mean()


async def test_a_mask_stays_as_long_as_its_request(app: App) -> None:
    first = await pretended(app)
    mask = await app.inputs.store_cells(["A1"])
    job = await edited(app, first, mask)
    await app.history.sweep(older_than=-1)
    again = await submit.reroll(app, job, user_id=5)
    await app.history.delete(job.id)
    assert app.images.path(mask).exists()
    assert again.generation.mask == mask
    await app.history.delete(again.id)
    assert not app.images.path(mask).exists()


@pytest.mark.parametrize(("white", "sentence"), [((0, 0, 0, 0), BLACK), ((0, 0, 1, 1), BLACK), ((0, 0, 99, 99), WHITE)])
async def test_a_mask_of_one_colour_is_refused(app: App, white: tuple[int, int, int, int], sentence: str) -> None:
    drawn = Image.new("L", (99, 99))
    drawn.paste(255, white)
    with pytest.raises(BadPicture, match=sentence[:20]):
        await app.inputs.store_mask(saved(drawn))


async def test_a_picture_under_a_grid_names_its_cells(app: App) -> None:
    for shade in (0, 128, 255):
        sha256 = app.images.save(saved(Image.new("RGB", (96, 64), (shade,) * 3)))
        data = await app.decoder.under_grid(sha256)
        assert data
        shown = np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)
        assert shown.shape == (683, 1024)
        for row in range(4):
            for column in range(4):
                cell = shown[row * 171 + 40 : row * 171 + 130, column * 256 + 60 : column * 256 + 196]
                assert cell.max() - cell.min() > 100, (shade, row, column)


@pytest.fixture(scope="session")
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_segmentation(tmp_path_factory.mktemp("models") / "segmentation")


async def named(app: App, first: Job, words: str) -> Job:
    """An edit of the part of a request's first picture that some words name."""
    return await picture_actions.edit(app, first, 1, SOMEBODY, "a blue cat", None, part=words, keeps_rest=True)


async def test_the_part_that_words_name_is_found_and_nothing_else_changes(app: App, segmentation: Path) -> None:
    vars(app.settings)["segmentation_model"] = str(segmentation)
    [first] = await done(app, await ask(app, size="64x64"))
    [job] = await done(app, await named(app, first, "the hat"))
    original = app.images.open(first.images[0].sha256)
    found = load_segmentation(str(segmentation)).find(original, "the hat")
    mask = app.images.open(job.mask_sha256 or "")
    assert (job.status, job.generation.part, job.generation.mask) == ("succeeded", "the hat", job.mask_sha256)
    assert mask.tobytes() == grown(found).tobytes()
    inside = np.asarray(mask) > 0
    changed = (pixels(app, job) != np.asarray(original)).any(axis=2)
    assert 0.1 < inside.mean() < 0.9
    assert changed[inside].any()
    assert not changed[~inside].any()
    await app.history.delete(job.id)
    assert not app.images.path(job.mask_sha256 or "").exists()


async def test_words_that_name_nothing_or_all_end_in_a_sentence(
    app: App, segmentation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vars(app.settings)["segmentation_model"] = str(segmentation)
    for least, sentence in ((2.0, NO_SUCH_PART), (0.0, NOTHING_ELSE)):
        first = await pretended(app)
        monkeypatch.setattr("limner.generators.vision.segmentation.LEAST", least)
        [job] = await done(app, await named(app, first, "the hat"))
        assert (job.status, job.reason) == ("failed", sentence.format(part="the hat"))
        assert job.mask_sha256 is None


@pytest.mark.slow
@pytest.mark.parametrize("build", [build_tiny_xl_pipeline, build_tiny_flux_pipeline, build_tiny_sd3_pipeline])
async def test_every_family_keeps_all_pixels_outside_of_the_cells(
    app: App, tmp_path: Path, build: Callable[[Path], Path]
) -> None:
    folder = build(tmp_path / "model")
    app.settings.cards["tiny"] = ModelCard.read("tiny", str(folder), width=64, height=64)  # which loading tries out
    [first] = await done(app, await ask(app, size="64x64"))
    [job] = await done(app, await edited(app, first, await app.inputs.store_cells(["B2", "B3", "C2"])))
    inside = np.zeros((64, 64), dtype=bool)
    inside[16:32, 16:48] = inside[32:48, 16:32] = True
    changed = (pixels(app, job) != pixels(app, first)).any(axis=2)
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.3
