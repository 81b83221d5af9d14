"""Whether a request is one that was just refused, with the forbidden words spelled another way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from limner.bot.filters.guesses import VOWELS, romanised, sound
from limner.bot.filters.normalise import normalise
from limner.bot.filters.scan import UNSPACED
from limner.bot.filters.tables import LETTERS, ONE_SPELLING, is_word

SAME_IDEA = 0.5
"""The share of a refused idea's other words that a request must repeat to be the same idea."""
ALIKE = 0.75
"""How many of their letters two spellings of one word share, at least."""
SHORTEST = 4
"""Letters of a forbidden text that is looked for inside a word that is none."""

_DOUBLE = re.compile(r"(.)\1+")
_VOWEL = re.compile(f"[{VOWELS}]")
_EDGE = re.compile(r"^[^\w]+|[^\w]+$")
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
"""What stands between spaces; in scripts without them, one character."""
_HOLE = "\0"
"""Stands in a refused idea for a forbidden part; no normalised text has it."""


def is_respelled(idea: str, refused: str, forbidden: Sequence[str]) -> bool:
    """Whether an idea that is allowed says again what was refused.

    It repeats the rest of the refused idea, and what is new in it reads like one of the ``forbidden`` parts. Who leaves
    these out, or writes other words in their place, has done what the refusal asks for.
    """
    before, now = _with_holes(refused, forbidden), _words(idea)
    if not _repeats(now, [word for word in before if word != _HOLE]):
        return False
    blocks = SequenceMatcher(None, before, now, autojunk=False).get_opcodes()
    new = [(before[a:b], now[c:d]) for kind, a, b, c, d in blocks if kind in ("replace", "insert")]
    return any(_reads_like(run, instead_of, _words(part)) for instead_of, run in new for part in forbidden)


def _words(text: str) -> list[str]:
    return [bare for word in _WORD.findall(normalise(text).text) if (bare := _EDGE.sub("", word) or word)]


def _with_holes(text: str, parts: Sequence[str]) -> list[str]:
    """The words of a text, and a hole for each of its parts."""
    pieces = re.split("|".join(map(re.escape, sorted(parts, key=len, reverse=True))), text) if parts else [text]
    return [word for number, piece in enumerate(pieces) for word in [_HOLE, *_words(piece)][not number :]]


def _repeats(now: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether an idea has most of the other words, whatever spaces are put between their letters or left out."""
    left, glued = Counter(now), _skeleton(word for word in now if len(word) == 1 or not is_word(word))
    found = 0
    for word in rest:
        found += left[word] > 0 or _skeleton(word) in glued
        left[word] -= 1
    return found >= SAME_IDEA * len(rest)


def _skeleton(words: Iterable[str]) -> str:
    """The letters that the words' signs look like, without what parts them, none of them twice in a row."""
    signs = "".join(words).translate(ONE_SPELLING)
    return _DOUBLE.sub(r"\1", "".join(LETTERS[sign][:1] for sign in signs))


def _reads_like(run: Sequence[str], instead_of: Sequence[str], forbidden: Sequence[str]) -> bool:
    """Whether new words are a spelling of the forbidden part, with or without the words that stood around it."""
    meant, whole = _skeleton(forbidden), "".join(forbidden)
    if not meant or set(forbidden) <= set(run):
        return False  # a part without letters, or one whose rule is gone
    is_parted_otherwise = _skeleton(run) in (meant, _skeleton(whole if word == _HOLE else word for word in instead_of))
    return is_parted_otherwise or _sounds_alike("".join(run), whole) or any(_is_spelling(word, meant) for word in run)


def _sounds_alike(written: str, forbidden: str) -> bool:
    """Whether words that are written in no Latin letters sound like others, or like their Latin spelling."""
    meant = set(map(sound, romanised(forbidden))) if len(forbidden) > 1 else set[str]()
    return not meant.isdisjoint(map(sound, romanised(written) or [written]))


def _is_spelling(word: str, forbidden: str) -> bool:
    """A word that is in use is another word, however near it is; an abbreviation without vowels is not so sure."""
    if is_word(word) and _VOWEL.search(word):
        return False
    skeleton = _skeleton([word])
    frames = [_VOWEL.sub("", sound(one)) for one in (skeleton, forbidden)]
    is_same_frame = frames[0] == frames[1] and len(frames[0]) > 1 and skeleton[:1] == forbidden[:1]
    is_inside = len(forbidden) >= SHORTEST and forbidden in skeleton
    return is_same_frame or is_inside or SequenceMatcher(None, skeleton, forbidden, autojunk=False).ratio() >= ALIKE
