"""Reads text files as UTF-8, or in the encoding of their byte order mark."""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from limner.generators.sentences import sentence

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its prefix
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks of Notepad, PowerShell and Excel, and their encodings."""

_LINE_ENDS = re.compile(r"\r\n?|\n")
_LAST_COMMA = re.compile(r"\s*,\s*[\]}]")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class BadText(ValueError):
    """A text file cannot be used; the text is one sentence with the file's name and, where it is known, the line."""


def read_text(file: Path, name: str = "") -> str:
    """The text of a file without its byte order mark; ``name`` is its name in errors.

    Raises:
        BadText: it cannot be opened, is in another encoding, or is not text.
    """
    name = name or file.name
    try:
        return decode(file.read_bytes(), name)
    except OSError as error:
        raise BadText(sentence("{name} cannot be read: {strerror}.", name=name, strerror=error.strerror)) from error


def decode(data: bytes, name: str) -> str:
    """The text of a file's bytes; raises BadText like `read_text`."""
    mark, encoding = next((one for one in MARKS if data.startswith(one[0])), (b"", "utf-8"))
    body = data[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = _count_lines(body[: error.start].decode(encoding, "replace"))
        wanted = (
            sentence("UTF-8 text")
            if encoding == "utf-8"
            else sentence("{upper} text, as its first bytes say", upper=encoding[:6].upper())
        )
        raise BadText(
            sentence("{name} is not {wanted} (line {line}); save it as UTF-8.", name=name, wanted=wanted, line=line)
        ) from error
    if "\0" in text:
        line = _count_lines(text[: text.index("\0")])
        raise BadText(
            sentence(
                "{name} holds a zero byte in line {line}, so it is no text file; save it as UTF-8 text.",
                name=name,
                line=line,
            )
        )
    return text


def split_lines(text: str) -> list[str]:
    r"""The lines of a text, which end with \n, \r\n or \r only: U+2028 and others may stand inside a line."""
    lines = _LINE_ENDS.split(text)
    return lines if lines[-1] else lines[:-1]


def stream_lines(stream: BinaryIO, name: str) -> Iterator[str | BadText]:
    """The lines of a stream as they arrive; a line that is not text is a BadText, and the next ones follow.

    In UTF-16 and UTF-32 nothing can be read after the first broken line.
    """
    first = stream.readline()
    encoding = next((encoding for mark, encoding in MARKS if first.startswith(mark)), "utf-8")
    if encoding != "utf-8":
        yield from _wide_lines(first + stream.read(), name)
        return
    number, line = 1, first
    while line:
        try:
            yield decode(line, name).rstrip("\r\n")
        except BadText:
            yield BadText(sentence("Line {number} of {name} is not UTF-8 text.", number=number, name=name))
        number, line = number + 1, stream.readline()


def read_json(file: Path, name: str = "") -> Any:
    """The value in a JSON file; raises BadText if it cannot be read."""
    name = name or file.name
    return parse_json(read_text(file, name), name)


def parse_json(text: str, name: str, line: int | None = None) -> Any:
    """The value of a JSON text: a whole file, or one ``line`` of it.

    Raises:
        BadText: it is not JSON, is nested too deeply, or has half of a surrogate pair.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        position, reason = _position_and_reason(error, text)
        first, column = _place(text, position)
        raise BadText(
            sentence(
                "{name} is not valid JSON (line {value}, column {column}: {reason}).",
                name=name,
                value=line or first,
                column=column,
                reason=reason,
            )
        ) from error
    except UnicodeEncodeError as error:
        place = sentence(" in line {line}", line=line) if line else ""
        raise BadText(
            sentence(
                "{name} has half of a surrogate pair{place}, which is no character; remove it.", name=name, place=place
            )
        ) from error
    except (ValueError, RecursionError) as error:
        place = sentence(" (line {line})", line=line) if line else ""
        raise BadText(
            sentence(
                "{name} is not usable JSON{place}: it is nested too deeply, or has a huge number.",
                name=name,
                place=place,
            )
        ) from error
    return value


def read_toml(file: Path, name: str = "") -> dict[str, Any]:
    """The table in a TOML file; raises BadText if it cannot be read."""
    name = name or file.name
    return parse_toml(read_text(file, name), name)


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The table of a TOML text; raises BadText with the line of the error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = place[1] if place and place[1] else _count_lines(text)
        raise BadText(
            sentence(
                "{name} is not valid TOML (line {line}: {sub}).", name=name, line=line, sub=_PLACE.sub("", str(error))
            )
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadText(
            sentence("{name} is not usable TOML: it is nested too deeply, or has a huge number.", name=name)
        ) from error


def line_of(text: str, key: str) -> int:
    """The line (from 1) of a key's first occurrence in a JSON or TOML text; 1 if it is not found."""
    name = re.escape(key)
    found = re.search(rf"""(?m)"{name}"\s*:|^\s*\[?["']?{name}["']?\s*[]=]""", text)
    return _count_lines(text[: found.end()]) if found else 1


def _wide_lines(data: bytes, name: str) -> Iterator[str | BadText]:
    try:
        yield from split_lines(decode(data, name))
    except BadText as error:
        yield error


def _position_and_reason(error: json.JSONDecodeError, text: str) -> tuple[int, str]:
    """The position and the description of the error."""
    before = text[: error.pos].rstrip().removesuffix(",")  # newer Pythons point at the comma itself
    if _LAST_COMMA.match(text, len(before)):
        return text.index(",", len(before)), sentence("a comma stands before a closing bracket; remove it")
    return error.pos, error.msg[0].lower() + error.msg[1:]


def _place(text: str, position: int) -> tuple[int, int]:
    """The line and the column of a position, both from 1."""
    lines = _LINE_ENDS.split(text[:position])
    return len(lines), len(lines[-1]) + 1


def _count_lines(text: str) -> int:
    return len(_LINE_ENDS.findall(text)) + 1
