"""Learns which expansions of an idea have pictures that show it: painted, read back, and compared with each other."""

# pyright: basic

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from limner.generators.base import Expansion, ImageTextModel, PromptExpander
from limner.generators.embedders import TextEmbedder
from limner.generators.language.ranked_expander import ExpansionRanker, candidates, described
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText, parse_json, read_text, split_lines
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation.measures import Figure, estimate, share
from limner.generators.training.evaluation.painting import Painting
from limner.generators.vision.preferences import Reward, Rows
from limner.generators.vision.read_back import read_back

FEWEST, MOST = 20, 10_000
"""Ideas to learn from."""
PARTS = 10
"""Parts in which ideas are kept back, one after the other."""
PAINTED = 2
"""Pictures of each expansion, from the same seeds for all of an idea."""
KEPT = "candidates.jsonl"


@dataclass(frozen=True)
class ReadExpansion:
    """An expansion of an idea, and what was read in its pictures: share of words seen, and nearness (means)."""

    expansion: Expansion
    agreement: float
    nearness: float

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better."""
        return self.agreement, self.nearness


@dataclass(frozen=True)
class ReadIdea:
    """An idea and its expansions; the first is what the language model says without a choice."""

    idea: str
    expansions: Sequence[ReadExpansion]


@dataclass(frozen=True)
class LearntRanker:
    """A ranker that has learnt from all ideas, and what it does for ideas that it has not learnt from.

    ``right`` is how often it is right about two expansions of an idea. The others are means over the ideas: of the
    first expansion, of the chosen one, of the best one, and how much the chosen one gains over the first.
    """

    ranker: ExpansionRanker
    right: Figure
    agreement: dict[str, Figure]
    nearness: dict[str, Figure]


def read_ideas(file: Path) -> list[str]:
    """The different lines of a file.

    Raises:
        TrainingError: it cannot be read, or has too few or too many.
    """
    try:
        found = [*dict.fromkeys(filter(None, map(str.strip, split_lines(read_text(file)))))]
    except BadText as error:
        raise TrainingError(str(error)) from error
    if not FEWEST <= len(found) <= MOST:
        raise TrainingError(
            sentence(
                "{file} has {number} ideas, one a line; it takes from {fewest} to {most}.",
                file=file.name,
                number=len(found),
                fewest=FEWEST,
                most=MOST,
            )
        )
    return found


def paint_expansions(
    ideas: Sequence[str],
    expander: PromptExpander,
    painting: Painting,
    model: ImageTextModel,
    folder: Path,
    tell: Callable[[int, int], None],
) -> list[ReadIdea]:
    """Expand, paint and read back each idea; what ``folder`` has of an earlier, interrupted run is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = _kept(folder / KEPT)
    for number, idea in enumerate(ideas):
        if idea not in kept:
            kept[idea] = _painted(idea, number, expander, painting, model)
            with (folder / KEPT).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(kept[idea]), ensure_ascii=False) + "\n")
        tell(number + 1, len(ideas))
    return [kept[idea] for idea in ideas]


def learn(found: Sequence[ReadIdea], embedder: TextEmbedder) -> LearntRanker:
    """Fit a ranker, and measure it on ideas that are kept back in turn; the same ideas give the same one.

    Raises:
        TrainingError: no idea has two expansions.
    """
    ideas = [one for one in found if len(one.expansions) > 1]
    if not ideas:
        raise TrainingError(sentence("The language model expands none of these ideas in two ways."))
    rows = [described(embedder, one.idea, [each.expansion for each in one.expansions]) for one in ideas]
    parts = np.arange(len(ideas)) % min(PARTS, len(ideas))
    rewards = {part: _fit(*_others(ideas, rows, parts != part)) for part in np.unique(parts).tolist()}
    hits: list[bool] = []
    chosen: list[int] = []
    for one, own, part in zip(ideas, rows, parts.tolist(), strict=True):
        worth = rewards[part].of(own)
        chosen.append(int(worth.argmax()))
        hits += [bool(worth[better] > worth[worse]) for better, worse in _pairs(one)]
    figures = [_figures(ideas, chosen, name) for name in ("agreement", "nearness")]
    return LearntRanker(ExpansionRanker(_fit(ideas, rows)), share(hits or [False]), *figures)


def _painted(idea: str, number: int, expander: PromptExpander, painting: Painting, model: ImageTextModel) -> ReadIdea:
    card = painting.card
    how = {"max_words": card.max_added_words, "english_only": card.english_only, "dialect": card.dialect}
    found = asyncio.run(candidates(expander, idea, number, {"locale": "", **how}))
    requests = [painting.request(one.text, PAINTED * number + seed) for one in found for seed in range(PAINTED)]
    images = [finished.images[0].convert("RGB") for finished in painting.carry_out(requests)]
    readings = read_back(model, images, idea)
    read: list[ReadExpansion] = []
    for place, one in enumerate(found):
        own = readings[PAINTED * place : PAINTED * (place + 1)]
        means = (float(np.mean([getattr(each, name) for each in own])) for name in ("agreement", "nearness"))
        read.append(ReadExpansion(one, *means))
    return ReadIdea(idea, read)


def _kept(file: Path) -> dict[str, ReadIdea]:
    found: dict[str, ReadIdea] = {}
    lines = split_lines(file.read_text("utf-8")) if file.is_file() else []
    for line in lines:
        try:
            row = parse_json(line, file.name)
            found[row["idea"]] = ReadIdea(row["idea"], [_expansion(one) for one in row["expansions"]])
        except (BadText, KeyError, TypeError):
            continue  # a line that was torn when the run was stopped; that idea is painted again
    return found


def _expansion(row: dict[str, object]) -> ReadExpansion:
    return ReadExpansion(Expansion.from_json(row["expansion"]), row["agreement"], row["nearness"])  # pyright: ignore[reportArgumentType]


def _pairs(one: ReadIdea) -> list[tuple[int, int]]:
    """The better and the worse place of each two expansions of which one is better."""
    ranks = [each.rank for each in one.expansions]
    return [
        (first, second) if ranks[first] > ranks[second] else (second, first)
        for first, second in itertools.combinations(range(len(ranks)), 2)
        if ranks[first] != ranks[second]
    ]


def _others(
    ideas: Sequence[ReadIdea], rows: Sequence[Rows], are_others: np.ndarray
) -> tuple[list[ReadIdea], list[Rows]]:
    places = np.flatnonzero(are_others).tolist()
    return [ideas[place] for place in places], [rows[place] for place in places]


def _fit(ideas: Sequence[ReadIdea], rows: Sequence[Rows]) -> Reward:
    pairs = [(own[better], own[worse]) for one, own in zip(ideas, rows, strict=True) for better, worse in _pairs(one)]
    better, worse = (np.array([pair[side] for pair in pairs]).reshape(-1, rows[0].shape[1]) for side in range(2))
    return Reward.fit(better, worse)


def _figures(ideas: Sequence[ReadIdea], chosen: Sequence[int], name: str) -> dict[str, Figure]:
    values = [np.array([getattr(each, name) for each in one.expansions]) for one in ideas]
    own = np.array([each[place] for each, place in zip(values, chosen, strict=True)])
    first, best = np.array([each[0] for each in values]), np.array([each.max() for each in values])
    columns = {"first": first, "chosen": own, "best": best, "gain": own - first}
    return {
        what: estimate(lambda rows, column=column: float(column[rows].mean()), len(ideas))
        for what, column in columns.items()
    }
