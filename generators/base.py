"""The contract of generators: requests, events, errors, and model cards."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast

from limner.generators.abilities import abilities
from limner.generators.card_schema import read_limner_json, read_table
from limner.generators.model_files import downloaded, fault_of
from limner.generators.samplers import samplers
from limner.generators.sentences import sentence
from limner.generators.text_files import read_text

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

UNLOADABLE = sentence("cannot be loaded, and the operator finds the reason with `limner doctor`")
"""The problem of a model whose files are missing or broken."""
FIRST_BATCH = 4
"""Samples of a model's own size in one call before anything is measured."""
WITH_LORA = sentence("With the LoRA {lora} this model computes values that are not numbers; ask again without it.")
IN_PRECISION = sentence(
    "The model {model} computes values that are not numbers in {precision}; choose another model. The operator can set "
    "`dtype` to {finer}."
)
DAMAGED = sentence(
    "The model {model} computes values that are not numbers in {precision}; choose another model. The operator can "
    "save its files again, as they may be damaged."
)
SEEDS = 2**32
"""Seeds run from 0 to SEEDS - 1, as in Midjourney; torch accepts them all."""


class GenerationError(Exception):
    """The painter could not finish this picture."""

    retryable: ClassVar[bool] = True
    """Whether another attempt may end otherwise; what fails the same way each time is tried once."""
    most_attempts: ClassVar[float] = math.inf
    """How many attempts are worth their time; the operator may allow fewer."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class OutOfMemory(GenerationError):
    """The picture does not fit into the device's memory; ask for a smaller one or for fewer."""


class ModelFailed(GenerationError):
    """The model failed on this request; change its size, steps or model. The operator finds the reason in the log."""

    most_attempts = 2


class BrokenImage(GenerationError):
    """What came is not a picture; ask again in a moment."""


class NotNumbers(GenerationError):
    """The model computes values that are not numbers for this request; choose another model."""

    retryable = False

    @classmethod
    def blaming(cls, request: GenerationRequest, precision: str) -> Self:
        """The error with a sentence that names the cause: the LoRAs in use, or else the model.

        Args:
            request: the failed request.
            precision: the number format of the weights, such as float16.
        """
        if request.loras:
            which = " and ".join(name for name, _ in request.loras)
            return cls(WITH_LORA.format(lora=which))
        finer = {"float16": "bfloat16 or float32", "bfloat16": "float32"}.get(precision)
        text = IN_PRECISION if finer else DAMAGED
        return cls(text.format(model=request.model, precision=precision, finer=finer))


class BadRequest(GenerationError):
    """The painter cannot paint this request; change its size, steps or model."""

    retryable = False


class NoNegative(BadRequest):
    """This painter cannot leave things out; ask again without a negative prompt."""


class DeviceLost(GenerationError):
    """The painter's device stopped answering; the request is painted again when it is back."""


class ModelNotFound(GenerationError):
    """The model is not on this machine; the operator can see why with `limner doctor`."""

    retryable = False


