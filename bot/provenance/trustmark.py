"""TrustMark, a second mark beneath ours (https://arxiv.org/abs/2311.18297), by networks that the operator has placed.

They are Adobe's, variant Q, in the form of ONNX: data without code, run on the processor. Nothing is downloaded.
With them anybody can read such a mark, copy it to another picture, or take it out.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from limner.bot.provenance.trustmark_code import BITS, DECODER, ENCODER, trustmark_bits, trustmark_number
from limner.bot.translation import N_, _

MISSING = N_("There is no file {file}; TrustMark's networks are called {encoder} and {decoder}.")
BROKEN = N_("The file {file} is no network that can be used; it may be incomplete, or not TrustMark's.")
_SIDE = 256
"""Pixels of a network's picture, where the file does not say."""
_SLIMMEST = 2
"""Of pictures whose sides differ by more than this, the square in the middle is marked."""
_BORDER = 0.01
"""Share of a side over which a mark begins, so that no edge shows."""

Floats = NDArray[np.float32]


class NoTrustMark(Exception):
    """A network cannot be used; the sentence says why."""


class TrustMarkWriter:
    """Writes numbers into pictures, 0.2 s of one core each."""

    def __init__(self, folder: Path) -> None:
        """Load the network; raises NoTrustMark."""
        self._network = _Network(folder / ENCODER, {4: 3, 2: BITS}, 4)
        self.name = f"Q {self._network.digest}"
        """The variant and a sign of the file: of equal names the same number makes the same pixels."""

    def marked(self, image: Image.Image, number: int) -> Image.Image:
        """The picture with a number in it, in RGB."""
        rgb = image.convert("RGB")
        region = _region(rgb.size)
        cover = _as_input(rgb.crop(region), self._network.side)
        bits = np.array([trustmark_bits(number)], np.float32)
        added = self._network.run({4: cover, 2: bits}).clip(-1, 1) - cover
        added -= added.mean((2, 3), keepdims=True)
        left, top, right, bottom = region
        size = (right - left, bottom - top)
        pixels = np.array(rgb, np.float32)
        waves = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in added[0]]
        pixels[top:bottom, left:right] += np.stack(waves, 2) * 127.5 * _fading(*size)
        return Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))


class TrustMarkReader:
    """Reads numbers out of pictures, 0.1 s of one core each."""

    def __init__(self, folder: Path) -> None:
        """Load the network; raises NoTrustMark."""
        self._network = _Network(folder / DECODER, {4: 3}, 2)

    def read(self, image: Image.Image) -> int | None:
        """The number in a picture; also in one of a thousand without a mark, so it counts only where it is known."""
        rgb = image.convert("RGB")
        found = self._network.run({4: _as_input(rgb.crop(_region(rgb.size)), self._network.side)})
        return trustmark_number((found[0] > 0).astype(int).tolist())


class _Network:
    """A network with one input for each number of axes."""

    def __init__(self, file: Path, inputs: dict[int, int], axes: int) -> None:
        """Load and try it: how many channels or bits each input has, and how many axes comes out."""
        if not file.is_file():
            raise NoTrustMark(_(MISSING, file=file, encoder=ENCODER, decoder=DECODER))
        try:
            self._session = _session(file)
            self._names = {len(one.shape): str(one.name) for one in self._session.get_inputs()}
            [sizes] = [one.shape for one in self._session.get_inputs() if len(one.shape) == 4]
            self.side = sizes[2] if isinstance(sizes[2], int) else _SIDE
            tried = {
                count: np.zeros((1, size, self.side, self.side)[:count], np.float32) for count, size in inputs.items()
            }
            shape = self.run(tried).shape
            is_right = len(shape) == axes and (axes == 4 or shape[1] == BITS)
        except Exception as error:  # of any kind, from a library that says of a file only that it does not work
            raise NoTrustMark(_(BROKEN, file=file)) from error
        if not is_right:
            raise NoTrustMark(_(BROKEN, file=file))
        self.digest = hashlib.blake2b(file.read_bytes(), digest_size=3).hexdigest()

    def run(self, given: dict[int, Floats]) -> Floats:
        """What comes out, for each input by its number of axes."""
        named = {self._names[axes]: values for axes, values in given.items()}
        return np.asarray(self._session.run(None, named)[0], np.float32)


def _session(file: Path) -> Any:
    runtime: Any = import_module("onnxruntime")  # takes 0.1 s to load, and most installations have no networks
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _region(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is marked."""
    width, height = size
    if max(size) <= _SLIMMEST * min(size):
        return 0, 0, width, height
    side = min(size)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _as_input(image: Image.Image, side: int) -> Floats:
    small = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32)
    return np.ascontiguousarray((small / 127.5 - 1).transpose(2, 0, 1)[None])


def _fading(width: int, height: int) -> Floats:
    """How much of a mark each pixel has: all but near the border."""
    border = max(1, round(_BORDER * min(width, height)))
    across, down = (np.minimum(1, (1 + np.arange(side)) / border) for side in (width, height))
    return np.minimum.outer(np.minimum(down, down[::-1]), np.minimum(across, across[::-1]))[..., None].astype(
        np.float32
    )
