"""Texts of language models phrase by phrase: cut to a length, added to an idea, as tags, without thoughts."""

from __future__ import annotations

import re
from itertools import islice

from limner.generators.added_words import CJK
from limner.generators.language.guard import check
from limner.generators.language.idea import Idea

MAX_CHARACTERS = 1500
"""Longest text of idea and addition; a longer idea stays whole."""
MARKS = " ,.;!?。，；！？"
COUNTED = re.compile(rf"{CJK}{{1,2}}|(?:(?!{CJK})\w)+")


def word_count(text: str) -> int:
    """The number of words; two characters of Chinese or Japanese count as one."""
    return len(COUNTED.findall(text))


def shorten(text: str, words: int) -> str:
    """The first whole phrases of the text within ``words`` words and MAX_CHARACTERS characters."""
    first_too_many = next(islice(COUNTED.finditer(text[: MAX_CHARACTERS + 2]), words, None), None)
    if first_too_many is None and len(text) <= MAX_CHARACTERS:
        return text
    return _until_mark(text, min(MAX_CHARACTERS, first_too_many.start() if first_too_many else len(text)))


def grow(read: Idea, continuation: str, max_words: int) -> str:
    """The start with the phrases of a continuation that are new, fit, and change no word of the idea."""
    text = read.start
    limit = word_count(text) + max_words
    for phrase in filter(None, (part.strip(' "') for part in re.split(r"[,.;。，；]", continuation))):
        longer = f"{text.rstrip(',;')}{' ' if text[-1] in '.!?。！？' else ', '}{phrase}"
        fits = word_count(longer) <= limit and len(longer) <= MAX_CHARACTERS
        if fits and phrase.casefold() not in text.casefold() and not check(read.text, longer, read.locale).reason:
            text = longer
    return text


def as_tags(start: str, text: str) -> str:
    """A text that begins with ``start``, with commas instead of the full stops behind that."""
    if not text.startswith(start):
        return text
    return start + re.sub(r"[.;](?=\s)|[。；]", ",", text[len(start) :]).rstrip(MARKS)


def spoken(answer: str) -> str:
    """A reasoning model's answer without its thoughts, and without quotation marks around it."""
    answer = re.sub(r"<think>.*?(</think>|$)", "", answer, flags=re.DOTALL).rpartition("</think>")[2].strip()
    whole = re.fullmatch(r'["“]([^"“”]+)["”]', answer)
    return whole.group(1) if whole else answer


def whole_phrases(text: str) -> str:
    """The text up to its last comma or full stop; empty if there is none."""
    text = text.rstrip(MARKS)
    return _until_mark(text, len(text))


def _until_mark(text: str, room: int) -> str:
    """The text before its last comma or full stop within ``room`` characters."""
    marks = re.finditer(r"[,.;!?](?=\s)|[。，；！？]", text[: room + 2])
    return text[: max((mark.start() for mark in marks if mark.start() <= room), default=0)].rstrip(MARKS)
