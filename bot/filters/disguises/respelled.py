"""Detects a request that repeats a refused one with the forbidden words respelled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from limner.bot.filters.disguises.alignment import aligned, common
from limner.bot.filters.disguises.guesses import LONGEST, VOWELS, romanised, sounds
from limner.bot.filters.text.normalise import normalise
from limner.bot.filters.text.scan import UNSPACED
from limner.bot.filters.text.tables import LETTERS, ONE_SPELLING, is_word
from limner.bot.filters.work import Work

SAME_IDEA = 0.5
"""The share of a refused idea's other words that a repeated idea has."""
ALIKE = 0.75
"""Least share of equal letters in two spellings of a word."""
SHORTEST = 4
"""Letters of the shortest forbidden text that is searched inside unknown words."""

A_CHARACTER = 150
"""Steps that each character of both texts adds to those that a comparison may take."""
_REPEATED = re.compile(r"(.)(?=\1)")
_VOWEL = re.compile(f"[{VOWELS}]")
_BARE = re.compile(r"\W*+(.*\w)?", re.DOTALL)
"""The signs before a word, and the word up to its last letter or digit; possessive, so that signs are read once."""
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
"""What stands between spaces; in scripts without them, one character."""
_HOLE = "\0"
"""The placeholder of a forbidden part; normalised texts never have it."""
_READ = 20
"""Steps that reading a character takes."""


def is_respelled(idea: str, refused: str, forbidden: Iterable[tuple[int, int]], work: Work) -> bool:
    """Whether an allowed idea repeats a refused one.

    It has most of the rest of the refused idea, and its new words read like one of the ``forbidden`` parts (start and
    end index of each). Removing or replacing the forbidden words is fine; respelling them is not. Raises TooCostly if
    that takes more ``work`` than is left.
    """
    work.spend(_READ * (len(idea) + len(refused)))
    spans = sorted(set(forbidden))
    before, now = _with_holes(refused, spans), _words(idea)
    if not _repeats(now, [word for word in before if word != _HOLE], work):
        return False
    parts: dict[tuple[str, ...], None] = {}
    for start, end in spans:
        work.spend(_READ * (end - start))
        parts[tuple(_words(refused[start:end]))] = None
    runs = [_Run(run, instead_of) for instead_of, run in dict.fromkeys(_new(before, now, work))]
    return any(_reads_like(run, part, work) for part in map(_Part, parts) if part.meant for run in runs)


def _words(text: str) -> list[str]:
    return [_bare(word) or word for word in _WORD.findall(normalise(text).text)]


def _bare(word: str) -> str:
    """A word without symbols around it; "" if nothing is left."""
    found = _BARE.match(word)
    return found[1] or "" if found else ""


def _with_holes(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The words of a text, with a placeholder for each of its parts; the spans ascend."""
    words, here = list[str](), 0
    for start, end in spans:
        if start >= here:
            words += [*_words(text[here:start]), _HOLE]
        here = max(here, end)
    return words + _words(text[here:])


def _repeats(now: Sequence[str], rest: Sequence[str], work: Work) -> bool:
    """Whether an idea has most of the other words, however spaces are placed."""
    left, glued = Counter(now), _skeleton(word for word in now if len(word) == 1 or not is_word(word))
    found = 0
    for word in rest:
        if left[word] > 0:
            found += 1
        else:
            work.spend(_READ + len(glued) * len(word) / 100)
            found += _skeleton(word) in glued
        left[word] -= 1
    return found >= SAME_IDEA * len(rest)


def _new(before: Sequence[str], now: Sequence[str], work: Work) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Each run of new words, with the words in whose place it stands."""
    last_before = last_now = 0
    for one, other in [*aligned(before, now, work), (len(before), len(now))]:
        if last_now < other:
            yield tuple(before[last_before:one]), tuple(now[last_now:other])
        last_before, last_now = one + 1, other + 1


def _skeleton(words: Iterable[str]) -> str:
    """The letters that the words look like, without separators and repetitions."""
    signs = "".join(words).translate(ONE_SPELLING)
    return _REPEATED.sub("", "".join(LETTERS[sign][:1] for sign in signs))


def _sounds(spellings: Iterable[str]) -> set[str]:
    return {sound for spelling in spellings for sound in sounds(spelling)}


def _frame(skeleton: str) -> str:
    return _VOWEL.sub("", sounds(skeleton)[0].lower()) if len(skeleton) <= LONGEST else ""


@dataclass
class _Part:
    """A forbidden part of the refused idea."""

    words: Sequence[str]

    @cached_property
    def meant(self) -> str:
        return _skeleton(self.words)

    @cached_property
    def whole(self) -> str:
        return "".join(self.words)

    @cached_property
    def frame(self) -> str:
        return _frame(self.meant)

    @cached_property
    def sounds(self) -> set[str]:
        """The sounds of its romanisations, if it is not in Latin letters."""
        return _sounds(romanised(self.whole)) if 1 < len(self.whole) <= LONGEST else set()


@dataclass
class _Run:
    """Consecutive new words, and the words in whose place they stand."""

    words: Sequence[str]
    instead_of: Sequence[str]
    known: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.known = set(self.words)

    @cached_property
    def skeleton(self) -> str:
        return _skeleton(self.words)

    @cached_property
    def sounds(self) -> set[str]:
        written = "".join(self.words)
        return _sounds(romanised(written) or [written]) if len(written) <= LONGEST else set()

    @cached_property
    def spellings(self) -> list[tuple[str, str]]:
        """Skeleton and consonants of each word that may be a respelling.

        A real word is another word, however similar; an abbreviation without vowels may be a respelling.
        """
        doubtful = [word for word in self.words if not (is_word(word) and _VOWEL.search(word))]
        return [(skeleton, _frame(skeleton)) for skeleton in (_skeleton([word]) for word in doubtful)]


def _reads_like(run: _Run, part: _Part, work: Work) -> bool:
    """Whether new words respell the forbidden part, with or without the words around it."""
    work.spend(_READ * (1 + len(run.words) + len(run.instead_of) + len(part.words)))
    if run.known.issuperset(part.words):
        return False  # its rule was deleted
    around = _skeleton(part.whole if word == _HOLE else word for word in run.instead_of)
    is_parted_otherwise = run.skeleton in (part.meant, around)
    sounds_alike = not part.sounds.isdisjoint(run.sounds)
    return is_parted_otherwise or sounds_alike or any(_is_spelling(*word, part, work) for word in run.spellings)


def _is_spelling(skeleton: str, frame: str, part: _Part, work: Work) -> bool:
    meant, sizes = part.meant, sorted((len(skeleton), len(part.meant)))
    work.spend(_READ + sizes[1] / 10)
    is_same_frame = frame == part.frame and len(frame) > 1 and skeleton[:1] == meant[:1]
    is_inside = len(meant) >= SHORTEST and meant in skeleton
    if is_same_frame or is_inside or 2 * sizes[0] < ALIKE * sum(sizes):
        return is_same_frame or is_inside
    return 2 * common(skeleton, meant, work) >= ALIKE * sum(sizes)
