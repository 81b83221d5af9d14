"""Zip files of an export: rows as JSON and as CSV, and picture files. Everything here is work for a thread."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

OVERHEAD = 512
"""Bytes that a file takes in a zip beside its content, at most: its names are short."""
ROWS_BYTES = 2**23
"""Bytes of rows that are held in memory; then they are written."""
FORMULA = tuple("=+-@\t\r")
"""First characters that make a spreadsheet take a text for a formula."""


class ExportFile:
    """One zip file, written a row at a time into ``file``; ``most`` is the largest size, None for any.

    Its tables are numbered from ``number``, so that the files of several parts lie in one folder side by side.
    """

    def __init__(self, file: IO[bytes], number: int, most: int | None) -> None:
        self.pictures = 0
        self._number = number
        self._most = most
        self._size = OVERHEAD
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._tables: dict[str, list[Mapping[str, Any]]] = {}
        self._waiting = 0

    def add(self, table: str, row: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
        """Add a row of a table with its pictures; False, and nothing is added, if there is no room for them.

        The first row always finds room. A picture that is in the file already is left out.
        """
        new = {name: content for name, content in files.items() if name not in self._zip.NameToInfo}
        text = 2 * len(_json(row).encode()) + (0 if table in self._tables else 4 * OVERHEAD)
        size = text + sum(len(content) + OVERHEAD for content in new.values())
        is_empty = not self._tables and not self._zip.NameToInfo
        if self._most is not None and self._size + size > self._most and not is_empty:
            return False
        for name, content in new.items():
            self._zip.writestr(name, content, zipfile.ZIP_STORED)  # it is compressed already
        self.pictures += len(new)
        self._tables.setdefault(table, []).append(row)
        self._size += size
        self._waiting += text
        if self._waiting > ROWS_BYTES and self._most is None:
            self._write_tables()
        return True

    def abandon(self) -> None:
        """Write no more, because the disk is full; otherwise Python tries to when it forgets the file."""
        with suppress(OSError):
            self._zip.close()

    def close(self, readme: str) -> None:
        """Write what is left, and the text that says what is in it."""
        self._write_tables()
        self._zip.writestr("README.txt", readme)
        self._zip.close()

    def _write_tables(self) -> None:
        for table, rows in self._tables.items():
            text = ",\n".join(map(_json, rows))
            self._zip.writestr(f"{table}-{self._number}.json", f"[\n{text}\n]\n")
            self._zip.writestr(f"{table}-{self._number}.csv", _csv(rows))
        self._number += 1
        self._tables, self._waiting = {}, 0


def pictures_of(table: str, row: Mapping[str, Any]) -> dict[str, str]:
    """The picture files that a row names: their names in an export without extension, and their hashes."""
    if table == "images":
        return {f"pictures/{row['job_id']}-{row['position'] + 1}": row["sha256"]}
    hashes = [str(value) for name, value in row.items() if name.endswith("sha256") and value]
    return {f"given/{sha256}": sha256 for sha256 in hashes}


def _json(row: Mapping[str, Any]) -> str:
    return json.dumps(dict(row), ensure_ascii=False, default=_base64)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _csv(rows: list[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode()  # without the mark, Excel takes UTF-8 for another encoding


def _cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return _base64(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
