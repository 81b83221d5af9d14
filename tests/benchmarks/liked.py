"""What LoRAs of liked and of preferred pictures bring: doodle, members who like warm colours, held-out words."""

# pyright: basic

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.data import downloads
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import SceneMaker
from limner.generators.training.evaluation.measures import Figure, share
from limner.generators.training.evaluation.painting import Painting
from limner.generators.training.families.diffusion_dpo import BETA
from limner.generators.training.families.liked_pictures import RatedPicture, square_side, write_pairs, write_rated
from limner.generators.training.families.lora import PLAN, LoRARecipe, train_lora
from limner.generators.training.families.preferences import ChosenPair
from limner.generators.training.kinds import PRETRAINED
from limner.generators.vision.clip import FolderImageTextModel
from tests.benchmarks.figures import show
from tests.benchmarks.held_out import DOWNLOADS
from tests.benchmarks.preferences import NOISE, liking

TASTE = "warm colours"
REQUESTS, MEMBERS = 50, 5
"""Requests of two pictures that are chosen between, and their members."""
HELD_OUT = 40
SAMPLES = 300
"""Pairs to learn from in all."""
DOODLE = str(PRETRAINED / "doodle")


class Chosen(NamedTuple):
    """A request's two pictures, the better one first, as its member sees them."""

    words: str
    better: Path
    worse: Path


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        print_table(Path(folder))


def print_table(folder: Path) -> None:
    """Print it; what is painted and learnt lies in a folder, and is not made again."""
    words = list(captions(REQUESTS + HELD_OUT))
    asked, held_out = words[:REQUESTS], words[REQUESTS:]
    chosen = choices(folder / "asked", asked)
    before = painted(folder / "before", held_out)
    model = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    rows = [("doodle", "", *_figures(model, before, held_out))]
    for name, train in (("--liked", learn_liked), ("--pairs", learn_pairs)):
        lora = train(folder / name.strip("-"), chosen)
        after = painted(folder / f"after{name}", held_out, lora)
        better = [liking(TASTE, new) > liking(TASTE, old) for new, old in zip(after, before, strict=True)]
        rows.append((f"with a LoRA of {name}", _cell(share(better)), *_figures(model, after, held_out)))
    show(
        f"doodle and LoRAs: {MEMBERS} simulated members like {TASTE}; {REQUESTS} choices, one in ten wrong",
        ("", "preferred to doodle's", "red less blue (0 to 255)", "own caption first", "nearness"),
        rows,
        f"{HELD_OUT} captions that no LoRA has learnt, from the same seeds; in brackets 95 % intervals. "
        f"Learnt: {SAMPLES} pairs each.",
    )


def card() -> ModelCard:
    """That of the model that learns."""
    return ModelCard.read("doodle", DOODLE)


def captions(count: int) -> list[str]:
    """Different captions of scenes."""
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    maker = SceneMaker(pictograms)
    found = dict.fromkeys(maker.make(Random(number)).caption for number in range(2 * count))
    return list(islice(found, count))


def choices(folder: Path, words: Sequence[str]) -> list[Chosen]:
    """Two pictures of each, and which of them its member chooses; one choice in ten is wrong."""
    paint_into(folder, [one for one in words for _ in range(2)])
    random, found = Random(0), []
    for number, one in enumerate(words):
        files = [folder / f"{2 * number + place}.png" for place in range(2)]
        better, worse = sorted(files, key=lambda file: liking(TASTE, Image.open(file)), reverse=True)
        found.append(Chosen(one, worse, better) if random.random() < NOISE else Chosen(one, better, worse))
    return found


def learn_liked(folder: Path, chosen: Sequence[Chosen]) -> str:
    """A LoRA of what is chosen and what is not; each picture also has a face, a good one above the middle of all."""
    worth = {file: liking(TASTE, Image.open(file)) for one in chosen for file in one[1:]}
    middle = float(np.median([*worth.values()]))
    likes = {file: (1 if worth[file] > middle else -1) for file in worth}
    for one in chosen:
        likes[one.better] += 1
        likes[one.worse] -= 1
    words = {file: one.words for one in chosen for file in one[1:]}
    rated = [RatedPicture(words[file], count, partial(Image.open, file)) for file, count in likes.items() if count]
    write_rated(rated, folder / "liked", square_side(card()))
    recipe = LoRARecipe(model=DOODLE, pictures=folder / "liked", folder=folder, fits_rate=True, beta=BETA)
    return _learn(recipe)


def learn_pairs(folder: Path, chosen: Sequence[Chosen]) -> str:
    """A LoRA of the choices."""
    pairs = [ChosenPair(number % MEMBERS, *one) for number, one in enumerate(chosen)]
    write_pairs(pairs, folder / "pairs", square_side(card()))
    pictures = folder / "pairs"
    recipe = LoRARecipe(model=DOODLE, pictures=pictures, folder=folder, fits_rate=True, beta=BETA)
    return _learn(recipe)


def _learn(recipe: LoRARecipe) -> str:
    return str(train_lora(replace(recipe, plan=replace(PLAN, samples=SAMPLES)), processes=1))


def painted(folder: Path, words: Sequence[str], lora: str = "") -> list[Image.Image]:
    """A picture of each of the words, with a LoRA or without one."""
    paint_into(folder, words, lora)
    return [Image.open(folder / f"{number}.png").convert("RGB") for number in range(len(words))]


def paint_into(folder: Path, words: Sequence[str], lora: str = "") -> None:
    """Paint those that are not in the folder yet, seeded by their places."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [number for number in range(len(words)) if not (folder / f"{number}.png").is_file()]
    if not wanted:
        return
    painting = Painting(replace(card(), loras={"it": lora}) if lora else card(), device="cpu")
    for at in range(0, len(wanted), 4):
        numbers = wanted[at : at + 4]
        requests = [painting.request(words[number], number) for number in numbers]
        requests = [replace(one, loras=(("it", 1.0),)) if lora else one for one in requests]
        for number, finished in zip(numbers, painting.carry_out(requests), strict=True):
            finished.images[0].save(folder / f"{number}.png")
        print(f"\r{at + len(numbers)} of {len(wanted)}", end="", file=sys.stderr)
    painting.close()


def _figures(model: FolderImageTextModel, images: Sequence[Image.Image], words: Sequence[str]) -> tuple[str, ...]:
    scores = model.score(images, words)
    own = share((scores.argmax(1) == np.arange(len(words))).tolist())
    warmth = float(np.mean([liking(TASTE, image) for image in images]))
    return f"{warmth:.1f}", _cell(own), f"{scores.diagonal().mean():.3f}"


def _cell(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


if __name__ == "__main__":
    main()
