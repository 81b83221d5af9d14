"""Text classifiers: which policies a text is about, and how sure that is. Importing it imports no torch."""

# pyright: basic

from __future__ import annotations

import asyncio
import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from limner.generators.embedders import UniversalSentenceEncoder, Vectors

POLICIES = ("violence", "sexual", "minors", "hate", "self-harm", "politics")
"""What a text can be about; every other name is ignored."""
NOTHING = "none"
"""The heading of examples that are about none of these."""
EXAMPLES, HEAD = "examples.txt", "head.safetensors"
SHIPPED = Path(__file__).parent / "pretrained" / "text-policies"
NEAREST = 2
"""Examples that explain a score."""
PIECE_LENGTH = 60
"""Characters of a part: longer ones hide a few words among many, shorter ones are taken for what they are not."""
DENSE, DENSITY = "\u2e80", 3
"""The first of the characters that say more, Chinese and Japanese ones, and as how many each of them counts."""
MOST_PIECES = 80
"""Parts of one text that are read; a prompt of 1,500 characters has about thirty, and the last part is all the rest."""
PENALTY, WEIGHT = 0.2, 4.0
"""Ridge penalty of the regression, and how much more an example counts than one of another policy, by validation."""
ROUNDS = 12
"""Newton's steps; the weights do not change in the last ones."""
_ENDS = re.compile(r"[.!?。！？\n]+\s*|[,;，、；]\s*")


@dataclass(frozen=True)
class PolicyScore:
    """How sure it is that a text is about a policy, from 0 to 1, and what explains it to a moderator."""

    policy: str
    score: float
    #: The examples that are nearest in meaning.
    nearest: Sequence[str] = ()


@runtime_checkable
class TextClassifier(Protocol):
    """Says which policies texts are about; named in the group `limner.text_classifiers`."""

    @classmethod
    def create(cls, *, model: str, url: str, api_key: str, timeout: float) -> Self:
        """Load it from the settings; may take seconds. Raises ImportError, OSError or ValueError if it cannot."""
        ...

    async def classify(self, texts: Sequence[str]) -> Sequence[Sequence[PolicyScore]]:
        """The scores of each text; a policy that is left out has 0. Any error leaves the texts unread."""
        ...

    async def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True)
class WrittenExample:
    """A text that was written to learn from, its language, and the policies that it is about."""

    text: str
    language: str
    policies: frozenset[str]


def read_examples(file: Path) -> list[WrittenExample]:
    """The examples of a file: headings such as ``[violence en]``, each over lines; raises ValueError for others."""
    found, policies, language = list[WrittenExample](), frozenset[str](), ""
    for line in filter(None, map(str.strip, file.read_text("utf-8").splitlines())):
        if line.startswith("["):
            *names, language = line.strip("[]").split()
            policies = frozenset(names) - {NOTHING}
            if not names or not policies <= {*POLICIES}:
                raise ValueError(f"no such heading: {line}")
        else:
            found.append(WrittenExample(line, language, policies))
    return found


class ExampleClassifier:
    """Logistic regression on the vectors of a sentence encoder, one for each policy, learnt from written examples."""

    def __init__(self, encoder: UniversalSentenceEncoder, head: Head) -> None:
        self._encoder = encoder
        self._head = head
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="text-classifier")

    @classmethod
    def create(cls, *, model: str, url: str, api_key: str, timeout: float) -> Self:
        """Load a folder of `limner train policies`, or what ships where ``model`` is empty; the rest is not used."""
        head = Head.load(Path(model) if model else SHIPPED)
        return cls(UniversalSentenceEncoder.create(), head)

    async def classify(self, texts: Sequence[str]) -> Sequence[Sequence[PolicyScore]]:
        """The scores of every policy; of a long text those of the part that is most about it."""
        return await asyncio.wrap_future(self._thread.submit(self._classify, texts))

    async def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _classify(self, texts: Sequence[str]) -> list[list[PolicyScore]]:
        parts = [[*pieces(text)] for text in texts]
        vectors = self._encoder.embed([piece for some in parts for piece in some])
        bounds = [*accumulate(map(len, parts), initial=0)]
        return [self._head.scores(vectors[start:end]) for start, end in pairwise(bounds)]


