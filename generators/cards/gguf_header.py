"""Reads the header of a GGUF file, which holds quantized weights, without torch."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

from limner.generators.sentences import sentence

LONGEST_HEADER = 64 * 2**20
"""Bytes that are read; with the vocabulary of a language model it has about 10 million."""
MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
NUMBERS = {0: "b", 1: "B", 2: "h", 3: "H", 4: "i", 5: "I", 6: "f", 7: "?", 10: "q", 11: "Q", 12: "d"}
"""The types of values, as struct writes them."""


def read_gguf(file: Path) -> dict[str, Any]:
    """The tensors in the header of a GGUF file by name, each with its shape as torch has it.

    The layout is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

    Raises:
        ValueError: it is no such file, or it is cut off; the text continues "NAME ...".
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise ValueError(sentence("is no GGUF file"))
        try:
            return _tensors(_Reader(opened, min(size, LONGEST_HEADER)), size)
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise ValueError(sentence("is no GGUF file, or is cut off")) from error


class _Reader:
    """Reads numbers and texts one after the other, up to a place in the file."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._end = end

    @property
    def place(self) -> int:
        """How many bytes have been read."""
        return self._file.tell()

    def numbers(self, form: str, count: int = 1) -> tuple[Any, ...]:
        """So many numbers of one type; raises struct.error behind the end."""
        bytes_ = count * struct.calcsize(f"<{form}")
        self._check(bytes_)
        return struct.unpack(f"<{count}{form}", self._file.read(bytes_))

    def number(self, form: str) -> Any:
        """One number."""
        return self.numbers(form)[0]

    def text(self) -> str:
        """A text behind its length in bytes."""
        length = self.number("Q")
        self._check(length)
        return self._file.read(length).decode()

    def value(self, kind: int) -> Any:
        """A value of any type; of an array nothing, as none is needed."""
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            return self.number(NUMBERS[kind])
        inner, count = self.number("I"), self.number("Q")
        if inner == STRING:
            for _each in range(count):
                self._skip(self.number("Q"))
        else:
            self._skip(count * struct.calcsize(f"<{NUMBERS[inner]}"))
        return None

    def _skip(self, length: int) -> None:
        self._check(length)
        self._file.seek(length, 1)

    def _check(self, length: int) -> None:
        if self.place + length > self._end:
            raise struct.error


def _tensors(reader: _Reader, size: int) -> dict[str, Any]:
    if reader.number("I") not in VERSIONS:
        raise ValueError(sentence("is a GGUF file of a version that is not known here"))
    count, values = reader.numbers("Q", 2)
    said = {reader.text(): reader.value(reader.number("I")) for _each in range(values)}
    found: dict[str, Any] = {}
    end = 0
    for _each in range(count):
        name, shape = reader.text(), reader.numbers("Q", reader.number("I"))
        kind, offset = reader.number("I"), reader.number("Q")
        found[name] = {"shape": list(reversed(shape)), "dtype": kind}
        end = max(end, offset + _bytes(kind, math.prod(shape)))
    step = said.get("general.alignment", 32)
    if not isinstance(step, int) or step < 1:
        raise struct.error
    if -(-reader.place // step) * step + end > size:
        raise ValueError(sentence("is cut off"))
    return found


def _bytes(kind: int, numbers: int) -> int:
    """The bytes of so many numbers of a type."""
    from gguf.constants import GGML_QUANT_SIZES

    block, length = {int(known): sizes for known, sizes in GGML_QUANT_SIZES.items()}[kind]
    return numbers // block * length
