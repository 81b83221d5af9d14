"""Whether a request is one that was just refused, with the forbidden words spelled another way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from bot.filters.guesses import VOWELS, sound
from bot.filters.normalise import normalise
from bot.filters.tables import LETTERS, is_word

SAME_IDEA = 0.5
"""The share of a refused idea's other words that a request must repeat to be the same idea."""
ALIKE = 0.75
"""How many of their letters two spellings of one word share, at least."""

_DOUBLE = re.compile(r"(.)\1+")
_VOWEL = re.compile(f"[{VOWELS}]")
_EDGE = re.compile(r"^[^\w]+|[^\w]+$")


def is_respelled(idea: str, refused: str, forbidden: Sequence[str]) -> bool:
    """Whether an idea that is allowed says again what was refused.

    It repeats the rest of the refused idea, and what is new in it reads like one of the ``forbidden`` parts. Who leaves
    these out, or writes other words in their place, has done what the refusal asks for.
    """
    banned = Counter(word for part in forbidden for word in _words(part))
    rest = Counter(_words(refused)) - banned
    now = Counter(_words(idea))
    if (rest & now).total() < SAME_IDEA * rest.total():
        return False
    runs = _new_runs(_words(idea), _words(refused))
    return any(_reads_like(run, _skeleton(part)) for run in runs for part in forbidden)


def _words(text: str) -> list[str]:
    return [bare for word in normalise(text).text.split() if (bare := _EDGE.sub("", word) or word)]


def _new_runs(idea: list[str], refused: list[str]) -> list[list[str]]:
    """What is written where, in the refused idea, something else was or nothing."""
    blocks = SequenceMatcher(None, refused, idea, autojunk=False).get_opcodes()
    return [idea[start:end] for kind, _, _, start, end in blocks if kind in ("replace", "insert")]


def _skeleton(text: str) -> str:
    """The letters that the text's signs look like, without spaces, none of them twice in a row."""
    letters = "".join(LETTERS[sign][:1] for sign in normalise(text).text if not sign.isspace())
    return _DOUBLE.sub(r"\1", letters)


def _reads_like(run: list[str], forbidden: str) -> bool:
    """Whether some word of the run is a spelling of the forbidden part, or all its words together are."""
    whole = _skeleton("".join(run))
    is_spelled_apart = len(run) > 1 and whole == forbidden
    return is_spelled_apart or any(_is_spelling(word, forbidden) for word in run)


def _is_spelling(word: str, forbidden: str) -> bool:
    """A word that is in use is another word, however near it is; an abbreviation without vowels is not so sure."""
    if is_word(word) and _VOWEL.search(word):
        return False
    skeleton = _skeleton(word)
    frames = [_VOWEL.sub("", sound(one)) for one in (skeleton, forbidden)]
    is_same_frame = frames[0] == frames[1] and len(frames[0]) > 1 and skeleton[:1] == forbidden[:1]
    return is_same_frame or SequenceMatcher(None, skeleton, forbidden, autojunk=False).ratio() >= ALIKE
