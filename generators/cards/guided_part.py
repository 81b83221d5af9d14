"""The part of the steps in which guidance counts, written as 0.2-0.8."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"\s*(0?\.\d{1,3}|[01](?:\.0{1,3}|\.\d{1,3})?)\s*-\s*(0?\.\d{1,3}|[01](?:\.\d{1,3})?)\s*")

GuidedPart = tuple[float, float]
"""Where guidance begins and ends, as shares of the steps from 0 to 1."""


def read_part(text: str) -> GuidedPart | None:
    """The part in its written form; None if it is none, or empty."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    start, stop = float(found[1]), float(found[2])
    return (start, stop) if 0 <= start < stop <= 1 else None


def write_part(part: GuidedPart) -> str:
    """The written form that `read_part` reads."""
    return f"{part[0]:g}-{part[1]:g}"
