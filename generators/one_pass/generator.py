"""Base of the generators that paint in one pass from noise and words, and their file format."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from accelerate.utils.memory import clear_device_cache
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limner.generators.animation import blended
from limner.generators.base import FIRST_BATCH, Event, Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.device import pick_device
from limner.generators.errors import BadRequest, ModelNotFound, NoNegative, NotNumbers, OutOfMemory
from limner.generators.failures import understand
from limner.generators.language.caption_encoder import CaptionEncoder, load_caption_encoder, pool
from limner.generators.loading import loading
from limner.generators.measured import Measured
from limner.generators.one_pass.networks import Shape, StyleGenerator
from limner.generators.requests import SEEDS, GenerationRequest
from limner.generators.sentences import sentence

ONE_SIZE = sentence("This model paints {width}x{height} only; leave the size out.")
VERSION = 1
WEIGHTS, CAPTIONS, CONFIG = "model.safetensors", "captions.safetensors", "config.json"


@dataclass(frozen=True)
class CaptionVectors:
    """Caption vectors: those of the training captions are stored with the model, others are encoded on demand.

    Attributes:
        encoder: the caption encoder's name for `load_caption_encoder`.
        fingerprint: of the caption encoder used in training.
        known: vectors by caption.
        centre: mean of the training vectors.
        spread: their standard deviation.
    """

    encoder: str
    fingerprint: str
    known: dict[str, Tensor]
    centre: Tensor
    spread: float

    def vectors(self, texts: Sequence[str], load: Callable[[], CaptionEncoder]) -> Tensor:
        """One row (``words`` wide) for each text, normalised by `normal`.

        The encoder is loaded only for unknown texts.
        """
        missing = [text for text in dict.fromkeys(map(plain, texts)) if text not in self.known]
        found = self.known | (dict(zip(missing, pool(load().read(missing)), strict=True)) if missing else {})
        return self.normal(torch.stack([found[plain(text)] for text in texts]))

    def normal(self, vectors: Tensor) -> Tensor:
        """Normalised vectors: the common part of all captions carries no information."""
        return (vectors - self.centre) / self.spread


def plain(text: str) -> str:
    """The look-up form of a caption, without capitals, points and spaces around it."""
    return " ".join(text.lower().split()).strip(" .,!")


def save(
    folder: Path, family: str, shape: Shape, network: nn.Module, words: CaptionVectors, card: dict[str, Any]
) -> None:
    """Write a model's folder: weights and captions in float16, and JSON files that say what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: part.detach().half().contiguous() for name, part in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    texts = sorted(words.known)
    vectors = torch.stack([words.known[text] for text in texts])
    save_file({"vectors": vectors.half(), "centre": words.centre.half()}, folder / CAPTIONS)
    read = {"reader": words.encoder, "fingerprint": words.fingerprint, "spread": words.spread, "captions": texts}
    config = {"family": family, "version": VERSION, "shape": asdict(shape), "words": read}
    (folder / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "limner.json").write_text(json.dumps({"kind": family, **card}, indent=2) + "\n", encoding="utf-8")


