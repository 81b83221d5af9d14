"""Reads a folder's captions: metadata.jsonl, metadata.csv or metadata.parquet, or text files beside the pictures."""

# pyright: basic

from __future__ import annotations

import csv
import importlib
import io
import os
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from limner.generators.sentences import sentence
from limner.generators.text_files import BadText, parse_json, read_text, split_lines
from limner.generators.training.errors import TrainingError

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Hugging Face's names (https://huggingface.co/docs/datasets/image_dataset); the first existing one counts."""
SIDE_FILES = (".txt", ".caption")
"""Endings of caption files beside pictures of the same name, as in kohya's scripts."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MOST_WEIGHT = 1000
"""More than one picture may count beside another would leave the others out."""
MISSING = sentence("the file is missing")
FORMS = sentence(
    'write a metadata.jsonl with one line {"file_name": "cat.png", "text": "a cat"} for each picture, a metadata.csv '
    "with the columns file_name and text, or a text file beside each picture (cat.txt)"
)


@dataclass(frozen=True)
class CaptionEntry:
    """A picture in its folder's metadata.

    Attributes:
        name: its name there.
        file: its file; None if it cannot be used.
        captions: alternative captions, each in one line; none, one or several.
        nouns: the things that it shows, if known.
        regions: the file with their regions, the words for each region, and the things without one; for segmentation.
        place: the position of the entry, for error sentences.
        problem: why it cannot be used.
        weight: how much it counts beside others, for a LoRA.
    """

    name: str
    file: Path | None
    captions: tuple[str, ...]
    nouns: tuple[str, ...]
    place: str
    problem: str = ""
    regions: Regions | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Regions:
    """Where a picture shows what: the PNG ``file`` has the number of a thing at each of its pixels, 0 elsewhere.

    ``names`` are the words for each thing, from number 1, or none; ``others`` are the words for what else is shown.
    """

    file: Path
    names: tuple[tuple[str, ...], ...]
    others: tuple[str, ...] = ()


def read_folder(folder: Path) -> list[CaptionEntry] | None:
    """The entries of a folder; None without metadata.

    Raises:
        TrainingError: a file cannot be read, and which line; or a name leads out of the folder.
    """
    metadata = next((folder / name for name in METADATA if (folder / name).is_file()), None)
    if metadata:
        return list(read_metadata(metadata))
    entries = [_beside(folder, picture) for picture in _find_pictures(folder)]
    return entries if any(entry.captions for entry in entries) else None


def read_metadata(file: Path) -> Iterator[CaptionEntry]:
    """The entries of a metadata file, one by one; raises like `read_folder`."""
    rows = {".jsonl": _json_lines, ".csv": _table, ".parquet": _parquet}[file.suffix]
    folder = CaptionFolder(file.parent)
    for place, row in rows(file):
        name = row.get("file_name")
        if not isinstance(name, str) or not name.strip() or "text" not in row:
            raise TrainingError(
                sentence('{place} is not {{"file_name": ..., "text": ...}}; mend or remove it.', place=place)
            )
        found, nouns = folder.find(name, place), tuple(map(str, row.get("nouns") or ()))
        problem, regions = "" if found else MISSING, _regions(folder, row, place) if row.get("regions") else None
        yield CaptionEntry(
            name, found, _captions(row["text"], place), nouns, place, problem, regions, _weight(row, place)
        )


def _weight(row: dict[str, Any], place: str) -> float:
    given = row.get("loss_weight", 1.0)
    try:
        weight = float(given or 0)
    except (TypeError, ValueError):
        weight = 0.0
    if not 0 < weight <= MOST_WEIGHT:
        raise TrainingError(
            sentence(
                "{place} has a loss_weight that is no number above 0 and {most} at most; mend or remove it.",
                place=place,
                most=MOST_WEIGHT,
            )
        )
    return weight


def _regions(folder: CaptionFolder, row: dict[str, Any], place: str) -> Regions:
    file = folder.find(str(row["regions"]), place)
    names, others = row.get("names"), row.get("others") or []
    if file is None or not isinstance(names, list) or not all(map(_is_words, (*names, others))):
        raise TrainingError(
            sentence(
                '{place} has regions without their file, or without words for each of them ("names": [["hat"], ...]); '
                "mend or remove it.",
                place=place,
            )
        )
    return Regions(file, tuple(map(tuple, names)), tuple(others))


def _is_words(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(word, str) and word.strip() for word in given)


def read_without_captions(folder: Path) -> list[CaptionEntry]:
    """The picture files of a folder and its subfolders, by file name endings."""
    within = CaptionFolder(folder)
    problems = {picture: within.why_not(picture) or "" for picture in _find_pictures(folder)}
    return [
        CaptionEntry(str(picture.relative_to(folder)), None if problem else picture, ("",), (), str(folder), problem)
        for picture, problem in problems.items()
    ]


class CaptionFolder:
    """Finds files inside a folder by names that were written on other systems."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_inside: dict[Path, bool] = {}

    def find(self, name: str, place: str) -> Path | None:
        """The file of that name; None if there is none.

        The name may differ in case or in Unicode normalisation, and have backslashes.

        Raises:
            TrainingError: it leads out of the folder, is not a plain file, or is ambiguous.
        """
        if _leads_out(name):
            raise TrainingError(
                sentence(
                    "{place} names {name!r}, which leads out of the folder; name a file inside it.",
                    place=place,
                    name=name,
                )
            )
        file = self._folder / name
        if not os.path.lexists(file):
            found = self._by_key.get(_key(name), [])
            if len(found) > 1:
                raise TrainingError(
                    sentence(
                        "{place} names {name!r}, and several files are called so but for upper case.",
                        place=place,
                        name=name,
                    )
                )
            if not found:
                return None
            file = found[0]
        if reason := self.why_not(file):
            raise TrainingError(
                sentence(
                    "{place} names {name!r}, but {reason}; put the picture itself into the folder.",
                    place=place,
                    name=name,
                    reason=reason,
                )
            )
        return file

    def why_not(self, file: Path) -> str | None:
        """Why something in the folder is not used as a file; None if it is one."""
        try:
            mode = file.lstat().st_mode
            if stat.S_ISLNK(mode):
                mode = file.stat().st_mode
                is_inside = file.resolve().is_relative_to(self._folder.resolve())
            else:
                is_inside = self._holds(file.parent)
        except OSError:
            return MISSING
        if not is_inside:
            return "it leads out of the folder"
        return None if stat.S_ISREG(mode) else "it is no plain file"

    def _holds(self, parent: Path) -> bool:
        if parent not in self._is_inside:
            self._is_inside[parent] = parent.resolve().is_relative_to(self._folder.resolve())
        return self._is_inside[parent]

    @cached_property
    def _by_key(self) -> dict[str, list[Path]]:
        found: defaultdict[str, list[Path]] = defaultdict(list)
        for path in self._folder.rglob("*"):
            found[_key(path.relative_to(self._folder).as_posix())].append(path)
        return found