def error_site(error: BaseException) -> str:
    """An error's type and code location for a log; never its text, which may quote a prompt or a path.

    A chained error names the first one.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    raised = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + raised


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Postprocessing of each picture, in this order; JSON in and out.

    ``crop`` is an aspect ratio, cut out of the middle; ``upscale`` a factor for width and height; ``resize`` the final
    width and height in pixels; ``colour`` and ``sharpness`` are 1 for no change.
    """

    crop: tuple[int, int] | None = None
    upscale: int = 1
    resize: tuple[int, int] | None = None
    colour: float = 1.0
    sharpness: float = 1.0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the result for a picture of this size."""
        if self.crop:
            across, down = self.crop
            width, height = min(width, height * across // down), min(height, width * down // across)
        return self.resize or (max(1, width) * self.upscale, max(1, height) * self.upscale)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read the dictionary of `dataclasses.asdict`, also from a JSON column."""
        pairs: dict[str, Any] = {name: tuple(data[name]) if data[name] else None for name in ("crop", "resize")}
        return cls(**{**data, **pairs})


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A request in diffusers' own words; JSON in and out.

    Image ``i`` of a request is painted from seed ``(seed + i) % SEEDS``, so each can be repeated alone. ``scheduler``
    is one of the model's `ModelCard.samplers`, None for its own. ``init_image`` and ``mask`` are paths of picture
    files, which are fitted to width and height; white in the mask is painted. ``strength`` is how much of the picture
    may change, over 0 to 1, None for the pipeline's own. ``keep`` images are kept (0: all), those most similar to the
    idea by the image-text model; then comes `Finish`.
    """

    prompt: str
    model: str
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    negative_prompt: str = ""
    num_images_per_prompt: int = 1
    scheduler: str | None = None
    init_image: str | None = None
    mask: str | None = None
    strength: float | None = None
    loras: tuple[tuple[str, float], ...] = ()
    keep: int = 0
    finish: Finish | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is painted."""
        return self.width, self.height

    @property
    def count(self) -> int:
        """The number of pictures in the result."""
        return self.keep or self.num_images_per_prompt

    @property
    def is_from_picture(self) -> bool:
        """Whether it starts from an uploaded or an earlier picture."""
        return bool(self.init_image or self.mask)

    @property
    def batch_key(self) -> str:
        """Requests with equal keys may share denoiser calls; steps, guidance and scheduler may differ."""
        return f"{self.weights_key}|{self.width}x{self.height}"

    @property
    def weights_key(self) -> str:
        """Names the weights it needs: requests with equal keys need no loading between them."""
        return f"{self.model}|{self.loras_text}"

    @property
    def loras_text(self) -> str:
        """The LoRAs with their weights, in the form ink:0.7."""
        return ",".join(f"{name}:{weight:g}" for name, weight in self.loras)

    @property
    def in_words(self) -> Self:
        """A copy with the negative prompt as a part of the prompt, for servers without a field for it."""
        return replace(self, prompt=f"{self.prompt}\nAvoid: {self.negative_prompt}", negative_prompt="")

    @property
    def pixels(self) -> int:
        """Width times height, summed over its samples: its share of a device's capacity."""
        return self.width * self.height * self.num_images_per_prompt

    @property
    def seeds(self) -> list[int]:
        """One seed for each image, in order."""
        return [(self.seed + i) % SEEDS for i in range(self.num_images_per_prompt)]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that `from_json` reads back unchanged."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read `to_json`'s dictionary, also after a trip through a JSON column."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        values["loras"] = tuple((str(name), float(weight)) for name, weight in values.get("loras", ()))
        values["finish"] = Finish.from_json(values["finish"]) if values.get("finish") else None
        return cls(**values)


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


