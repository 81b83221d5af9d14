"""The invisible mark: what it survives, how rarely it is seen where there is none, and which pictures have one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pytest
import skimage
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from limner.bot import submit
from limner.bot.app import App
from limner.bot.provenance.mark_code import CodeReader, coded
from limner.bot.provenance.watermark import FALSE_ALARMS, SIDE, Watermark, read_key
from tests.bot.test_worker import AddingExpander, ask, make_worker, settings, tiny
from tests.watermark_attacks import ATTACKS, encoded, psnr

__all__ = ["settings", "tiny"]

WATERMARK = Watermark(b"a key of thirty-two bytes, so to say")
NUMBERS = st.integers(-(2**63), 2**63 - 1)
PHOTOS = ("astronaut.png", "coffee.png", "brick.png", "page.png")


def photograph(name: str, side: int) -> Image.Image:
    with Image.open(Path(str(skimage.__file__)).parent / "data" / name) as image:
        return ImageOps.fit(image.convert("RGB"), (side, side))


def pictures(side: int) -> Iterator[Image.Image]:
    """Photographs that scikit-image has, two of them rough all over, and a flat drawing such as doodle paints."""
    for name in PHOTOS:
        yield photograph(name, side)
    for seed in range(1):
        random, image = Random(seed), Image.linear_gradient("L").resize((side, side)).convert("RGB")
        draw = ImageDraw.Draw(image)
        for _ in range(6):
            x, y, size = (random.randrange(side) for _ in range(3))
            draw.ellipse((x, y, x + size, y + size), tuple(random.choices((0, 40, 128, 255), k=3)))
        yield image


@given(NUMBERS, st.integers(0, 2**32))
def test_a_number_is_read_with_a_tenth_of_its_code_wrong(number: int, seed: int) -> None:
    received = coded(number)
    wrong = np.random.default_rng(seed).permutation(16)[:2] * 8  # far enough apart for a code of free distance 10
    received[wrong] *= -1
    assert DECODER.numbers(received[None]) == [number]


DECODER = CodeReader()


@pytest.mark.parametrize("side", [128, *(pytest.param(side, marks=pytest.mark.slow) for side in (256, 512))])
def test_the_mark_is_invisible_and_survives(side: int) -> None:
    failed: list[str] = []
    for image in pictures(side):
        number = WATERMARK.number_of(image)
        marked = WATERMARK.marked(image, number)
        assert psnr(image, marked) >= 40
        failed += [name for name, attack in ATTACKS.items() if not found(attack(marked), number)]
    assert not failed


@given(
    NUMBERS, st.sampled_from(PHOTOS), st.integers(75, 100), st.integers(0, 6), st.integers(0, 6), st.floats(0.9, 1.1)
)
@pytest.mark.slow
@effort(max_examples=5)
def test_every_number_survives_wherever_and_however_much_a_small_picture_is_changed(
    number: int, name: str, quality: int, left: int, top: int, brightness: float
) -> None:
    marked = WATERMARK.marked(photograph(name, SIDE), number)
    assert found(encoded("JPEG", quality)(marked), number)
    assert found(encoded("WEBP", max(quality, 80))(marked), number)
    assert found(marked.crop((left, top, left + 122, top + 122)), number)
    assert found(ImageEnhance.Brightness(marked).enhance(brightness), number)


@given(st.binary(min_size=64, max_size=64), NUMBERS, st.integers(SIDE, 150), st.integers(SIDE, 150))
def test_no_picture_changes_more_than_its_share(tile: bytes, number: int, width: int, height: int) -> None:
    """Not even one that repeats itself as the mark's cells do, so that each of them is as far off as the others."""
    cells = np.tile(np.frombuffer(tile, np.uint8).reshape(8, 8), (20, 20))[:height, :width]
    image = Image.fromarray(cells).convert("RGB")
    marked = WATERMARK.marked(image, number)
    assert marked.size == image.size
    assert psnr(image, marked) >= 40


def found(image: Image.Image, number: int) -> bool:
    marks = WATERMARK.read(image)
    return bool(marks) and marks[0].number == number


def test_pictures_without_a_mark_and_with_another_key_have_none() -> None:
    assert FALSE_ALARMS < 1e-6
    stranger = Watermark(b"another key")
    for image in pictures(SIDE):
        assert not WATERMARK.read(image)
        assert not WATERMARK.read(stranger.marked(image, 7))
    for flat in (Image.new("RGB", (SIDE, SIDE), "white"), Image.new("RGB", (3, 900), "red")):
        assert not WATERMARK.read(flat)


@pytest.mark.slow
def test_a_picture_that_is_marked_again_has_the_new_number_and_mostly_the_old_one_too() -> None:
    """The old one is lost where the cells of both lie on each other, once in 16 times."""
    first = WATERMARK.marked(photograph("coffee.png", SIDE), 0)
    read = [{mark.number for mark in WATERMARK.read(WATERMARK.marked(first, number))} for number in range(1, 9)]
    assert all(number in found for number, found in enumerate(read, 1))
    assert sum(0 in found for found in read) >= 7


@pytest.mark.slow
def test_another_bots_mark_on_top_takes_nothing_away() -> None:
    stranger = Watermark(b"another key")
    for image in pictures(SIDE):
        both = stranger.marked(WATERMARK.marked(image, 1), 2)
        assert [mark.number for mark in WATERMARK.read(both)] == [1]
        assert [mark.number for mark in stranger.read(both)] == [2]


def test_a_part_that_is_painted_anew_has_its_own_mark_beside_the_first() -> None:
    for image in pictures(256):
        first = WATERMARK.marked(image, 1)
        painted = first.copy()
        painted.paste(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).crop((0, 0, 128, 200)), (20, 30))
        assert {mark.number for mark in WATERMARK.read(WATERMARK.marked(painted, 2, kept=first))} == {1, 2}


def test_pixels_that_are_kept_stay_as_they_are() -> None:
    image = next(pictures(256))
    painted = image.copy()
    painted.paste((200, 60, 60), (0, 0, 100, 256))
    marked = np.asarray(WATERMARK.marked(painted, 5, kept=image))
    is_painted = (np.asarray(painted) != np.asarray(image)).any(axis=2)
    assert (marked == np.asarray(painted))[~is_painted].all()
    assert (marked != np.asarray(painted))[is_painted].any()


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "watermark.key"
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(read_key, [file] * 8))
    assert keys == {read_key(file)}
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["watermark.key"]


async def test_every_picture_from_128_pixels_up_is_marked_and_a_repeat_is_the_same(app: App) -> None:
    large = await ask(app, "a red cat", steps=1, size="128x128")
    small = await ask(app, "a red cat", steps=1, size="64x128", user_id=2)
    await make_worker(app, AddingExpander()).run(burst=True)
    large, small = await app.jobs.get(large.id), await app.jobs.get(small.id)
    assert small.images[0].mark is None
    watermark = Watermark(read_key(app.settings.mark_key))
    [mark] = watermark.read(app.images.open(large.images[0].sha256))
    assert mark.number == large.images[0].mark
    again = await submit.repeat(app, large, where=large.where)
    await make_worker(app, AddingExpander()).run(burst=True)
    again = await app.jobs.get(again.id)
    assert again.images[0].mark == mark.number
    assert again.notes["repeated"]["same"]