def pieces(text: str) -> Iterator[str]:
    """A text, and its parts if it is long: whole clauses where they are no longer than `PIECE_LENGTH`."""
    yield text
    lengths = [*accumulate((DENSITY if one >= DENSE else 1 for one in text), initial=0)]
    if lengths[-1] <= PIECE_LENGTH:
        return
    starts, last = [0], 0
    for end in _ends(text, lengths):
        if lengths[end] - lengths[starts[-1]] > PIECE_LENGTH:
            starts.append(last)
        last = end
    yield from (text[start:end] for start, end in pairwise([*starts[: MOST_PIECES - 1], len(text)]))


def _ends(text: str, lengths: Sequence[int]) -> Iterator[int]:
    """Where a text can be divided: after each clause, and within a long one after a word, or after any character."""
    last = 0
    for end in (*(found.end() for found in _ENDS.finditer(text)), len(text)):
        while lengths[end] - lengths[last] > PIECE_LENGTH:
            most = bisect_right(lengths, lengths[last] + PIECE_LENGTH) - 1
            last = text.rfind(" ", last, most) + 1 or most
            yield last
        last = end
        yield last


@dataclass(frozen=True)
class Head:
    """The learnt weights, and the examples that are about a policy with their vectors."""

    weights: NDArray[np.float32]
    vectors: NDArray[np.int8]
    examples: Sequence[WrittenExample]

    @classmethod
    def fit(cls, examples: Sequence[WrittenExample], vectors: Vectors) -> Self:
        """Learn from examples and their vectors."""
        about = np.array([[policy in one.policies for policy in POLICIES] for one in examples])
        weights = np.stack([_regression(_with_one(vectors), column) for column in about.T])
        chosen = about.any(axis=1)
        kept = [one for one in examples if one.policies]
        return cls(weights.astype(np.float32), np.rint(vectors[chosen] * 127).astype(np.int8), kept)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` has written; raises OSError or ValueError if it is not whole."""
        examples = [one for one in read_examples(folder / EXAMPLES) if one.policies]
        try:
            found = load_file(folder / HEAD)
        except SafetensorError as error:
            raise ValueError("its weights cannot be read") from error
        if found["digest"].tobytes() != _digest(folder / EXAMPLES) or len(found["vectors"]) != len(examples):
            raise ValueError("its weights were learnt from other examples")
        return cls(found["weights"], found["vectors"], examples)

    def save(self, folder: Path) -> None:
        """Write the weights beside the file of examples in a folder."""
        digest = np.frombuffer(_digest(folder / EXAMPLES), np.uint8)
        save_file({"weights": self.weights, "vectors": self.vectors, "digest": digest}, folder / HEAD)

    def scores(self, vectors: Vectors) -> list[PolicyScore]:
        """The highest score of each policy among the parts of one text, with the examples nearest to that part."""
        every = 1 / (1 + np.exp(-(_with_one(vectors) @ self.weights.T)))
        best = every.argmax(axis=0)
        return [
            PolicyScore(policy, float(every[best[number], number]), self._nearest(vectors[best[number]], policy))
            for number, policy in enumerate(POLICIES)
        ]

    def _nearest(self, vector: Vectors, policy: str) -> list[str]:
        order = np.argsort(-(self.vectors @ vector), kind="stable")
        found = (self.examples[place] for place in order)
        return [*islice((one.text for one in found if policy in one.policies), NEAREST)]


def _with_one(vectors: Vectors) -> NDArray[np.float64]:
    return np.column_stack([vectors, np.ones(len(vectors))]).astype(np.float64)


def _regression(vectors: NDArray[np.float64], is_about: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The weights of a ridge logistic regression, found by Newton's method; the last one is the constant."""
    weights = np.zeros(vectors.shape[1])
    ridge = np.full(len(weights), PENALTY)
    ridge[-1] = 1e-9
    counts = np.where(is_about, WEIGHT, 1.0)
    for _round in range(ROUNDS):
        chance = 1 / (1 + np.exp(-(vectors @ weights)))
        slope = vectors.T @ (counts * (chance - is_about)) + ridge * weights
        curve = (vectors * (counts * chance * (1 - chance))[:, None]).T @ vectors + np.diag(ridge)
        weights -= np.linalg.solve(curve, slope)
    return weights


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).digest()
