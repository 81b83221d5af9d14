"""Runs image-text model, postprocessing and segmentation in their own thread; each is loaded at its first use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from limner.bot.errors import UnknownModel
from limner.bot.storage.history.embeddings import small
from limner.generators.base import ImageTextModel
from limner.generators.errors import GenerationError, error_site
from limner.generators.requests import Finish

if TYPE_CHECKING:
    from limner.generators.vision.missing_places import MissingPlace
    from limner.generators.vision.postprocess import Finisher
    from limner.generators.vision.preferences import Reward
    from limner.generators.vision.read_back import Reading
    from limner.generators.vision.segmentation import TextSegmentation

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class SelectedPicture:
    """A selected picture: its seed, its similarity to the idea where that was scored, its prompt if it is another."""

    image: Image.Image
    seed: int
    nearness: float | None = None
    prompt: str = ""


class ScoringThread:
    """Scores, describes, postprocesses and segments pictures, one at a time, without blocking the event loop.

    ``reward`` loads what chooses among candidates, if not nearness to the words does.

    A missing model raises UnknownModel.
    """

    def __init__(
        self,
        load: Callable[[], ImageTextModel],
        finisher: Callable[[], Finisher],
        segmentation: Callable[[], TextSegmentation],
        reward: Callable[[], Reward] | None = None,
    ) -> None:
        self._load, self._make_finisher, self._load_segmentation = load, finisher, segmentation
        self._load_reward = reward
        self._reward: Reward | None = None
        self._segmentation: TextSegmentation | None = None
        self._model: ImageTextModel | None = None
        self._finisher: Finisher | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reading")

    async def describe(self, image: Image.Image) -> str:
        """A description of a picture; empty without a captioner."""
        return await self._call(self._describe, image)

    async def choose(
        self, images: Sequence[Image.Image], seeds: Sequence[int], keep: int, words: str
    ) -> Sequence[SelectedPicture]:
        """The pictures most similar to the words, or with a reward those that people like most, the best first.

        If a model fails, the first pictures are kept, so that none is lost.
        """
        try:
            return await self._call(self._choose, images, seeds, keep, words)
        except Exception as error:
            log.warning("image_text_model_failed reason=%s", error_site(error))
            return [SelectedPicture(image, seed) for image, seed in zip(images[:keep], seeds[:keep], strict=True)]

    async def likeness(self, images: Sequence[Image.Image], words: str) -> list[float]:
        """The similarity of each picture to the words, from -1 to 1; nothing if the model fails."""
        try:
            return await self._call(lambda: self._read().score(images, [words])[:, 0].tolist())
        except Exception as error:
            log.warning("image_text_model_failed reason=%s", error_site(error))
            return []

    async def read_back(self, images: Sequence[Image.Image], idea: str) -> list[Reading]:
        """What of an idea each picture shows; nothing if the model fails."""
        try:
            return await self._call(self._read_back, images, idea)
        except Exception as error:
            log.warning("image_text_model_failed reason=%s", error_site(error))
            return []

    async def features(self, images: Sequence[Image.Image]) -> list[bytes]:
        """The model's embedding of each picture, one byte for each number; nothing if the model fails."""
        try:
            return await self._call(self._features, images)
        except Exception as error:
            log.warning("image_text_model_failed reason=%s", error_site(error))
            return []

    async def finish(self, image: Image.Image, finish: Finish) -> tuple[Image.Image, dict[str, str]]:
        """A picture after the requested postprocessing, and the generation parameters that it adds."""
        return await self._call(self._finish, image, finish)

    async def find(self, image: Image.Image, words: str) -> Image.Image:
        """A mask of the picture, white where it shows what the words name."""
        return await self._call(self._find, image, words)

    async def mask(self, image: Image.Image, place: MissingPlace) -> Image.Image | None:
        """A mask of the part of a picture in which a word is missing; None if it is not found, or the model fails."""
        try:
            return await self._call(self._mask, image, place)
        except Exception as error:
            log.warning("segmentation_model_failed reason=%s", error_site(error))
            return None

    def close(self) -> None:
        """Start nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except GenerationError as error:
            raise UnknownModel(str(error)) from error

    # In the thread.

    def _read(self) -> ImageTextModel:
        self._model = self._model or self._load()
        return self._model

    def _describe(self, image: Image.Image) -> str:
        model = self._read()
        return model.describe(image) if model.can_describe else ""

    def _choose(
        self, images: Sequence[Image.Image], seeds: Sequence[int], keep: int, words: str
    ) -> Sequence[SelectedPicture]:
        scores = self._read().score(images, [words])[:, 0].tolist()
        kept = [SelectedPicture(*one) for one in zip(images, seeds, scores, strict=True)]
        worth = self._rewards(self._load_reward, images, words) if self._load_reward else scores
        order = sorted(range(len(kept)), key=lambda place: worth[place], reverse=True)
        return [kept[place] for place in order[:keep]]

    def _rewards(self, load: Callable[[], Reward], images: Sequence[Image.Image], words: str) -> list[float]:
        from limner.generators.vision.preferences import described

        self._reward = self._reward or load()
        return self._reward.of(described(self._read(), images, words)).tolist()

    def _read_back(self, images: Sequence[Image.Image], idea: str) -> list[Reading]:
        from limner.generators.vision.read_back import read_back

        return read_back(self._read(), images, idea)

    def _features(self, images: Sequence[Image.Image]) -> list[bytes]:
        return [vector.tobytes() for vector in small(self._read().features(images))]

    def _finish(self, image: Image.Image, finish: Finish) -> tuple[Image.Image, dict[str, str]]:
        self._finisher = self._finisher or self._make_finisher()
        return self._finisher.finish(image, finish), self._finisher.parameters(finish)

    def _mask(self, image: Image.Image, place: MissingPlace) -> Image.Image | None:
        from limner.generators.vision.missing_places import mask_of

        return mask_of(place, image, self._find)

    def _find(self, image: Image.Image, words: str) -> Image.Image:
        self._segmentation = self._segmentation or self._load_segmentation()
        return self._segmentation.find(image, words)
