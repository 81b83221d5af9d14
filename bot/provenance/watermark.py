"""The invisible mark: a number of 64 bits in the pixels, which survives JPEG, scaling and cropping.

Spread spectrum (Cox, Kilian, Leighton and Shamoon 1997) in a middle band of frequencies of a pattern that repeats every
128 pixels (Kutter 1998; Honsinger and Rabbani 2000), so that a crop only shifts it. The signs of 1,330 frequencies come
from the key; a fifth of them are known in advance and give the shift, the others carry the number's code.

How sure a mark is, is a sum of signs times what was found there, of length 1. For a picture that knows nothing of the
key, a sum over T or more has at most the probability exp(-T²/2) (Hoeffding 1963), whatever the picture is; there are
2**64 numbers, 128² shifts and 3 scales, so all together at most exp(ln(2**64 · 128² · 3) - T²/2).
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from limner.bot.provenance.mark_code import BITS, CODED, CodeReader, Floats, coded

SIDE = 128
"""Pixels after which the pattern repeats; smaller pictures have no mark."""
SCALES = (1.0, 2.0, 0.5)
"""By which a picture is enlarged before it is read: as it is, halved, or doubled."""
SURE = 11.8
"""Least sum of a mark that counts."""
FALSE_ALARMS = math.exp(BITS * math.log(2) + math.log(SIDE**2 * len(SCALES)) - SURE**2 / 2)
"""Upper bound of the probability that a mark is found in a picture without one: 5 in 10 million."""

_LOW, _HIGH = 0.1, 0.25
"""The band in cycles per pixel: below half of what a halved picture still has, above most of what pictures show."""
_PILOT = 0.2
"""Share of the coefficients that are known in advance."""
_STRENGTH, _USUAL = 2.45, 256**2
"""Root mean square of the pattern in grey values (40.3 dB) up to so many pixels; larger pictures need less."""
_CANDIDATES = 16
"""Shifts whose number is decoded."""
_MOST_MARKS = 4
"""Marks of different pictures that are read out of one."""
_APART = 4
"""Pixels by which the beginnings of two marks differ at least: near a mark, what is left of it looks like another."""
_BLOCK = 4
"""Pixels of a block whose mean and contrast are taken from it before a picture is read."""
_MOST_READ = 1536
"""Longest side that is read, from the middle."""

Grey = NDArray[np.float32]
Spectrum = NDArray[np.complex128]


@dataclass(frozen=True)
class Mark:
    """A number that was found, and how sure: over `SURE`, up to 53."""

    number: int
    sureness: float


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
        self._across, self._down = np.fft.rfftfreq(SIDE)[None, :], np.fft.fftfreq(SIDE)[:, None]
        radius = np.hypot(self._across, self._down)
        band = random.permutation(np.argwhere((radius >= _LOW) & (radius <= _HIGH) & (self._across > 0)))
        known = round(_PILOT * len(band))
        self._data = tuple(band[known:].T)
        signs = random.choice([-1.0, 1.0], (len(band), 2))
        self._pilot_signs = np.zeros(radius.shape, complex)
        self._pilot_signs[tuple(band[:known].T)] = signs[:known, 0] + 1j * signs[:known, 1]
        self._data_signs = signs[known:].ravel()
        self._bit_of = random.permutation(np.arange(self._data_signs.size) % CODED)
        self._length = math.sqrt(len(band))
        self._decoder = CodeReader()

    @property
    def name(self) -> str:
        """The method's version and a sign of the key: of equal names the same number makes the same pixels."""
        return f"1 {hashlib.blake2b(b'name', key=self._key, digest_size=3).hexdigest()}"

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
        strength = _STRENGTH * min(1.0, (_USUAL / (width * height)) ** 0.25)
        pattern = np.rint(strength * self._pattern(number)).astype(np.int16)
        repeats = (-(-height // SIDE), -(-width // SIDE))
        before, added = np.asarray(image.convert("RGB"), np.int16), np.tile(pattern, repeats)[:height, :width, None]
        if kept:
            added = added * (before != np.asarray(kept.convert("RGB"))).any(axis=2, keepdims=True)
        return Image.fromarray((before + added).clip(0, 255).astype(np.uint8))

    def read(self, image: Image.Image, least: float = SURE) -> list[Mark]:
        """The numbers in a picture, the surest first; what was made of a marked picture may have several.

        Below ``least`` nothing counts as a mark.
        """
        found: dict[int, float] = {}
        for scale in SCALES:
            for mark in self._marks(_spectrum(_middle(image, scale)), least):
                found[mark.number] = max(mark.sureness, found.get(mark.number, 0.0))
        return sorted(map(Mark, found.keys(), found.values()), key=lambda mark: -mark.sureness)

    def _pattern(self, number: int) -> Floats:
        """128x128 values of root mean square 1; the number also decides where the pattern begins."""
        pattern = np.fft.irfft2(self._signs(number), (SIDE, SIDE))
        start = number * 0x9E3779B97F4A7C15 % 2**64 >> 50
        return np.roll(pattern / pattern.std(), divmod(start, SIDE), (0, 1))

    def _marks(self, spectrum: Spectrum, least: float) -> Iterator[Mark]:
        """One mark after the other; each is taken away before the next is looked for, which begins elsewhere."""
        phases, free = spectrum / np.maximum(np.abs(spectrum), 1e-9), np.ones((SIDE, SIDE), bool)
        for _ in range(_MOST_MARKS):
            mark, shift = max(self._candidates(phases, free), key=lambda found: found[0].sureness)
            if mark.sureness < least:
                return
            yield mark
            signs = self._signs(mark.number) * self._turn(-shift)
            down, across = divmod(shift, SIDE)
            near = np.arange(-_APART, _APART + 1)
            free[np.ix_((down + near) % SIDE, (across + near) % SIDE)] = False
            phases -= signs * (mark.sureness / (2 * self._length))

    def _candidates(self, phases: Spectrum, free: NDArray[np.bool_]) -> Iterator[tuple[Mark, int]]:
        known = phases * self._pilot_signs.conj()
        sums = np.where(free, np.fft.irfft2(known, (SIDE, SIDE)) * SIDE**2 / 2, -np.inf).ravel()
        shifts = np.argpartition(sums, -_CANDIDATES)[-_CANDIDATES:].tolist()
        received = np.stack([self._received(phases * self._turn(shift)) for shift in shifts])
        for shift, code, number in zip(shifts, received, self._decoder.numbers(received), strict=True):
            yield Mark(number, float(sums[shift] + code @ coded(number)) / self._length), shift

    def _received(self, turned: Spectrum) -> Floats:
        data = turned[self._data]
        pairs = np.stack([data.real, data.imag], 1).ravel()
        return np.bincount(self._bit_of, pairs * self._data_signs, CODED).astype(float)

    def _turn(self, shift: int) -> Spectrum:
        """What a shift of the pattern does to its spectrum, undone."""
        down, across = divmod(shift, SIDE)
        return np.exp(2j * np.pi * (down * self._down + across * self._across))

    def _signs(self, number: int) -> Spectrum:
        """The spectrum of a number's pattern."""
        spectrum = self._pilot_signs.copy()
        signs = (self._data_signs * coded(number)[self._bit_of]).reshape(-1, 2)
        spectrum[self._data] = signs[:, 0] + 1j * signs[:, 1]
        return spectrum


def _middle(image: Image.Image, scale: float) -> Grey:
    """The grey values of a picture's middle, enlarged by a factor."""
    most = round(_MOST_READ / scale)
    left, top = max(0, (image.width - most) // 2), max(0, (image.height - most) // 2)
    part = image.convert("L").crop((left, top, min(image.width, left + most), min(image.height, top + most)))
    size = (max(1, round(part.width * scale)), max(1, round(part.height * scale)))
    return np.asarray(part if scale == 1 else part.resize(size, Image.Resampling.BICUBIC), np.float32)


def _spectrum(grey: Grey) -> Spectrum:
    """The spectrum of all repetitions of the pattern on top of each other."""
    height, width = (-(-side // SIDE) * SIDE for side in grey.shape)
    flat = np.pad(_flat(grey), [(0, height - grey.shape[0]), (0, width - grey.shape[1])])
    return np.fft.rfft2(flat.reshape(height // SIDE, SIDE, width // SIDE, SIDE).sum((0, 2)))


def _flat(grey: Grey) -> Grey:
    """A picture without its own light, and with the same contrast everywhere."""
    rest = grey - _smooth(grey)
    contrast = np.sqrt(np.maximum(_smooth(np.square(rest)), 0))
    return np.clip(rest / (contrast + np.float32(2)), np.float32(-2.5), np.float32(2.5))


def _smooth(values: Grey) -> Grey:
    """Means of blocks, with slopes between them."""
    height, width = values.shape
    grown = np.pad(values, [(0, -height % _BLOCK), (0, -width % _BLOCK)], "edge")
    means = grown.reshape(grown.shape[0] // _BLOCK, _BLOCK, grown.shape[1] // _BLOCK, _BLOCK).mean((1, 3))
    return np.asarray(Image.fromarray(means).resize(grown.shape[::-1], Image.Resampling.BILINEAR))[:height, :width]
