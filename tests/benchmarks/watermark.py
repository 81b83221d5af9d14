"""What the invisible mark survives, by size of the picture and by attack; false alarms; and its milliseconds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import skimage
import torch
from PIL import Image, ImageOps
from rich.progress import track

from limner.bot.provenance.watermark import FALSE_ALARMS, SURE, Watermark
from limner.bot.settings import Settings
from tests.benchmarks.figures import cores, show, spread
from tests.tiny_models import stock_pipeline
from tests.watermark_attacks import ATTACKS, psnr

Pictures = Callable[[int], Iterable[Image.Image]]
"""The pictures of a kind, with so many pixels a side."""

KEY = b"the key of this benchmark"
SIDES = (128, 256, 512, 1024)
PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "ihc.png", "hubble_deep_field.jpg"),
    *("motorcycle_left.png", "retina.jpg", "camera.png", "moon.png", "cell.png"),
)
TEXTURES = ("brick.png", "grass.png", "gravel.png", "page.png")
"""The pictures of scikit-image; these are sharp all over, which leaves least room for a mark."""
IDEAS = (
    *(
        "a red fox",
        "two green apples",
        "a lighthouse by the sea",
        "a cat under a tree",
        "a pirate ship",
        "a school bus",
    ),
    *("a yellow duck on the water", "a house in the snow", "a blue bird", "a rainbow over hills", "a robot", "a cake"),
    *("a purple flower", "three birds at night", "a white rabbit on a hill", "an orange boat at sunset", "a green car"),
    *("a black cat", "a snowman", "a castle", "a pink fish", "a rocket", "a tree", "a dog", "a horse", "a brown bear"),
    "a moon over a lake",
)
CROPS: dict[tuple[str, ...], int] = {PHOTOGRAPHS: 10, TEXTURES: 4}
"""Of each picture, in each size."""
PAINTED = 4
"""Paintings of each idea."""
KEYS = 4
"""Keys with which each unmarked picture is read."""


def main() -> None:
    """Print the tables."""
    watermark, painted = Watermark(KEY), list(_painted())
    kinds: dict[str, Pictures] = {
        "photographs": lambda side: _cut(PHOTOGRAPHS, side),
        "textures": lambda side: _cut(TEXTURES, side),
        "doodle's": lambda side: (image.resize((side, side), Image.Resampling.LANCZOS) for image in painted),
    }
    show(
        "The mark is read, its number right",
        ("pictures", "number", "PSNR, dB", *ATTACKS),
        [_row(watermark, f"{kind} {side}x{side}", made(side)) for kind, made in kinds.items() for side in SIDES],
        "In per cent. Crops of the pictures that come with scikit-image, and paintings of the shipped model, enlarged.",
    )
    show(
        "Pictures that are marked twice",
        ("pictures", "the second number", "the first number", "another bot's", "ours below it"),
        [_twice(watermark, f"{kind} {side}x{side}", made(side)) for kind, made in kinds.items() for side in SIDES[:2]],
        "In per cent: both marks with one key, and the second with another bot's.",
    )
    _show_false_alarms([image for made in kinds.values() for side in SIDES[:2] for image in made(side)])
    _show_seconds(watermark)


def _twice(watermark: Watermark, name: str, pictures: Iterable[Image.Image]) -> tuple[str, ...]:
    stranger, found = Watermark(b"another key"), list[tuple[bool, ...]]()
    for image in track(list(pictures), f"{name} twice", transient=True):
        first = watermark.number_of(image)
        once = watermark.marked(image, first)
        second = watermark.number_of(once)
        again, under = _numbers(watermark, watermark.marked(once, second)), stranger.marked(once, second)
        ours = first in _numbers(watermark, under)
        found.append((second in again, first in again, second in _numbers(stranger, under), ours))
    return (name, *(f"{sum(column) / len(found):.0%}" for column in zip(*found, strict=True)))


def _numbers(watermark: Watermark, image: Image.Image) -> set[int]:
    return {mark.number for mark in watermark.read(image)}


def _row(watermark: Watermark, name: str, pictures: Iterable[Image.Image]) -> tuple[str, ...]:
    read, quality = dict.fromkeys(ATTACKS, 0), list[float]()
    for image in track(list(pictures), name, transient=True):
        number = watermark.number_of(image)
        marked = watermark.marked(image, number)
        quality.append(psnr(image, marked))
        for attack, change in ATTACKS.items():
            found = watermark.read(change(marked))
            read[attack] += bool(found) and found[0].number == number
    shares = [f"{count / len(quality):.0%}" for count in read.values()]
    return (name, str(len(quality)), f"{min(quality):.1f}", *shares)


def _show_false_alarms(pictures: list[Image.Image]) -> None:
    surest: list[float] = []
    for number in track(range(KEYS), "other keys", transient=True):
        watermark = Watermark(number.to_bytes(32))
        surest += [watermark.read(image, 0.0)[0].sureness for image in pictures]
    show(
        "Pictures without a mark",
        ("read", "surest that was found", "counts from", "bound by calculation"),
        [(f"{len(surest)}", spread(surest, "{:.1f}"), f"{SURE}", f"{FALSE_ALARMS:.1g}")],
        f"{len(pictures)} pictures, each with {KEYS} keys, 64² places, 12 views and 3 brightnesses.",
    )


def _show_seconds(watermark: Watermark) -> None:
    rows: list[tuple[str, ...]] = []
    for side in SIDES:
        image = Image.effect_noise((side, side), 60).convert("RGB")
        marked = watermark.marked(image, 1)
        writing = _milliseconds(lambda image=image: watermark.marked(image, watermark.number_of(image)))
        rows.append(
            (
                f"{side}x{side}",
                spread(writing, "{:.1f}"),
                spread(_milliseconds(lambda marked=marked: watermark.read(marked)), "{:.0f}"),
            )
        )
    show(
        "Milliseconds of one core",
        ("", "to mark, with its number", "to read"),
        rows,
        "Median (lowest to highest) of 9.",
    )


def _milliseconds(work: Callable[[], object]) -> list[float]:
    taken: list[float] = []
    for _ in range(9):
        began = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - began))
    return taken


def _cut(names: tuple[str, ...], side: int) -> Iterator[Image.Image]:
    chance = random.Random(side)
    for name in names:
        with Image.open(Path(str(skimage.__file__)).parent / "data" / name) as image:
            whole = image.convert("RGB")
        least = side / min(whole.size)
        for _ in range(CROPS[names]):
            image = ImageOps.scale(whole, max(least, chance.uniform(min(1.0, least), 1.0)))
            if min(image.size) < side:
                image = ImageOps.fit(image, (max(side, image.width), max(side, image.height)))
            left, top = chance.randint(0, image.width - side), chance.randint(0, image.height - side)
            yield image.crop((left, top, left + side, top + side))


def _painted() -> Iterator[Image.Image]:
    cores()
    card = Settings().default_card
    pipe: Any = stock_pipeline(Path(card.source))
    for number, idea in enumerate(track(IDEAS, "painting", transient=True)):
        steps, guidance = card.num_inference_steps, card.guidance_scale
        yield from pipe(
            idea,
            width=card.width,
            height=card.height,
            num_inference_steps=steps,
            guidance_scale=guidance,
            num_images_per_prompt=PAINTED,
            generator=torch.Generator().manual_seed(number),
        ).images


if __name__ == "__main__":
    main()
