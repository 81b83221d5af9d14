"""Compiles the repeated blocks of a denoiser for calls of a few sizes, where that is measured to save time."""

# pyright: basic

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.batch_size import GAIN, MOST_TIMED_CALLS, is_enough, timed_request
from limner.generators.diffusion.pipelines import denoiser_of
from limner.generators.errors import GenerationError, error_site
from limner.generators.measured import Measured
from limner.generators.requests import GenerationRequest

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8)
"""Samples of the calls for which blocks are compiled; calls of other sizes run as they are."""
MOST_BYTES = 2**30
"""A larger cache folder is emptied before more is compiled."""
LEAST_FREE = 2**30
"""Bytes that must be free where the cache folder lies."""
MOST_VARIANTS = 64
"""Shapes for which torch keeps compiled code of one kind of block: layers of a UNet have several widths each."""

Paint = Callable[[GenerationRequest], Generator[None]]


class CompileError(Exception):
    """A model cannot be compiled; the text is the type of the compiler's error."""


class CompiledBlocks:
    """The repeated blocks of a pipeline's denoiser, compiled by `torch.compile` for the calls of `measure` and `add`.

    Calls of other shapes, with LoRAs or with other attention processors, run uncompiled: torch compiles nothing while
    a request is painted.
    """

    def __init__(self, pipe: DiffusionPipeline) -> None:
        self._denoiser = denoiser_of(pipe)
        self._stance = "force_eager"
        self._is_on = False

    @staticmethod
    def fits(pipe: DiffusionPipeline) -> bool:
        """Whether diffusers names repeated blocks of the denoiser."""
        return bool(_repeated(denoiser_of(pipe)))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside this block, calls of compiled shapes run compiled."""
        with torch.compiler.set_stance(self._stance):
            yield

    def add(self, painting: Generator[None]) -> None:
        """Compile for the calls of the next step; raises CompileError if that fails."""
        if not self._is_on:
            self._denoiser._repeated_blocks = _repeated(self._denoiser)
            self._denoiser.compile_repeated_blocks(dynamic=False)
            self._is_on = True
        with (
            torch._dynamo.config.patch(recompile_limit=MOST_VARIANTS),
            self._as("default"),
            _errors_of(self._denoiser) as raised,
        ):
            try:
                next(painting)
            except GenerationError as error:
                raise CompileError(raised[0] if raised else error_site(error)) from error
        self._stance = "eager_on_recompile"

    def measure(self, painting: Generator[None]) -> float:
        """Compile for the calls of a painting, and return what its steps then take: a part of the uncompiled time.

        Compiled steps and others take turns, and the fastest of each are compared.
        """
        self.add(painting)
        seconds: dict[str, list[float]] = {"force_eager": [], "eager_on_recompile": []}
        while not all(map(is_enough, seconds.values())):
            for stance, times in seconds.items():
                with self._as(stance):
                    started = time.perf_counter()
                    next(painting)
                    times.append(time.perf_counter() - started)
        painting.close()
        return min(seconds["eager_on_recompile"]) / min(seconds["force_eager"])

    def remove(self) -> None:
        """Run everything uncompiled from now on."""
        for module in self._denoiser.modules():
            module._compiled_call_impl = None
        self._is_on, self._stance = False, "force_eager"

    @contextmanager
    def _as(self, stance: str) -> Iterator[None]:
        before, self._stance = self._stance, stance
        try:
            yield
        finally:
            self._stance = before


class Compilation:
    """Compiles the blocks of a loaded model a size at a time, once another process has tried what it saves.

    That process (`limner.generators.diffusion.compile_trial`) fills the cache folder, from which compiling here takes a
    second or two for each size. What it measures is kept, and sizes that save less than `GAIN` stay uncompiled.

    Args:
        card: the model.
        pipe: its pipeline.
        load: what the process needs to load the same, beside the card.
        samples: the largest call that fits.
        measured: where the times are kept.
        key: names the model and all that the times depend on.
    """

    def __init__(
        self,
        card: ModelCard,
        pipe: DiffusionPipeline,
        load: dict[str, Any],
        samples: int,
        measured: Measured,
        key: str,
    ) -> None:
        self.blocks = CompiledBlocks(pipe)
        self._card, self._measured, self._key = card, measured, key
        self._sizes = [size for size in SIZES if size <= samples]
        self._load = load
        self._waiting: list[int] | None = None  # sizes to compile; None: it is not known which ones
        use_cache(Path(card.compile_cache))

    def advance(self, paint: Paint) -> str:
        """Compile for one more size if that saves time.

        Returns:
            What `compile_trial` takes, which has to try it first; empty if it need not.
        """
        if self._waiting is None:
            sizes = _sizes(self._measured.get("compiled", self._key))
            if sizes is None or (sizes and not _note(self._card, self._key).exists()):
                return self._asked
            self._waiting = [size for size in self._sizes if size in sizes]
        if self._waiting:
            self._compile(self._waiting.pop(0), paint)
        return ""

    def tried(self, found: dict[str, Any] | None) -> None:
        """Take the trial's outcome; None if it took too long or ended without one."""
        if not found or "failed" in found:
            self._waiting = []
            log.warning("compile_failed model=%s reason=%s", self._card.name, found["failed"] if found else "no_answer")
            return
        times: dict[str, float] = found["times"]
        sizes = [int(size) for size, part in times.items() if part < 1 - GAIN]
        for size, part in times.items():
            log.info("compile_measured model=%s samples=%s time=%.2f", self._card.name, size, part)
        self._measured.put("compiled", self._key, {"sizes": sizes, "times": times})

    @property
    def _asked(self) -> str:
        card = self._card
        said = {name: getattr(card, name) for name in ("width", "height", "guidance_scale", "quantize", "attention")}
        asked = {"name": card.name, "source": card.source, "card": {**said, "compile_cache": card.compile_cache}}
        return json.dumps({**asked, "sizes": self._sizes, "key": self._key, **self._load})

    def _compile(self, size: int, paint: Paint) -> None:
        painting = paint(compiled_request(self._card, size))
        started = time.perf_counter()
        try:
            self.blocks.add(painting)
        except CompileError as error:
            log.warning("compile_failed model=%s reason=%s", self._card.name, error)
            self.blocks.remove()
            self._waiting = []
        else:
            seconds = time.perf_counter() - started
            log.info("blocks_compiled model=%s samples=%d seconds=%.1f", self._card.name, size, seconds)
        finally:
            painting.close()


