"""Docstrings and comments in plain English: words that had to be decoded do not come back."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ODD = re.compile(
    r"\b(wears?|worn|whoever|who(m|se)? (has|is|was|wants|comes|waits)|is told|told of|lookout|errands?|in hand"
    r"|for another's one|is to be)\b",
    re.IGNORECASE,
)


def odd_lines(source: str) -> Iterator[str]:
    """The lines of docstrings and comments with such words."""
    if not ODD.search(source):
        return  # reading the source as Python takes longest
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from filter(ODD.search, node.value.value.splitlines())
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and ODD.search(token.string):
            yield token.string


def test_docstrings_and_comments_are_plain():
    files = [file for folder in ("bot", "generators", "migrations") for file in (ROOT / folder).rglob("*.py")]
    found = [f"{file.relative_to(ROOT)}: {line}" for file in files for line in odd_lines(file.read_text("utf-8"))]

    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("source", ['"""A LoRA that it wears."""', "x = 1  # whoever asks is told so"])
def test_odd_words_are_found(source: str):
    assert [*odd_lines(source)]


OLD_NAMES = re.compile(r"\b(eyes|\w+Eyes|[Tt](?:he|his) painters?)\b")
"""Names of the safety classifier and of models that were metaphors."""
KEPT = {
    "bot/settings/sources.py": "old names of settings",
    "bot/settings/settings.py": "old names of settings",
    "generators/installed.py": "the old group of entry points",
    "generators/vision/open_nsfw.py": "the old name of the class",
    "generators/vision/transformers_nsfw.py": "the old name of the class",
    "generators/training/doodle/pictograms.py": "an animal's eyes",
}


def test_metaphors_do_not_come_back_as_names():
    files = [file for folder in ("bot", "generators") for file in (ROOT / folder).rglob("*.py")]
    found = {str(file.relative_to(ROOT)): OLD_NAMES.findall(file.read_text("utf-8")) for file in files}

    assert {file: names for file, names in found.items() if names and file not in KEPT} == {}


MEANINGS = ("Answer", "Budget", "Decoder", "Entry", "Fault", "Ledger")
"""Names of classes that once had two meanings."""


def test_a_class_name_has_one_meaning():
    files = [file for folder in ("bot", "generators") for file in (ROOT / folder).rglob("*.py")]
    defined = "\n".join(file.read_text("utf-8") for file in files)

    for name in MEANINGS:
        assert len(re.findall(rf"^class {name}\b", defined, re.MULTILINE)) <= 1, name
