"""How well doodle paints what it has never seen: combinations that occur in none of its training scenes."""

# pyright: basic

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.data import downloads
from limner.generators.training.data.picture_folder import CaptionedPicture
from limner.generators.training.doodle.held_out import Combination, HeldOut
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import Scene, SceneMaker
from limner.generators.training.evaluation.agreement import AMONG, Questions
from limner.generators.training.evaluation.measures import Figure, first, places
from limner.generators.training.evaluation.painting import Painting
from limner.generators.training.kinds import PRETRAINED
from limner.generators.vision.clip import FolderImageTextModel
from tests.benchmarks.figures import show

SEEN = Path(__file__).with_name("doodle_has_seen.tsv")
"""The held-out combinations that the composer of its time showed in its 120,000 training scenes all the same."""
DOWNLOADS = Path("data/training/doodle/downloads")
PAINTED, RIVALS = 400, 2 * AMONG
FEWEST = 10
"""Pictures of a kind below which its share is not shown."""
KINDS = {"noun": "two nouns together", "number": "a number of them", "place": "in that place"}
"""The kinds of `Combination` of which enough are left."""


class Unseen(NamedTuple):
    """A scene, and the kinds of `Combination` in its caption that the model has never seen."""

    scene: Scene
    kinds: frozenset[str]


def read_seen(file: Path = SEEN) -> set[Combination]:
    """The table of combinations."""
    with file.open(encoding="utf-8", newline="") as lines:
        return {Combination(**row) for row in csv.DictReader(lines, delimiter="\t")}


def unseen_scenes(pictograms: Pictograms, seen: Collection[Combination]) -> Iterator[Unseen]:
    """Scenes without end; the caption of each has a combination that is held out and not among the seen ones."""
    maker, held_out = SceneMaker(pictograms, held_out=True), HeldOut(pictograms)
    for number in count():
        scene = maker.make(Random(number))
        told = [combination for combination, is_told in scene.combinations.items() if is_told]
        kinds = {combination.kind for combination in told if combination in held_out and combination not in seen}
        if kinds:
            yield Unseen(scene, frozenset(kinds))


def main() -> None:
    """Print the table: what is painted, beside the real pictures of the same captions."""
    nouns = read_nouns()
    pictograms = Pictograms(downloads.fetch(downloads.PICTOGRAMS, DOWNLOADS), nouns)
    found = list(islice(unseen_scenes(pictograms, read_seen()), PAINTED + RIVALS))
    asked = found[:PAINTED]
    pictures = tuple(CaptionedPicture(Path(), one.scene.caption, one.scene.nouns) for one in found)
    names = tuple(sorted(noun.name for noun in nouns))
    questions = Questions(pictures[:PAINTED], pictures[PAINTED:], names, asked=(), unseen=())
    painting = Painting(ModelCard.read("doodle", str(PRETRAINED / "doodle")), device="cpu")
    painted = painting.paint(questions.prompts)
    real = [one.scene.image for one in asked]
    image_text_model = FolderImageTextModel.load(str(PRETRAINED / "image-text"))

    rows: list[tuple[str, ...]] = []
    for kind in ("", *KINDS):
        numbers = [number for number, one in enumerate(asked) if kind in ("", *one.kinds)]
        columns = [_figures(questions, image_text_model, images, numbers) for images in (painted, real)]
        rows += [(KINDS.get(kind, "all"), name, *(_cell(column[name]) for column in columns)) for name in columns[0]]
    show(
        f"doodle: {PAINTED} scenes of combinations that it has never seen",
        ("never seen", "", "painted", "real pictures"),
        rows,
        f"In brackets: 95 % intervals and numbers of pictures. {painting.painted / painting.seconds:.1f} pictures/s.",
    )


def _figures(
    questions: Questions, image_text_model: FolderImageTextModel, images: Sequence[Image.Image], numbers: Sequence[int]
) -> dict[str, Figure]:
    """The figures of the pictures with these numbers; their captions stand among those of all others."""
    chosen = [questions.pictures[number] for number in numbers]
    others = [picture for number, picture in enumerate(questions.pictures) if number not in numbers]
    part = replace(questions, pictures=tuple(chosen), references=(*others, *questions.references))
    shown = [images[number] for number in numbers]
    figures = part.judge_real(image_text_model, shown)
    twos = [number for number, picture in enumerate(chosen) if len(picture.nouns) == 2]
    if len(twos) >= FEWEST:
        either = [[part.nouns.index(noun) for noun in chosen[number].nouns] for number in twos]
        scores = part.kinds(image_text_model, [shown[number] for number in twos])
        figures["either_noun_first"] = first(places(scores, either))
    return figures


def _cell(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f}, {figure.samples})"


if __name__ == "__main__":
    main()
