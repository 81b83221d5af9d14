"""What the invisible mark survives, by size of the picture and by attack; false alarms; and its milliseconds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import skimage
from PIL import Image, ImageOps
from rich.progress import track

from limner.bot.provenance.watermark import FALSE_ALARMS, SURE, Watermark
from limner.bot.settings import Settings
from tests.benchmarks.figures import cores, show, spread
from tests.tiny_models import stock_pipeline
from tests.watermark_attacks import ATTACKS, psnr

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
)
CROPS = {128: 4, 256: 4, 512: 2, 1024: 1}
KEYS = 10
"""Keys with which each unmarked picture is read."""


def main() -> None:
    """Print the tables."""
    watermark = Watermark(KEY)
    kinds = {"photographs": list(_cut(PHOTOGRAPHS)), "textures": list(_cut(TEXTURES)), "doodle's": list(_painted())}
    rows = [
        _row(watermark, name, side, pictures[side])
        for name, made in kinds.items()
        for pictures in [_by_side(made)]
        for side in SIDES
        if side in pictures
    ]
    show(
        "The mark is read, its number right",
        ("pictures", "number", "PSNR, dB", *ATTACKS),
        rows,
        "In per cent. Crops of the pictures that come with scikit-image, and paintings of the shipped model.",
    )
    _show_false_alarms([image for made in kinds.values() for image in made if image.width <= 512])
    _show_seconds(watermark)


def _row(watermark: Watermark, name: str, side: int, pictures: list[Image.Image]) -> tuple[str, ...]:
    read, quality = dict.fromkeys(ATTACKS, 0), list[float]()
    for image in track(pictures, f"{name} {side}", transient=True):
        number = watermark.number_of(image)
        marked = watermark.marked(image, number)
        quality.append(psnr(image, marked))
        for attack, change in ATTACKS.items():
            found = watermark.read(change(marked))
            read[attack] += bool(found) and found[0].number == number
    shares = [f"{count / len(pictures):.0%}" for count in read.values()]
    return (f"{name} {side}x{side}", str(len(pictures)), f"{min(quality):.1f}", *shares)


def _show_false_alarms(pictures: list[Image.Image]) -> None:
    surest = 0.0
    for number in track(range(KEYS), "other keys", transient=True):
        watermark = Watermark(number.to_bytes(32))
        surest = max(surest, *(watermark.read(image, 0.0)[0].sureness for image in pictures))
    show(
        "Pictures without a mark",
        ("read", "surest that was found", "counts from", "bound by calculation"),
        [(f"{KEYS * len(pictures)}", f"{surest:.1f}", f"{SURE}", f"{FALSE_ALARMS:.1g}")],
        f"{len(pictures)} pictures, each with {KEYS} keys, 128² shifts and 3 scales.",
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


def _by_side(made: list[Image.Image]) -> dict[int, list[Image.Image]]:
    return {side: found for side in SIDES if (found := [image for image in made if image.width == side])}


def _cut(names: tuple[str, ...]) -> Iterator[Image.Image]:
    chance = random.Random(1)
    for name in names:
        with Image.open(Path(str(skimage.__file__)).parent / "data" / name) as image:
            whole = image.convert("RGB")
        for side in SIDES:
            for _ in range(CROPS[side]):
                scale = max(side / min(whole.size), chance.uniform(min(1.0, side / min(whole.size)), 1.0))
                image = ImageOps.scale(whole, scale)
                if min(image.size) < side:
                    image = ImageOps.fit(image, (max(side, image.width), max(side, image.height)))
                left, top = chance.randint(0, image.width - side), chance.randint(0, image.height - side)
                yield image.crop((left, top, left + side, top + side))


def _painted() -> Iterator[Image.Image]:
    cores()
    card = Settings().default_card
    pipe: Any = stock_pipeline(Path(card.source))
    for idea in track(IDEAS, "painting", transient=True):
        steps, guidance = card.num_inference_steps, card.guidance_scale
        yield from pipe(
            idea,
            width=card.width,
            height=card.height,
            num_inference_steps=steps,
            guidance_scale=guidance,
            num_images_per_prompt=2,
        ).images


if __name__ == "__main__":
    main()