@dataclass(frozen=True)
class Finished:
    """A request is done and has left the generator; images and seeds are in the request's order.

    ``seconds`` is the time since it was admitted, ``busy_seconds`` its share of that time: a step of four samples
    counts a quarter for each. ``unread`` and ``unread_negative`` are the ends of its prompts beyond the text encoders'
    length.
    """

    key: str
    images: list[Image.Image]
    seeds: list[int]
    seconds: float
    busy_seconds: float
    unread: str = ""
    unread_negative: str = ""


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
        self, idea: str, *, locale: str, seed: int, max_words: int, english_only: bool = False
    ) -> Expansion:
        """Describe ``idea`` with at most ``max_words`` more words; the same seed gives the same text.

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


@dataclass(frozen=True)
class ImagesServer:
    """An OpenAI-compatible images API: its address with the version, its key, and seconds for one picture."""

    url: str
    api_key: str = field(repr=False)
    timeout: float


class LoraFiles(Mapping[str, str]):
    """A model's LoRA files by name: those given, and those in a folder at the moment of the look-up."""

    def __init__(self, given: Mapping[str, str], folder: Path) -> None:
        self._given, self._folder = given, folder

    def __getitem__(self, name: str) -> str:
        return self._found()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def _found(self) -> dict[str, str]:
        return {path.stem: str(path) for path in sorted(self._folder.glob("*.safetensors"))} | dict(self._given)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is known of a model before it is loaded, from its folder's JSON files, without torch.

    A folder may hold a ``limner.json`` with any of these fields; the others come from the diffusers configuration
    files, or have the defaults here.
    """

    name: str
    source: str
    title: str = ""
    width: int = 1024
    height: int = 1024
    multiple_of: int = 16
    num_inference_steps: int = 25
    guidance_scale: float = 5.0
    max_added_words: int = 60
    english_only: bool = False
    restyles: bool = False
    """Image-to-image without words."""
    leaves_out: bool = True
    """Supports a negative prompt."""
    starts: bool = True
    """Supports an input picture."""
    masks: bool = True
    """Supports a mask (inpainting)."""
    needs_picture: bool = False
    """Requires an input picture."""
    other_sizes: bool = True
    """Supports other sizes than its own."""
    subtle_strength: float = 0.35
    strong_strength: float = 0.7
    """How much of a picture its two variations change."""
    is_tryout: bool = False
    """A small model for trying Limner; a member's first picture by it has a note about that."""
    words: frozenset[str] = frozenset()
    """Its vocabulary, from the folder's ``words.txt``; empty: unknown, so every word counts as known."""
    samplers: tuple[str, ...] = ()
    """Samplers that a request may choose; empty: its own only."""
    loras: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """LoRA files (safetensors) by name; a relative path begins at the model's folder."""
    lora_words: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """The words that a LoRA listens to, by its name; where none are given, its file may say them."""
    kind: str = "diffusion"
    """The entry point in the group ``limner.generators`` that loads it."""
    server: ImagesServer | None = None
    """The images server that runs it, if any; ``source`` is then its name there."""
    problem: str = ""
    """Why no command can use it, such as "needs a control picture"; empty if one can."""

    @classmethod
    def read(cls, name: str, source: str, **overrides: Any) -> Self:
        """Read the diffusers folder (or hub name) ``source``; ``overrides`` win over its files.

        Of a hub name nothing is known until it has been downloaded.

        Raises:
            BadText: one of its files is wrong, and where.
        """
        is_elsewhere = overrides.get("server") is not None
        folder = (None if is_elsewhere else downloaded(source)) or Path(source)
        said: dict[str, Any] = read_limner_json(folder / "limner.json")
        scale = _vae_scale_factor(read_table(folder / "vae" / "config.json"))
        transformer = read_table(folder / "transformer" / "config.json")
        denoiser = read_table(folder / "unet" / "config.json") or transformer
        sample_size = denoiser.get("sample_size")
        if transformer:
            said = {"multiple_of": scale * 2, **said}  # one token is two by two latents
        if isinstance(sample_size, int):
            said = {"width": sample_size * scale, "height": sample_size * scale, **said}
        if isinstance(halvings := denoiser.get("down_block_types"), list):
            said = {"multiple_of": scale * 2 ** (len(cast("list[Any]", halvings)) - 1), **said}
        known = {field.name for field in fields(cls)} - {"name", "source", "server", "problem", "samplers"}
        kind = str(overrides.get("kind") or said.get("kind", cls.kind))
        pipeline = read_table(folder / "model_index.json").get("_class_name")
        able = abilities(kind, pipeline)
        values: dict[str, Any] = {key: value for key, value in (able | said).items() if key in known}
        values["problem"] = UNLOADABLE if Path(source).is_dir() and fault_of(folder, kind) else able.get("problem", "")
        if kind == "diffusion" and isinstance(pipeline, str):
            values["samplers"] = tuple(samplers(pipeline, read_table(folder / "scheduler" / "scheduler_config.json")))
        values["words"] = _read_words(folder / "words.txt")
        values["loras"] = {lora: str(folder / path) for lora, path in values.get("loras", {}).items()}
        return cls(name=name, source=source, **{**values, **overrides})

    @property
    def origin(self) -> str:
        """Where the model is, with its server: the same whatever it is called here."""
        return f"{self.server.url} {self.source}" if self.server else self.source

    def can_leave_out(self, guidance: float) -> bool:
        """Whether a negative prompt has an effect: diffusers ignores it without guidance."""
        return self.leaves_out and (self.kind != "diffusion" or guidance > 1)

    def size(self, aspect: tuple[int, int]) -> tuple[int, int]:
        """Width and height with about the model's own number of pixels and the given aspect ratio."""
        ratio = aspect[0] / aspect[1]
        area = self.width * self.height
        exact = ((area * ratio) ** 0.5, (area / ratio) ** 0.5)
        width, height = (max(1, round(side / self.multiple_of)) * self.multiple_of for side in exact)
        return width, height


def _read_words(path: Path) -> frozenset[str]:
    return frozenset(read_text(path).split()) if path.is_file() else frozenset()


def _vae_scale_factor(vae: dict[str, Any]) -> int:
    """diffusers' rule: one halving for each block but the first; 8 where the VAE's config is missing."""
    blocks = vae.get("block_out_channels")
    return 2 ** (len(cast("list[Any]", blocks)) - 1) if isinstance(blocks, list) and blocks else 8
