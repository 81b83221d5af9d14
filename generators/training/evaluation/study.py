"""A study with people: pairs of pictures by two models without their names, and a sign test of what was chosen."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from limner.generators.sentences import sentence
from limner.generators.text_files import BadText, read_text
from limner.generators.training.curves import lay_out
from limner.generators.training.errors import TrainingError

PAIRS_IN_A_ROW = 3
GAP, LABEL = 6, 14
"""Pixels between the two pictures of a pair, and above them for their letters."""
SIDES = ("A", "B")
NEITHER = "="
MOST_ANSWERS = 100_000
"""Lines of a file of answers."""


@dataclass(frozen=True)
class Pair:
    """A prompt, and which model painted A and which B."""

    prompt: str
    models: tuple[str, str]


@dataclass(frozen=True)
class Outcome:
    """How often each of two models was chosen, and neither, over all files of answers.

    ``chance`` is the probability that two equally good models are told apart at least so clearly (two-sided sign test).
    """

    wins: dict[str, int]
    ties: int
    people: int

    @property
    def chance(self) -> float:
        """By the binomial distribution; ties are left out, as the test has it (Dixon and Mood 1946)."""
        total, most = sum(self.wins.values()), max(self.wins.values())
        tail = sum(math.comb(total, wins) for wins in range(most, total + 1))
        return min(1.0, 2 * tail / 2**total) if total else 1.0


def blind(prompts: Sequence[str], models: tuple[str, str], seed: int) -> list[Pair]:
    """A pair for each prompt; each model is A in half of them, by chance."""
    random = Random(seed)
    turned = [number % 2 == 0 for number in range(len(prompts))]
    random.shuffle(turned)
    return [
        Pair(prompt, (models[1], models[0]) if is_turned else models)
        for prompt, is_turned in zip(prompts, turned, strict=True)
    ]


def draw(pairs: Sequence[Pair], painted: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """The sheet: numbered pairs with A on the left and B on the right, each above its prompt."""
    both = [_beside(*(painted[model][number] for model in pair.models)) for number, pair in enumerate(pairs)]
    return lay_out(both, PAIRS_IN_A_ROW, [f"{number}. {pair.prompt}" for number, pair in enumerate(pairs, 1)])


def write_answers(file: Path, pairs: Sequence[Pair]) -> None:
    """The file that each person fills in with A, B or =, and beside it the key, which they must not see."""
    for path, columns in (
        (file, [("pair", "prompt", "choice"), *((number, one.prompt, "") for number, one in enumerate(pairs, 1))]),
        (key_of(file), [("pair", *SIDES), *((number, *one.models) for number, one in enumerate(pairs, 1))]),
    ):
        with path.open("w", encoding="utf-8-sig", newline="") as lines:
            csv.writer(lines).writerows(columns)


def key_of(file: Path) -> Path:
    """Where the key of a file of answers is."""
    return file.with_name(f"{file.stem}-key.csv")


def count(key: Path, answers: Sequence[Path]) -> Outcome:
    """Count the choices of all people.

    Raises:
        TrainingError: a file cannot be read, has another form, or a line has no A, B or =; or the key is not there.
    """
    models = {line["pair"]: tuple(line[side] for side in SIDES) for line in _lines(key, ("pair", *SIDES))}
    wins = {name: 0 for both in models.values() for name in both}
    ties = 0
    for file in answers:
        for line in _lines(file, ("pair", "choice")):
            choice = line["choice"].strip().upper()
            if line["pair"] not in models or choice not in (*SIDES, NEITHER):
                raise TrainingError(
                    sentence(
                        "In {file}, pair {pair} needs A, B or = as its choice; fill it in.",
                        file=file.name,
                        pair=line["pair"][:20],
                    )
                )
            if choice == NEITHER:
                ties += 1
            else:
                wins[models[line["pair"]][SIDES.index(choice)]] += 1
    return Outcome(wins, ties, len(answers))


def _lines(file: Path, names: Sequence[str]) -> list[dict[str, str]]:
    try:
        text = read_text(file)
    except BadText as error:
        raise TrainingError(str(error)) from error
    rows = text.splitlines()[: MOST_ANSWERS + 1]
    found = list(csv.DictReader(rows, delimiter=";" if rows and ";" in rows[0] else ","))
    if not found or not all(line.get(name) is not None for line in found for name in names):
        raise TrainingError(
            sentence("{file} is no table with the columns {names}.", file=file.name, names=", ".join(names))
        )
    return found


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    width, height = left.size
    both = Image.new("RGB", (2 * width + GAP, height + LABEL), "white")
    drawing = ImageDraw.Draw(both)
    for letter, image, start in zip(SIDES, (left, right.resize(left.size)), (0, width + GAP), strict=True):
        drawing.text((start + width / 2, 1), letter, fill="black", anchor="mt")
        both.paste(image, (start, LABEL))
    return both