def _leads_out(name: str) -> bool:
    if not any(mark in name for mark in ("/", "\\", ":", "..", "\0")):
        return False
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return "\0" in name or posix.is_absolute() or bool(windows.anchor) or ".." in (*posix.parts, *windows.parts)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./")).casefold()


def _captions(given: Any, place: str) -> tuple[str, ...]:
    texts = given if isinstance(given, list) else [given]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise TrainingError(
            sentence(
                "{place} has a text that is neither a text, a list of texts nor null; mend or remove it.", place=place
            )
        )
    return tuple(filter(None, map(_one_line, filter(None, texts))))


def _one_line(text: str) -> str:
    """The text without line breaks of any script and without control characters."""
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(one) == "Cc" else one for one in text)
    return " ".join(text.split())


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(split_lines(_text(file)), 1):
        if line.strip():
            place = sentence("Line {line} of the file {file}", line=number, file=file)
            try:
                row = parse_json(line, str(file), number)
            except BadText as error:
                raise TrainingError(str(error)) from error
            yield place, row if isinstance(row, dict) else {}


def _table(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    text = _text(file)
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)  # Excel's separator depends on the country
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if missing := {"file_name", "text"} - {*(rows.fieldnames or ())}:
            raise TrainingError(
                sentence(
                    "{file} has no column {column}; its first line must name file_name and text.",
                    file=file,
                    column=min(missing),
                )
            )
        for row in rows:
            place = sentence("Line {line} of the file {file}", line=rows.line_num, file=file)
            if None in row:
                raise TrainingError(
                    sentence(
                        "{place} has too many cells; put a text that has a {delimiter!r} into quotes.",
                        place=place,
                        delimiter=delimiter,
                    )
                )
            yield place, row
    except csv.Error as error:
        raise TrainingError(
            sentence(
                "Line {line} of the file {file} is not a line of a table: {error}.",
                line=rows.line_num + 1,
                file=file,
                error=error,
            )
        ) from error


def _parquet(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise TrainingError(
            sentence("{file} cannot be read without pyarrow; pip install pyarrow, or {forms}.", file=file, forms=FORMS)
        ) from error
    try:
        table = parquet.read_table(file, columns=["file_name", "text"])
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise TrainingError(
            sentence("{file} is not a Parquet file with the columns file_name and text.", file=file)
        ) from error
    for number, row in enumerate(table.to_pylist(), 1):
        yield sentence("Row {number} of the file {file}", number=number, file=file), row


def _find_pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _beside(folder: Path, picture: Path) -> CaptionEntry:
    """A picture with the lines of its caption file, if there is one."""
    within = CaptionFolder(folder)
    name, problem = str(picture.relative_to(folder)), within.why_not(picture) or ""
    texts = (picture.with_suffix(ending) for ending in SIDE_FILES)
    text = next((one for one in texts if within.why_not(one) is None), None)
    lines = split_lines(_text(text)) if text else []
    captions = tuple(filter(None, map(_one_line, lines)))
    return CaptionEntry(name, None if problem else picture, captions, (), str(text or folder), problem)


def _text(file: Path) -> str:
    try:
        return read_text(file, str(file))
    except BadText as error:
        raise TrainingError(str(error)) from error
