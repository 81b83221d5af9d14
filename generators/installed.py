"""Classifiers of installed packages, by their entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

GROUPS = ("limner.eyes", "limner.safety_classifiers")
"""Groups of entry points; the first is the old name, which version 0.2 still reads."""


def safety_classifiers() -> dict[str, EntryPoint]:
    """The installed safety classifiers by name."""
    return {entry.name: entry for group in GROUPS for entry in entry_points(group=group)}


def text_classifier(name: str) -> EntryPoint:
    """The installed text classifier of that name; raises ImportError if there is none."""
    found = {entry.name: entry for entry in entry_points(group="limner.text_classifiers")}
    if name not in found:
        raise ImportError(name)
    return found[name]
