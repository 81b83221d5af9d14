"""Measurements of models on this machine, kept in a JSON file."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from filelock import FileLock

from limner.generators.text_files import BadText, read_json

log = logging.getLogger(__name__)

MOST_BYTES = 4 * 2**20
"""A larger file is not ours."""
LOCK_SECONDS = 1.0
"""Longest wait for a process that writes at the same time."""


class Measured:
    """Values by subject and key. A broken file counts as empty and is rewritten with the next value.

    Several processes may share the file: each write begins with what is there, and replaces the file at once, while a
    lock beside the file keeps the others from writing.

    Args:
        file: where they are kept; None keeps them in memory only.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._values: dict[str, dict[str, Any]] = {}
        self._unwritten: dict[str, dict[str, Any]] = {}

    def get(self, subject: str, key: str) -> Any:
        """The value, as JSON holds it; None if there is none."""
        return self._read().get(subject, {}).get(key)

    def all(self, subject: str) -> dict[str, Any]:
        """The values of a subject by key."""
        return self._read().get(subject, {})

    def put(self, subject: str, key: str, value: Any) -> None:
        """Store a value; in memory only if it cannot be written."""
        if self._file is None:
            self._values.setdefault(subject, {})[key] = value
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._file}.lock", timeout=LOCK_SECONDS, mode=0o600):
                self._values = self._read()
                self._values.setdefault(subject, {})[key] = value
                _replace(self._file, json.dumps(self._values, indent=1))
                self._unwritten = {}
        except OSError as error:
            self._unwritten.setdefault(subject, {})[key] = value
            log.warning("measured_not_kept subject=%s reason=%s", subject, type(error).__name__)

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._file is None:
            return self._values
        written = self._written(self._file)
        subjects = dict.fromkeys((*written, *self._unwritten))
        return {name: written.get(name, {}) | self._unwritten.get(name, {}) for name in subjects}

    def _written(self, file: Path) -> dict[str, dict[str, Any]]:
        """What the file holds; if it cannot be read, what it held last."""
        try:
            values = read_json(file) if file.stat().st_size <= MOST_BYTES else None
        except (OSError, BadText):
            return self._values
        subjects = cast("dict[str, Any]", values) if isinstance(values, dict) else {}
        return {name: kept for name, kept in subjects.items() if isinstance(kept, dict)}


def _replace(file: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    number, part = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)  # with mode 0600
    try:
        with os.fdopen(number, "w", encoding="utf-8") as opened:
            opened.write(text)
        os.replace(part, file)
    except OSError:
        with suppress(OSError):
            os.unlink(part)
        raise
