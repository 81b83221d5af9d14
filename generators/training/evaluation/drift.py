"""How near expansions stay to the ideas that they were made from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from limner.generators.base import Expansion
from limner.generators.embedders import TextEmbedder
from limner.generators.language import guard

NOTHING = float("nan")


@dataclass(frozen=True)
class Expanded:
    """A member's idea, what a language model made of it, and the member's language ("zh-CN")."""

    idea: str
    expansion: Expansion
    locale: str


@dataclass(frozen=True)
class Drift:
    """Figures of ``ideas`` expansions.

    ``expanded`` is the share that passed the guard. Of these are: ``kept``, the mean share of the idea's content words
    that the expansion has; ``similarity``, the median cosine of the embeddings of idea and expansion, and
    ``lowest_tenth``, the cosine that a tenth of them stays below; ``added``, the median number of added words. They are
    not a number where nothing was expanded.
    """

    ideas: int
    expanded: float
    kept: float = NOTHING
    similarity: float = NOTHING
    lowest_tenth: float = NOTHING
    added: float = NOTHING


def drift(asked: Sequence[Expanded], embedder: TextEmbedder) -> Drift:
    """The figures of at least one idea."""
    pairs = [one for one in asked if not one.expansion.note]
    if not pairs:
        return Drift(len(asked), 0.0)
    ideas = embedder.embed([one.idea for one in pairs])
    cosines = (ideas * embedder.embed([one.expansion.text for one in pairs])).sum(1)
    return Drift(
        len(asked),
        len(pairs) / len(asked),
        float(np.mean([guard.kept_share(one.idea, one.expansion.text, one.locale) for one in pairs])),
        float(np.median(cosines)),
        float(np.quantile(cosines, 0.1)),
        median(len(re.findall(r"\w+", one.expansion.added)) for one in pairs),
    )