class OnePass(ABC):
    """Base `ImageGenerator` that paints all admitted requests with one pass of a network.

    A subclass defines the inputs of a request (`_take`), and the pictures made from them (`_paint`).
    """

    family: ClassVar[str]

    def __init__(self, card: ModelCard, network: nn.Module, max_batch: int) -> None:
        self._card, self._network = card, network
        self._room = max_batch * card.width * card.height
        self._requests: dict[str, tuple[GenerationRequest, Tensor, float]] = {}

    @classmethod
    @loading()
    def load(
        cls,
        card: ModelCard,
        *,
        device: str = "auto",
        dtype: str = "auto",
        offload: str = "none",
        max_batch: int | None = None,
        previews: float = 0.0,
        measured: Measured | None = None,
    ) -> Self:
        """Load the folder ``card.source``.

        Args:
            card: the model.
            device: auto, cuda, cuda:1, mps or cpu.
            dtype: not used; so small a network computes in float32.
            offload: not used.
            max_batch: samples in one pass; None: `FIRST_BATCH`.
            previews: not used; there is nothing to see before the end.
            measured: not used.

        Raises:
            ModelNotFound: the folder is not there, or holds another family or version.
        """
        folder = Path(card.source)
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            if (config["family"], config["version"]) != (cls.family, VERSION):
                raise ModelNotFound(
                    sentence("This model is of another family or version; the operator must train it again.")
                )
            generator = cls._open(card, config, max_batch or FIRST_BATCH)
            weights = {name: part.float() for name, part in load_file(folder / WEIGHTS).items()}
            generator._network.load_state_dict(weights)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelNotFound from error
        generator._network.eval().to(pick_device(device))
        return generator

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Encode a request; it is painted in the next `step`.

        Raises:
            BadRequest: the model does not support it.
            OutOfMemory: it does not fit beside the waiting ones.
            ModelNotFound: its caption encoder is missing.
        """
        taken = self._take(request)
        if self._requests and request.pixels > self.capacity():
            raise OutOfMemory(sentence("The device has no room beside what it is painting now; ask again in a moment."))
        self._requests[key] = (request, taken, time.perf_counter())

    def step(self) -> list[Event]:
        """Paint all admitted requests; returns the events."""
        requests, self._requests = self._requests, {}
        if not requests:
            return []
        started = time.perf_counter()
        try:
            with torch.inference_mode():
                images = self._paint([(request, taken) for request, taken, _ in requests.values()])
        except Exception as error:
            return [Failed(key, understand(error)) for key in requests]
        ended = time.perf_counter()
        share = (ended - started) / sum(request.num_images_per_prompt for request, _, _ in requests.values())
        return [
            Finished(
                key,
                [images.pop(0) for _ in request.seeds],
                list(request.seeds),
                ended - admitted,
                share * request.num_images_per_prompt,
                self._unread(request),
            )
            for key, (request, _, admitted) in requests.items()
        ]

    def evict(self, key: str) -> None:
        """Drop a request now; unknown keys are ignored."""
        self._requests.pop(key, None)

    def capacity(self) -> int:
        """How many more pixels fit."""
        return max(0, self._room - sum(request.pixels for request, _, _ in self._requests.values()))

    def together(self) -> int:
        """How many pixels are worth painting at once."""
        return self._room

    def move(self, device: str) -> None:
        """Move the weights to main memory ("cpu") or back."""
        self._network.to(pick_device(device))

    def close(self) -> None:
        """Free the device."""
        self._requests.clear()
        del self._network
        clear_device_cache(garbage_collection=True)

    @classmethod
    @abstractmethod
    def _open(cls, card: ModelCard, config: dict[str, Any], max_batch: int) -> Self:
        """The network that a model's config.json describes, without weights."""

    @abstractmethod
    def _take(self, request: GenerationRequest) -> Tensor:
        """The inputs of a request; raises GenerationError if it is not supported."""

    def _unread(self, request: GenerationRequest) -> str:
        """The end of the prompt beyond the encoder's length."""
        return ""

    @abstractmethod
    def _paint(self, asked: Sequence[tuple[GenerationRequest, Tensor]]) -> list[Image.Image]:
        """The pictures of all requests, in order."""


