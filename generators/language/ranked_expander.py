"""Chooses among several expansions of an idea the one whose pictures will show the idea best, as was learnt."""

# pyright: basic

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from limner.generators.base import Expansion, PromptExpander
from limner.generators.embedders import TextEmbedder, UniversalSentenceEncoder
from limner.generators.requests import SEEDS
from limner.generators.vision.preferences import Reward, Rows

FILE = "expansions.safetensors"
CANDIDATES = 3
"""Expansions of an idea that are chosen among; each takes as long as one does alone."""
APART = 1_000_003
"""Between the seeds of two candidates, so that the next expansion of an idea has others."""


@dataclass(frozen=True)
class ExpansionRanker:
    """A reward on what a text embedder knows of the words that an expansion adds (`limner train expansions`)."""

    reward: Reward

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` has written; raises ModelNotFound if it is not there."""
        return cls(Reward.load(folder, FILE))

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        self.reward.save(folder, FILE)

    @cached_property
    def _embedder(self) -> TextEmbedder:
        return UniversalSentenceEncoder.create()

    def best(self, idea: str, expansions: Sequence[Expansion]) -> int:
        """The place of the best expansion; of equal ones the first."""
        return int(self.reward.of(described(self._embedder, idea, expansions)).argmax())


def described(embedder: TextEmbedder, idea: str, expansions: Sequence[Expansion]) -> Rows:
    """What is known of each expansion: the meaning of its added words, and how near that is to the idea's, as rows.

    Where nothing is added all numbers are 0.
    """
    vectors = embedder.embed([idea, *(one.added or idea for one in expansions)]).astype(np.float64)
    own, added = vectors[0], vectors[1:] * np.array([[bool(one.added)] for one in expansions])
    return np.column_stack([added, added @ own]) * np.sqrt(len(own))


class RankedExpander:
    """Lets another expander write several expansions, each checked by its guard, and chooses one of them."""

    def __init__(self, expander: PromptExpander, ranker: ExpansionRanker) -> None:
        self._expander, self._ranker = expander, ranker

    async def expand(
        self,
        idea: str,
        *,
        locale: str,
        seed: int,
        max_words: int,
        english_only: bool = False,
        dialect: str = "sentences",
    ) -> Expansion:
        """Describe ``idea``. See `PromptExpander.expand`; the first candidate is what the expander alone would say."""
        began = time.monotonic()
        how = {"locale": locale, "max_words": max_words, "english_only": english_only, "dialect": dialect}
        found = await candidates(self._expander, idea, seed, how)
        usable = [one for one in found if not one.note] or found[:1]
        place = await asyncio.to_thread(self._ranker.best, idea, usable) if len(usable) > 1 else 0
        return replace(usable[place], seconds=time.monotonic() - began)

    async def close(self) -> None:
        """Close the other expander."""
        await self._expander.close()


async def candidates(
    expander: PromptExpander, idea: str, seed: int, how: dict[str, Any], count: int = CANDIDATES
) -> list[Expansion]:
    """Different expansions of an idea, in the order of their seeds; where there is none, the idea with its note."""
    first = await expander.expand(idea, seed=seed, **how)
    found = {first.text: first}
    if first.added:  # otherwise others would say the same: there is nothing to add, or the model does not answer
        for number in range(1, count):
            other = await expander.expand(idea, seed=(seed + number * APART) % SEEDS, **how)
            found.setdefault(other.text, other)
    return [*found.values()]
