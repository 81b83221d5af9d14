"""What choosing by a learnt reward brings: simulated members with a known taste, scenes as candidates."""

# pyright: basic

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from limner.generators.training.data import downloads
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import SceneMaker
from limner.generators.training.evaluation.measures import share
from limner.generators.training.families.preferences import ChosenPair, learn
from limner.generators.training.kinds import PRETRAINED
from limner.generators.vision.clip import FolderImageTextModel
from limner.generators.vision.preferences import described
from tests.benchmarks.figures import show
from tests.benchmarks.held_out import DOWNLOADS

MEMBERS, EACH = 12, 25
NOISE = 0.1
"""How often a member presses the other button."""
REQUESTS, CANDIDATES = 150, 4
WORDS = "a drawing"
TASTES = ("bright pictures", "warm colours", "no taste: by chance")


def main() -> None:
    """Print the table."""
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), read_nouns())
    maker = SceneMaker(pictograms)
    scenes = (maker.make(Random(number)).image for number in range(10**6))
    asked = list(islice(scenes, 2 * MEMBERS * EACH))
    offered = list(islice(scenes, REQUESTS * CANDIDATES))
    model = FolderImageTextModel.load(str(PRETRAINED / "image-text"))
    seen = described(model, offered, WORDS).reshape(REQUESTS, CANDIDATES, -1)
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(asked):
            image.save(Path(folder) / f"{number}.png")
        rows = [(taste, *_row(taste, Path(folder), asked, offered, seen, model)) for taste in TASTES]
    show(
        f"{MEMBERS} simulated members, {EACH} choices each, one in ten of them wrong",
        ("they like", "right about members kept back", f"best of {CANDIDATES} chosen, by the reward", "by nearness"),
        rows,
        f"Scenes composed of pictograms; {REQUESTS} requests of {CANDIDATES} candidates. By chance 0.5, 0.25 and 0.25.",
    )


def liking(taste: str, image: Image.Image) -> float:
    """How much a member of this taste likes a picture."""
    red, green, blue = np.asarray(image.convert("RGB"), float).mean((0, 1))
    return {"bright pictures": red + green + blue, "warm colours": red - blue}.get(taste, hash(image.tobytes()) % 997)


def _row(
    taste: str,
    folder: Path,
    asked: Sequence[Image.Image],
    offered: Sequence[Image.Image],
    seen: np.ndarray,
    model: FolderImageTextModel,
) -> tuple[str, ...]:
    learnt = learn(list(_choices(taste, folder, asked)), model)
    worth = np.array([liking(taste, image) for image in offered]).reshape(REQUESTS, CANDIDATES)
    rewards = np.stack([learnt.reward.of(one) for one in seen])
    best = worth.argmax(1)
    chosen = share((rewards.argmax(1) == best).tolist()), share((seen[:, :, -1].argmax(1) == best).tolist())
    return tuple(f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})" for one in (learnt.held_out, *chosen))


def _choices(taste: str, folder: Path, asked: Sequence[Image.Image]):
    random = Random(0)
    for number in range(MEMBERS * EACH):
        pair = [2 * number, 2 * number + 1]
        better = max(pair, key=lambda place: liking(taste, asked[place]))
        if random.random() < NOISE:
            better = 4 * number + 1 - better
        worse = 4 * number + 1 - better
        yield ChosenPair(number % MEMBERS, WORDS, folder / f"{better}.png", folder / f"{worse}.png")


if __name__ == "__main__":
    main()