class OnePassGenerator(OnePass):
    """Paints from noise and words.

    A sample's noise comes from its own seed, so its picture does not depend on others. Truncation is one by the
    guidance: at 1 pictures differ most, above it they are more typical.
    """

    build: ClassVar[Callable[[Shape], nn.Module]]
    blends = True

    @property
    @abstractmethod
    def painter(self) -> StyleGenerator:
        """The part of the network that makes a picture of noise and words."""

    def __init__(self, card: ModelCard, shape: Shape, words: CaptionVectors, max_batch: int) -> None:
        super().__init__(card, type(self).build(shape), max_batch)
        self._shape, self._words = shape, words
        self._encoder: CaptionEncoder | None = None

    @classmethod
    def _open(cls, card: ModelCard, config: dict[str, Any], max_batch: int) -> Self:
        words = _read_words(config["words"], load_file(Path(card.source) / CAPTIONS))
        return cls(card, Shape(**config["shape"]), words, max_batch)

    def close(self) -> None:
        """Free the device."""
        super().close()
        self._encoder = None

    def _take(self, request: GenerationRequest) -> Tensor:
        if request.negative_prompt:
            raise NoNegative
        if request.is_from_picture or request.loras or request.scheduler:
            raise BadRequest(sentence("This model knows only words; ask without a picture, a LoRA or a scheduler."))
        if (request.width, request.height) != (self._card.width, self._card.height):
            raise BadRequest(sentence(ONE_SIZE, width=self._card.width, height=self._card.height))
        if request.mix and not (self._shape.mapping and 0 < request.mix.layer < len(self._shape.widths)):
            raise BadRequest(sentence("This model cannot mix styles in that way; ask again without mix."))
        prompts = [request.prompt, (request.mix and request.mix.prompt) or request.prompt]
        words = self._words.vectors(prompts, self._load_encoder)
        if request.between is None:
            return words
        others = self._words.vectors([request.between.prompt], self._load_encoder)
        return torch.lerp(words, others, request.between.share)

    def _unread(self, request: GenerationRequest) -> str:
        is_known = plain(request.prompt) in self._words.known  # with all its words
        return "" if is_known or self._encoder is None else self._encoder.unread(request.prompt)

    def _noises(self, request: GenerationRequest) -> Tensor:
        """The noise of each of a request's pictures (count, noise)."""
        if request.between is None:
            return self._drawn(request.seeds)
        seeds, weights = zip(*request.between.noises, strict=True)
        return blended(list(self._drawn(seeds)), weights)[None]

    def _drawn(self, seeds: Sequence[int]) -> Tensor:
        generators = (torch.Generator().manual_seed(seed % SEEDS) for seed in seeds)
        return torch.stack([torch.randn(self._shape.noise, generator=generator) for generator in generators])

    def _load_encoder(self) -> CaptionEncoder:
        if self._encoder is None:
            self._encoder = load_caption_encoder(self._words.encoder)
            if self._encoder.fingerprint() != self._words.fingerprint:
                raise ModelNotFound(
                    sentence("This model learnt with another language model; the operator must train it again.")
                )
        return self._encoder

    def _paint(self, asked: Sequence[tuple[GenerationRequest, Tensor]]) -> list[Image.Image]:
        styles = torch.cat([self._styles(request, words) for request, words in asked])
        size = (self._card.width, self._card.height)
        painted = finished(self.painter.paint(styles), asked[0][0])
        images = [image.resize(size, Image.Resampling.BICUBIC) for image in painted]
        grids = [request.mix.grid if request.mix else None for request, _words in asked for _seed in request.seeds]
        return [_sheet(images, *grid) if grid else images.pop(0) for grid in grids]

    def _styles(self, request: GenerationRequest, words: Tensor) -> Tensor:
        """A style for each level of each picture (pictures, levels, style)."""
        mix, noises = request.mix, self._noises(request)
        if mix and mix.grid:
            return torch.cat([self._grid(request, seed, words[:1], *mix.grid, mix.layer) for seed in request.seeds])
        own = self._style(request, noises, words[:1])
        if mix is None:
            return self.painter.mixed(own, own, 0)
        others = noises if mix.seed is None else self._drawn([mix.seed])
        return self.painter.mixed(own, self._style(request, others, words[1:]), mix.layer)

    def _grid(
        self, request: GenerationRequest, seed: int, words: Tensor, rows: int, columns: int, layer: int
    ) -> Tensor:
        """The styles of a sheet's pictures by rows: of the columns' seeds, and then each row's seed and its mixes."""
        styles = self._style(request, self._drawn(range(seed, seed + rows + columns)), words)
        fine = [*range(rows, rows + columns)]
        pairs = [*zip(fine, fine, strict=True), *((row, other) for row in range(rows) for other in (row, *fine))]
        coarse, others = torch.tensor(pairs).T
        return self.painter.mixed(styles[coarse], styles[others], layer)

    def _style(self, request: GenerationRequest, noises: Tensor, words: Tensor) -> Tensor:
        device = next(self._network.parameters()).device
        truncation = 1 / max(1.0, request.guidance_scale)
        return self.painter.style(noises.to(device), words.expand(len(noises), -1).to(device), truncation)


def _read_words(config: dict[str, Any], tensors: dict[str, Tensor]) -> CaptionVectors:
    known = dict(zip(config["captions"], tensors["vectors"].float(), strict=True))
    return CaptionVectors(config["reader"], config["fingerprint"], known, tensors["centre"].float(), config["spread"])


def _sheet(images: list[Image.Image], rows: int, columns: int) -> Image.Image:
    """The next pictures in a grid whose first place is empty; they are taken out of the list."""
    width, height = images[0].size
    whole = Image.new("RGB", ((columns + 1) * width, (rows + 1) * height), "white")
    for place in range(1, (rows + 1) * (columns + 1)):
        row, column = divmod(place, columns + 1)
        whole.paste(images.pop(0), (column * width, row * height))
    return whole


def finished(pixels: Tensor, request: GenerationRequest) -> list[Image.Image]:
    """A request's pictures from the network's output, by `to_pictures`.

    Raises:
        NotNumbers: the output has NaN or infinity.
    """
    if not pixels.isfinite().all():
        raise NotNumbers.blaming(request, "float32")
    return to_pictures(pixels)


def to_pictures(pixels: Tensor) -> list[Image.Image]:
    """RGB pictures of a tensor (count, 1 or 3, height, width) with values from -1 to 1."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().expand(-1, 3, -1, -1)
    return [Image.fromarray(level) for level in levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()]
