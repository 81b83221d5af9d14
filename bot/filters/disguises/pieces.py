"""A piece of text without white space: where a word in it may begin and end."""

from __future__ import annotations

import re
import unicodedata
from itertools import product

from limner.bot.filters.disguises.targets import SHORTEST
from limner.bot.filters.text.tables import LETTERS, is_word


def core_span(chunk: str) -> tuple[int, int]:
    """The chunk without symbols at its ends that are not letters on their own."""
    start, end = 0, len(chunk)
    while start < end and _is_sign(chunk[start]):
        start += 1
    while end > start and _is_sign(chunk[end - 1]):
        end -= 1
    return start, end


def written_in(chunk: str) -> str:
    """The chunk between the symbols at its ends."""
    start, end = core_span(chunk)
    return chunk[start:end]


def is_plain(chunk: str) -> bool:
    """Whether the chunk is real words, which are compared literally."""
    if chunk.isalpha():
        return is_word(chunk) or len(chunk) < SHORTEST
    start, end = core_span(chunk)
    core = chunk[start:end]
    if core.isalpha() and is_word(core) and not _signs_may_be_letters(chunk, start, end):
        return True
    return not any(map(str.isalpha, core)) and all(not LETTERS[character] or character.isascii() for character in chunk)


def word_spans(chunk: str) -> list[tuple[int, int]]:
    """Where a word may begin and end in the chunk: symbols at its ends may be letters or not, and so may its parts."""
    if chunk.isalnum():
        return [(0, len(chunk))]
    start, end = core_span(chunk)
    if start == end:
        return []
    first, last = start, end
    while first > 0 and LETTERS[chunk[first - 1]]:
        first -= 1
    while last < len(chunk) and LETTERS[chunk[last]]:
        last += 1
    unbracketed = first + len(chunk[first:start]) - len(chunk[first:start].lstrip("([{<"))
    unshouted = end + len(chunk[end:last].rstrip("!"))
    spans = dict.fromkeys(product((start, first, unbracketed), (end, last, unshouted)))
    inside = [part.span() for part in re.finditer(r"[^\s,.:;'’\"/\\_\-*~]+", chunk)]
    if len(inside) > 1:
        spans |= dict.fromkeys(inside)
    return list(spans)


def _signs_may_be_letters(chunk: str, start: int, end: int) -> bool:
    return any(LETTERS[character] for character in (chunk[:start] + chunk[end:]).rstrip("!"))


def _is_sign(character: str) -> bool:
    return not character.isalnum() and (unicodedata.category(character) != "So" or not LETTERS[character])
