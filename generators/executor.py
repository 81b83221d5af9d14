"""The executor of a process and device: loads models on demand, steps them, and survives their crashes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from typing import Any, Protocol

from limner.generators.base import FIRST_BATCH, Event, Failed, Finished, ImageGenerator
from limner.generators.cards.model_card import DAMAGED, ModelCard
from limner.generators.errors import (
    CANNOT_CHANGE,
    TOO_LATE,
    BadRequest,
    DamagedModel,
    DeviceLost,
    GenerationError,
    ModelNotFound,
    error_site,
)
from limner.generators.frames import Animator
from limner.generators.language.placement import Neighbour
from limner.generators.measured import Measured
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence
from limner.generators.walks import Look, pixels

log = logging.getLogger(__name__)


class GeneratorClass(Protocol):
    """The class that an entry point in the group ``limner.generators`` names."""

    def load(
        self,
        card: ModelCard,
        *,
        device: str,
        dtype: str,
        offload: str,
        max_batch: int | None,
        previews: float,
        measured: Measured,
    ) -> ImageGenerator:
        """Load ``card.source``; raises GenerationError if that fails.

        With ``max_batch`` None the generator chooses the size of calls, and may store what it measures in ``measured``.
        """
        ...


class Executor:
    """Paints requests for any of the models in ``cards``, each by the generator class of the model's kind.

    Models are loaded at their first request, at most ``max_models`` at a time; the idle one unused for longest is
    unloaded for the next. Calls come from one thread.

    Args:
        cards: the offered models by name.
        device: auto, cuda, cuda:1, mps or cpu.
        dtype: auto, float32, float16, bfloat16 or fastest.
        offload: none, model or sequential.
        max_batch: samples of a model's own size in one denoiser call; None: as many as fit and save time.
        max_models: models in memory at the same time.
        previews: seconds between two previews of a request; 0 for none.
        measured: earlier measurements of models on this machine; None for none.
        look: compares neighbouring frames of animations.
    """

    def __init__(
        self,
        cards: Mapping[str, ModelCard],
        *,
        device: str = "auto",
        dtype: str = "auto",
        offload: str = "none",
        max_batch: int | None = None,
        max_models: int = 1,
        previews: float = 0.0,
        measured: Measured | None = None,
        look: Look = pixels,
    ) -> None:
        self._cards = cards
        self._device = device
        self._dtype = dtype
        self._offload = offload
        self._max_batch = max_batch
        self._max_models = max_models
        self._previews = previews
        self._measured = measured or Measured()
        self._look = look
        self._generators: dict[str, Animator] = {}  # the least recently used is first
        self._stamps: dict[str, str] = {}  # of the files that each was loaded from
        self._models: dict[str, str] = {}  # request key -> model
        self._device_is_ours = threading.Lock()

    @property
    def in_flight(self) -> set[str]:
        """The keys of all requests in progress."""
        return set(self._models)

    @property
    def loaded(self) -> list[str]:
        """The models in memory; the one used last is last."""
        return list(self._generators)

    @property
    def is_idle(self) -> bool:
        """Whether animations wait for room that is promised to requests which come next, and nothing else is left."""
        return all(generator.is_idle for generator in self._generators.values())

    def check(self) -> None:
        """Run a computation on the device; raises DeviceLost if it fails."""
        if all(card.server for card in self._cards.values()):
            return  # a server paints, and torch may be missing
        from limner.generators.device import check

        check(self._device)

    @contextmanager
    def aside(self) -> Generator[None]:
        """Inside this block, in any thread, nothing is painted and the models are in main memory: the device is free.

        Requests in flight continue afterwards unchanged.
        """
        with self._device_is_ours:
            for generator in self._generators.values():
                _move(generator, "cpu")
            try:
                yield
            finally:
                for generator in self._generators.values():
                    _move(generator, self._device)

    def neighbour(self, model: str, wanted: str) -> Neighbour:
        """Facts that an expander needs to share the device; ``wanted`` is auto, cpu, resident or swap."""
        return Neighbour(
            device=self._device,
            source=self._cards[model].source,
            dtype=self._dtype,
            offload=self._offload,
            wanted=wanted,
            aside=self.aside,
        )

    def capacity(self, model: str) -> int:
        """How many pixels `admit` would accept for this model now; 0 while other busy models leave no room.

        A model that is not loaded counts as empty, and so does an unknown one: `admit` says what is wrong. One whose
        files have changed takes nothing more until its requests in flight have ended.
        """
        if self._is_outdated(model):
            return 0 if model in self._models.values() else self._empty(model)
        if model in self._generators:
            return self._generators[model].capacity()
        has_room = len(self._generators) < self._max_models or self._idle() is not None
        return self._empty(model) if has_room else 0

    def together(self, model: str) -> int:
        """How many pixels of this model are worth painting at once; all that fit while it is not loaded."""
        return self._generators[model].together() if model in self._generators else self.capacity(model)

    def admit(self, key: str, request: GenerationRequest) -> None:
        """Add a request; loads its model first if necessary (seconds to minutes).

        Raises:
            ModelNotFound: no such model, or it cannot be loaded.
            DeviceLost: this process cannot paint any more.
            GenerationError: it does not fit (retryable), or it is malformed; the text is for the member.
        """
        model = request.model
        if model not in self._cards:
            raise ModelNotFound(sentence("There is no such model here; choose one from the list."))
        with self._device_is_ours:
            if self._is_outdated(model):
                self._drop_outdated(model)
            if model not in self._generators:
                self._make_room()
                self._stamps[model] = self._cards[model].stamp
                self._generators[model] = self._load(self._cards[model])
            generator = self._generators[model] = self._generators.pop(model)
            try:
                generator.admit(key, request)
            except GenerationError:
                raise
            except Exception as error:
                log.error("admit_failed model=%s key=%s reason=%s", model, key, error_site(error))
                raise GenerationError from error
            self._models[key] = model

    def step(self, reserved: int = 0) -> list[Event]:
        """Step every generator that has work; returns the events.

        A generator that raises is dropped, all its requests fail (retryable), and the next `admit` loads it again.
        Frames of animations leave ``reserved`` pixels free, which are promised to requests that come next.

        Raises:
            DeviceLost: this process cannot paint any more.
        """
        events = [event for model in self.loaded for event in self._step(model, reserved)]
        for event in events:
            if isinstance(event, Finished | Failed):
                del self._models[event.key]
        return events

    def change(self, key: str, prompt: str | None) -> None:
        """Paint the remaining steps of a request from another prompt, or with None finish it after its next step.

        Raises:
            BadRequest: its last step is taken, or its model cannot be changed between two steps.
            GenerationError: the prompt cannot be encoded; the request continues unchanged.
        """
        generator = self._generators.get(self._models.get(key, ""))
        if generator is None:
            raise BadRequest(TOO_LATE)
        change = getattr(generator, "change", None)
        if change is None:
            raise BadRequest(CANNOT_CHANGE)
        with self._device_is_ours:
            try:
                change(key, prompt)
            except GenerationError:
                raise
            except Exception as error:
                log.error("change_failed key=%s reason=%s", key, error_site(error))
                raise GenerationError from error

    def evict(self, key: str) -> None:
        """Drop a request now; unknown keys are ignored."""
        model = self._models.pop(key, None)
        if model is not None:
            self._generators[model].evict(key)

    def compile_next(self) -> tuple[str, str] | None:
        """Compile a loaded model for one more size of calls, if that is wanted and nothing is in flight.

        Returns:
            A model and what `limner.generators.diffusion.compile_trial` is to try before; None if there is nothing.
        """
        with self._device_is_ours:
            for model in () if self._models else self.loaded:
                compile_next = getattr(self._generators[model], "compile_next", None)
                if compile_next and (asked := compile_next()):
                    return model, asked
        return None

    def compile_tried(self, model: str, found: dict[str, Any] | None) -> None:
        """Take the outcome of what `compile_next` asked to be tried; None if there is none."""
        if model in self._generators:
            self._generators[model].compile_tried(found)

    def close(self) -> None:
        """Drop all requests and free the device."""
        self._models.clear()
        for model in self.loaded:
            self._unload(model)

    def _step(self, model: str, reserved: int) -> list[Event]:
        keys = [key for key, its_model in self._models.items() if its_model == model]
        if not keys:
            return []
        started = time.perf_counter()
        try:
            with self._device_is_ours:
                events = self._generators[model].step(reserved)
        except DeviceLost:
            raise
        except Exception as error:
            log.error("generator_crashed model=%s requests=%d reason=%s", model, len(keys), error_site(error))
            with suppress(Exception):  # a crashed generator may fail to close too
                self._unload(model)
            stumbled = GenerationError(
                sentence("Painting failed, and the model is loaded anew; ask again in a moment.")
            )
            return [Failed(key, stumbled) for key in keys]
        log.debug("batch_stepped model=%s requests=%d seconds=%.3f", model, len(keys), time.perf_counter() - started)
        return events

    def _empty(self, model: str) -> int:
        """The pixels that a model takes while nothing is in flight and nothing is known of it."""
        card = self._cards.get(model) or next(iter(self._cards.values()))
        samples = 1 if card.video else self._max_batch or FIRST_BATCH
        return samples * card.width * card.height

    def _is_outdated(self, model: str) -> bool:
        """Whether a model in memory has other files now."""
        card = self._cards.get(model)
        return model in self._generators and card is not None and card.stamp != self._stamps[model]

    def _drop_outdated(self, model: str) -> None:
        if model in self._models.values():
            raise GenerationError(
                sentence("This model is loaded again, as its files have changed; ask again in a moment.")
            )
        self._unload(model)

    def _idle(self) -> str | None:
        """The idle model that was used least recently."""
        busy = set(self._models.values())
        return next((model for model in self._generators if model not in busy), None)

    def _make_room(self) -> None:
        while len(self._generators) >= self._max_models:
            idle = self._idle()
            if idle is None:
                raise GenerationError(sentence("The device is busy with another model; ask again in a moment."))
            self._unload(idle)

    def _load(self, card: ModelCard) -> Animator:
        started = time.perf_counter()
        try:
            generator = _generator_class(card.kind).load(
                card,
                device=self._device,
                dtype=self._dtype,
                offload=self._offload,
                max_batch=self._max_batch,
                previews=self._previews,
                measured=self._measured,
            )
        except GenerationError as error:
            log.warning("model_not_loaded model=%s reason=%s", card.name, error_site(error))
            if isinstance(error, DamagedModel):
                self._measured.put(DAMAGED, card.origin, card.stamp)
            raise
        except Exception as error:
            log.error("model_not_loaded model=%s reason=%s", card.name, error_site(error))
            raise ModelNotFound(
                sentence("This model could not be loaded; the operator finds the reason in the log.")
            ) from error
        log.info("model_loaded model=%s seconds=%.1f", card.name, time.perf_counter() - started)
        return Animator(generator, starts=card.starts, look=self._look)

    def _unload(self, model: str) -> None:
        self._generators.pop(model).close()
        log.info("model_unloaded model=%s", model)


def _move(generator: ImageGenerator, device: str) -> None:
    """Generators without weights of their own, such as a remote server's, have no such method."""
    move = getattr(generator, "move", None)
    if move:
        move(device)


def _generator_class(kind: str) -> GeneratorClass:
    found = {entry.name: entry for entry in entry_points(group="limner.generators")}
    if kind not in found:
        raise ModelNotFound(
            sentence("No installed package can use this model; the operator can see why with `limner doctor`.")
        )
    return found[kind].load()
