"""The contract of generators: what each of them does, and its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from limner.generators.errors import GenerationError
from limner.generators.requests import GenerationRequest

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

FIRST_BATCH = 4
"""Samples of a model's own size in one call before anything is measured."""


@dataclass(frozen=True)
class Progress:
    """A request has taken a denoising step: ``step`` of ``steps``."""

    key: str
    step: int
    steps: int


@dataclass(frozen=True)
class Preview:
    """A small, rough picture of a request in progress."""

    key: str
    image: Image.Image


class WorkDone(NamedTuple):
    """What a request took: prompts encoded and cached, and denoised and skipped steps, summed over its pictures."""

    prompts_encoded: int = 0
    prompts_cached: int = 0
    steps_denoised: int = 0
    steps_skipped: int = 0


NO_WORK = WorkDone()


@dataclass(frozen=True, eq=False)
class WordMap:
    """Where a word drew: the mean share of the denoiser's attention that it had, over heads, layers and steps.

    ``cells`` has rows and columns over the whole picture, shares from 0 to 1; ``step`` is the number of steps that were
    taken before its prompt counted.
    """

    word: str
    step: int
    cells: np.ndarray


@dataclass(frozen=True)
class Finished:
    """A request is done and has left the generator; images and seeds are in the request's order.

    ``seconds`` is the time since it was admitted, ``busy_seconds`` its share of that time: a step of four samples
    counts a quarter for each. ``unread`` and ``unread_negative`` are the ends of its prompts beyond the text encoders'
    length, ``unused`` the options (steps, guidance, seed) that an images server does not take, and ``work`` what is
    known of the work that it took. ``maps`` says of an explained request where the words drew in its first picture, and
    ``bridged`` how many of an animation's frames were painted from a cross-fade of their neighbours.
    """

    key: str
    images: list[Image.Image]
    seeds: list[int]
    seconds: float
    busy_seconds: float
    unread: str = ""
    unread_negative: str = ""
    unused: tuple[str, ...] = ()
    work: WorkDone = NO_WORK
    maps: tuple[WordMap, ...] = ()
    bridged: int = 0


@dataclass(frozen=True)
class Failed:
    """A request has failed and has left the generator; others continue."""

    key: str
    error: GenerationError


Event = Progress | Preview | Finished | Failed


class ImageGenerator(Protocol):
    """A loaded model that paints several requests at once, one denoising step at a time.

    A request has a ``key`` (a string of the caller's) from `admit` until `step` returns its Finished or Failed event,
    or until `evict`. Calls come from one thread.
    """

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Add a request; raises GenerationError if it does not fit or is malformed."""
        ...

    def step(self) -> list[Event]:
        """Take one denoising step for all requests; returns the events."""
        ...

    def evict(self, key: str) -> None:
        """Drop a request now; others are not affected. Unknown keys are ignored."""
        ...

    def capacity(self) -> int:
        """How many more pixels fit (`GenerationRequest.pixels`, summed over requests of any size)."""
        ...

    def together(self) -> int:
        """How many pixels are worth painting at once: more take proportionally longer."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


@dataclass(frozen=True)
class Expansion:
    """A prompt made from an idea: the text, the added part, and the kept words of the idea.

    ``note`` is one sentence for the member if the expansion failed or was rejected; empty otherwise.
    """

    text: str
    added: str
    kept: tuple[str, ...]
    model: str
    seconds: float
    note: str = ""

    @property
    def without_addition(self) -> str:
        """The idea in the image model's language, without the added part."""
        return self.text.removesuffix(self.added).rstrip(" ,") or self.text

    def left_out(self, prompt: str, idea: str) -> str:
        """A prompt without the part that was added to the idea; empty if the prompt has no such part."""
        if not self.added or self.text not in prompt:
            return ""
        plain = self.without_addition
        return prompt.replace(self.text, idea if plain == self.text else plain, 1)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that `from_json` reads back unchanged."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read `to_json`'s dictionary, also after a trip through a JSON column."""
        values: dict[str, Any] = {**data, "kept": tuple(data["kept"])}
        return cls(**values)


class PromptExpander(Protocol):
    """Turns an idea into a detailed description that keeps all its words."""

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
        """Describe ``idea`` with at most ``max_words`` more words; the same seed gives the same text.

        ``dialect`` is how the image model's prompts are written, "sentences" or "tags" (`ModelCard.dialect`).

        With ``english_only`` (the image model's language) the text of a foreign idea begins with the glossary's
        translation; unknown words stay as they are.

        Never raises for a language model that is slow, missing or disobedient: the idea comes back with a note.
        """
        ...

    async def close(self) -> None:
        """Free the language model."""
        ...


class ImageTextModel(Protocol):
    """Compares pictures with texts, and may describe them (CLIP, captioner). Calls come from one thread."""

    @property
    def can_describe(self) -> bool:
        """Whether `describe` is available."""
        ...

    def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        """Cosine similarity of each picture (row) to each text (column), from -1 to 1."""
        ...

    def fits(self, image: Image.Image, texts: Sequence[str]) -> np.ndarray:
        """How well each text fits a picture, as a logarithm; comparable among texts that differ in few words."""
        ...

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Each picture's embedding as a row; similar pictures have close ones."""
        ...

    def describe(self, image: Image.Image) -> str:
        """A short description of the picture."""
        ...


@dataclass(frozen=True)
class SafetyScores:
    """A classifier's result: ``score`` is how explicit it is, from 0 to 1, ``scores`` the score of each label."""

    score: float
    scores: Mapping[str, float]


class SafetyClassifier(Protocol):
    """Scores how explicit pictures are. Calls come from one thread, beside the executor's."""

    @classmethod
    def create(cls, *, model: str, unwanted: Sequence[str], wanted: Sequence[str]) -> Self:
        """Load the classifier.

        Args:
            model: folder or hub name, for classifiers that load one.
            unwanted: the labels that count as explicit; empty means the usual ones.
            wanted: harmless subjects, for models that compare texts.

        Raises:
            ModelNotFound: the model is missing, or has none of the labels; its text says what to do.
        """
        ...

    def look(self, image: Image.Image) -> SafetyScores:
        """Classify one picture of any size and mode; any exception leaves the picture unclassified."""
        ...
