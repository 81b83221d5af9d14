"""The invisible mark: a number of 64 bits in the pixels, which survives JPEG, scaling and cropping.

Quantization index modulation (Chen and Wornell 2001): the picture at half its size falls into cells of 4x4 pixels, and
in each cell five sums of pixels, with weights from the key, are moved to the nearest value that says plus or minus.
What the picture itself shows there disturbs nothing, however rough it is. The signs come from the key and the number's
code and repeat every 128 pixels; a fifth of them are known in advance and give the place where they begin.

A reader takes the sine of each sum, which is 1 for plus and -1 for minus. How sure a mark is, is the sum of signs times
sines, divided by the sines' length. For a picture that knows nothing of the key, a sum over T or more has at most the
probability exp(-T²/2) (Hoeffding 1963), whatever the picture is; there are 2**64 numbers, 64² places, 12 views and 3
brightnesses, so all together at most exp(ln(2**64 · 64² · 36) - T²/2).
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from limner.bot.provenance.mark_code import BITS, CODED, CodeReader, Floats, coded

SIDE = 128
"""Pixels after which the signs repeat; smaller pictures have no mark."""
SURE = 11.9
"""Least sum of a mark that counts."""

_CELL = 4
"""Pixels of a cell's side, in a picture of half the size."""
_PERIOD = SIDE // 2
"""Pixels after which the signs repeat, in a picture of half the size."""
_SHAPE = (_PERIOD // _CELL, _PERIOD // _CELL, 5)
"""Cells down and across after which the signs repeat, and the sums of each."""
_HIGHEST = 3
"""Highest frequency in a sum: half periods across a cell and down it, together."""
_STEP = 16.2
"""By how much two values of a sum differ that say the same."""
_STRENGTH, _USUAL = 2.48, 256**2
"""Greatest root mean square of what is added, in grey values (40.2 dB), up to so many pixels.

Larger pictures need a little less; much less would be lost in WebP files of plain colours, which keep no small waves.
"""
_PILOT = 0.2
"""Share of the signs that are known in advance."""
_BRIGHTNESSES = (1.0, 1.085, 0.915)
"""What the grey values may have been multiplied by, within some 5 per cent."""
_WHITE = 252
"""Grey value from which a pixel may have been cut off: the cells of a brightened picture count without such pixels."""
_VIEWS = ((2.0, (0.0, 1.0)), (1.0, (0.0, 0.5)), (4.0, (0.0, 2.0)))
"""By what a picture is reduced to be read: as it is, halved, doubled; and at which of its pixels that may begin."""
_CANDIDATES, _DECODED = 8, 16
"""Places that are considered in each view and brightness, and those of all together whose number is decoded."""
_MOST_MARKS = 4
"""Marks of different pictures that are read out of one."""
_MOST_READ = 512
"""Longest side of a view that is read, from the middle."""

_HYPOTHESES = _PERIOD**2 * sum(len(begins) ** 2 for _, begins in _VIEWS) * len(_BRIGHTNESSES)
FALSE_ALARMS = math.exp(BITS * math.log(2) + math.log(_HYPOTHESES) - SURE**2 / 2)
"""Upper bound of the probability that a mark is found in a picture without one: 5 in 10 million."""

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Mark:
    """A number that was found, and how sure: over `SURE`, up to 36."""

    number: int
    sureness: float


@dataclass(frozen=True)
class _Place:
    """Where the signs may begin in a view, how well the known ones fit there, and the sines from every pixel on."""

    reduced_by: float
    down: int
    across: int
    fit: float
    all_sines: Floats

    def is_near(self, other: _Place) -> bool:
        """Whether both are one mark: around the right place, a worse copy of it is read."""
        apart = np.array([self.down - other.down, self.across - other.across])
        are_beside = (np.abs((apart + _PERIOD / 2) % _PERIOD - _PERIOD / 2) < _CELL).all()
        return self.reduced_by == other.reduced_by and bool(are_beside)

    def sines(self) -> Floats:
        """The sines of all cells of a period, if it begins here."""
        return np.roll(self.all_sines, (-self.down, -self.across), (0, 1))[::_CELL, ::_CELL].ravel()


def read_key(file: Path) -> bytes:
    """This installation's key, which is made when it is first needed: with another one no mark can be read."""
    if not file.exists():
        handle, new = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(secrets.token_hex(32) + "\n")
        with suppress(FileExistsError):  # another process was first
            os.link(new, file)
        os.unlink(new)
    return bytes.fromhex(file.read_text("ascii"))


class Watermark:
    """Writes and reads numbers with one key; other keys' marks look like none."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        random = np.random.Generator(np.random.Philox(key=int.from_bytes(hashlib.sha256(key).digest()[:16], "little")))
        self._weights = _weights(random)
        order = random.permutation(math.prod(_SHAPE))
        known = round(_PILOT * order.size)
        self._data = order[known:]
        self._pilot = np.zeros(order.size)
        self._pilot[order[:known]] = random.choice([-1.0, 1.0], known)
        self._data_signs = random.choice([-1.0, 1.0], self._data.size)
        self._bit_of = np.arange(self._data.size) % CODED
        spread = np.zeros((_PERIOD, _PERIOD, _SHAPE[2]))
        spread[::_CELL, ::_CELL] = self._pilot.reshape(_SHAPE)
        self._searched = np.fft.rfft2(spread, axes=(0, 1)).conj()
        self._decoder = CodeReader()

    @property
    def name(self) -> str:
        """The method's version and a sign of the key: of equal names the same number makes the same pixels."""
        return f"2 {hashlib.blake2b(b'name', key=self._key, digest_size=3).hexdigest()}"

    def number_of(self, image: Image.Image) -> int:
        """A picture's number: it looks random without the key; equal pixels have equal ones, so repeats stay equal."""
        pixels = image.convert("RGB").tobytes() + repr(image.size).encode()
        digest = hashlib.blake2b(pixels, key=self._key, digest_size=BITS // 8).digest()
        return int.from_bytes(digest, signed=True)

    def marked(self, image: Image.Image, number: int, kept: Image.Image | None = None) -> Image.Image:
        """The picture with a number in it, in RGB; no side may have fewer than 128 pixels.

        Pixels that are those of ``kept``, a picture of the same size, stay as they are.
        """
        width, height = image.size
        moves = Image.fromarray(self._moves(_view(_grey(image), 2.0), number))
        large = np.asarray(moves.resize((2 * moves.width, 2 * moves.height), Image.Resampling.LANCZOS))
        most, size = _STRENGTH * min(1.0, (_USUAL / (width * height)) ** (1 / 12)), math.sqrt(np.square(large).mean())
        added = np.zeros((height, width, 1), np.int16)
        added[: large.shape[0], : large.shape[1], 0] = np.rint(large * min(1.0, most / size))
        before = np.asarray(image.convert("RGB"), np.int16)
        if kept:
            added *= (before != np.asarray(kept.convert("RGB"))).any(axis=2, keepdims=True)
        return Image.fromarray((before + added).clip(0, 255).astype(np.uint8))

    def read(self, image: Image.Image, least: float = SURE) -> list[Mark]:
        """The numbers in a picture, the surest first; what was made of a marked picture may have several.

        Below ``least`` nothing counts as a mark.
        """
        places: list[_Place] = []
        for place in sorted(self._places(image), key=lambda place: -place.fit):
            if len(places) < _DECODED and not any(place.is_near(other) for other in places):
                places.append(place)
        if not places:
            return []
        sines = np.stack([place.sines() for place in places])
        numbers = self._decoder.numbers(np.stack([self._received(one) for one in sines]))
        found: dict[int, float] = {}
        for number, one in zip(numbers, sines, strict=True):
            sureness = float(one @ self._signs(number).ravel()) / max(float(np.linalg.norm(one)), 1e-9)
            found[number] = max(sureness, found.get(number, 0.0))
        marks = sorted(map(Mark, found.keys(), found.values()), key=lambda mark: -mark.sureness)
        return [mark for mark in marks if mark.sureness >= least][:_MOST_MARKS]

    def _moves(self, half: Grey, number: int) -> Grey:
        """The change of a picture of half the size that moves each sum to the nearest value of its sign."""
        down, across = divmod(number * 0x9E3779B97F4A7C15 % 2**64 >> 52, _PERIOD)
        top, left = down % _CELL, across % _CELL
        rows, columns = (half.shape[0] - top) // _CELL, (half.shape[1] - left) // _CELL
        inside = np.s_[top : top + rows * _CELL, left : left + columns * _CELL]
        cells = half[inside].reshape(rows, _CELL, columns, _CELL).swapaxes(1, 2).reshape(rows, columns, -1)
        signs = np.roll(self._signs(number), (down // _CELL, across // _CELL), (0, 1))
        repeats = (rows // _SHAPE[0] + 1, columns // _SHAPE[1] + 1, 1)
        wanted = np.tile(signs * np.float32(_STEP / 4), repeats)[:rows, :columns]
        ways = (wanted - cells @ self._weights + _STEP / 2) % _STEP - _STEP / 2
        added = (ways @ self._weights.T).reshape(rows, columns, _CELL, _CELL).swapaxes(1, 2)
        moves = np.zeros_like(half)
        moves[inside] = added.reshape(rows * _CELL, columns * _CELL)
        return moves

    def _signs(self, number: int) -> Grey:
        """The signs of a number, by row and column of the cell and sum."""
        signs = self._pilot.copy()
        signs[self._data] = self._data_signs * coded(number)[self._bit_of]
        return signs.reshape(_SHAPE).astype(np.float32)

    def _places(self, image: Image.Image) -> Iterator[_Place]:
        for reduced_by, begins in _VIEWS:
            part = _grey(_middle(image, round(_MOST_READ * reduced_by)))
            for top, left in itertools.product(begins, begins):
                view = _view(part, reduced_by, top, left)
                if min(view.shape) >= _CELL:
                    for sines in self._sines(view):
                        for down, across, fit in self._fits(sines):
                            yield _Place(reduced_by, down, across, fit, sines)

    def _sines(self, view: Grey) -> Iterator[Floats]:
        """The sines of the sums of the cells that begin at each pixel, added up by place, for each brightness."""
        windows = sliding_window_view(view, (_CELL, _CELL))
        cells = windows.reshape(*windows.shape[:2], -1)
        sums, brightest = cells @ self._weights, np.maximum.reduce([cells[:, :, at] for at in range(_CELL**2)])
        rows, columns = (-(-side // _PERIOD) for side in sums.shape[:2])
        missing = [(0, rows * _PERIOD - sums.shape[0]), (0, columns * _PERIOD - sums.shape[1]), (0, 0)]
        for brightness in _BRIGHTNESSES:
            sines = np.sin(sums * np.float32(2 * np.pi / (_STEP * brightness)))
            sines = np.pad(sines * (brightest < _WHITE)[..., None] if brightness > 1 else sines, missing)
            yield sines.reshape(rows, _PERIOD, columns, _PERIOD, -1).sum((0, 2)).astype(float)

    def _fits(self, sines: Floats) -> Iterator[tuple[int, int, float]]:
        """The best places for the known signs: how far down and across, and how well they fit."""
        spectrum = np.fft.rfft2(sines, axes=(0, 1)) * self._searched
        fits = np.fft.irfft2(spectrum.sum(2), (_PERIOD, _PERIOD))
        squares = np.square(sines).reshape(_SHAPE[0], _CELL, _SHAPE[1], _CELL, -1).sum((0, 2, 4))
        fits /= np.sqrt(np.maximum(np.tile(squares, _SHAPE[:2]), 1e-9))
        for place in np.argpartition(fits.ravel(), -_CANDIDATES)[-_CANDIDATES:].tolist():
            down, across = divmod(place, _PERIOD)
            yield down, across, float(fits[down, across])

    def _received(self, sines: Floats) -> Floats:
        return np.bincount(self._bit_of, sines[self._data] * self._data_signs, CODED).astype(float)


def _weights(random: np.random.Generator) -> Grey:
    """The weights of a cell's pixels in its sums: columns of length 1, at right angles, of low frequencies only."""
    pixels, waves = np.arange(_CELL), range(_CELL)
    cosines = [np.cos(np.pi * wave * (2 * pixels + 1) / (2 * _CELL)) for wave in waves]
    low = [np.outer(cosines[a], cosines[b]).ravel() for a in waves for b in waves if 0 < a + b <= _HIGHEST]
    basis = np.stack([wave / np.linalg.norm(wave) for wave in low], 1)
    mixed, _rest = np.linalg.qr(random.standard_normal((basis.shape[1], _SHAPE[2])))
    return (basis @ mixed).astype(np.float32)


def _grey(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("F")


def _middle(image: Image.Image, most: int) -> Image.Image:
    """The middle of a picture, at most so many pixels a side."""
    left, top = max(0, (image.width - most) // 2), max(0, (image.height - most) // 2)
    return image.crop((left, top, min(image.width, left + most), min(image.height, top + most)))


def _view(grey: Image.Image, reduced_by: float, top: float = 0.0, left: float = 0.0) -> Grey:
    """A picture from a pixel on, reduced by a factor; empty if it is too small for that."""
    width, height = int((grey.width - left) / reduced_by), int((grey.height - top) / reduced_by)
    if min(width, height) < 1:
        return np.zeros((0, 0), np.float32)
    box = (left, top, left + width * reduced_by, top + height * reduced_by)
    return np.asarray(grey.resize((width, height), Image.Resampling.LANCZOS, box))