@contextmanager
def _errors_of(denoiser: Any) -> Iterator[list[str]]:
    """The types of the errors that the denoiser raises inside this block; requests get errors for members instead."""
    forward, raised = denoiser.forward, list[str]()

    def remembering(*args: Any, **kwargs: Any) -> Any:
        try:
            return forward(*args, **kwargs)
        except Exception as error:
            raised.append(type(getattr(error, "inner_exception", error)).__name__)
            raise

    denoiser.forward = remembering
    try:
        yield raised
    finally:
        denoiser.forward = forward


def _repeated(denoiser: Any) -> list[str]:
    """The classes of its repeated blocks; of Stable Diffusion 3 and some others those that devices do not share."""
    return getattr(denoiser, "_repeated_blocks", None) or getattr(denoiser, "_no_split_modules", None) or []


def compiled_request(card: ModelCard, samples: int) -> GenerationRequest:
    """A request as members make them, with steps enough for compiled and uncompiled ones to be timed."""
    steps = 2 * MOST_TIMED_CALLS + 2
    return replace(timed_request(card, samples), guidance_scale=card.guidance_scale, num_inference_steps=steps)


def measure_sizes(card: ModelCard, blocks: CompiledBlocks, sizes: Sequence[int], paint: Paint) -> dict[int, float]:
    """What calls of these sizes take when compiled, as parts of the uncompiled time.

    Raises:
        CompileError: a size does not fit, or compiling fails.
        OSError: the cache folder has no room.
    """
    times = dict[int, float]()
    for size in sizes:
        if shutil.disk_usage(card.compile_cache).free < LEAST_FREE:
            raise OSError("the cache folder has no room")
        times[size] = blocks.measure(paint(compiled_request(card, size)))
    return times


def use_cache(folder: Path) -> None:
    """Let torch keep compiled code in a folder, not in the temporary one that it names when imported."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder.absolute())


def make_room(folder: Path) -> None:
    """Make the cache folder, which only its owner can read, and empty one that is too large; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > MOST_BYTES:
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)


def note_compiled(card: ModelCard, key: str) -> None:
    """Write down that the cache folder holds the code of a model."""
    _note(card, key).touch()


def _note(card: ModelCard, key: str) -> Path:
    return Path(card.compile_cache) / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.done"


def _sizes(kept: Any) -> list[int] | None:
    """The sizes for which compiling saves time, as JSON keeps them; None if it is not known, or damaged."""
    sizes = kept.get("sizes") if isinstance(kept, dict) else None
    return sizes if isinstance(sizes, list) and all(isinstance(size, int) for size in sizes) else None
