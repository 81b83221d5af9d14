"""Finds the words of strict rules joined to others or split: badgerlover, bad ger."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from limner.bot.filters.disguises import coarse
from limner.bot.filters.disguises.guesses import is_compound
from limner.bot.filters.text.keywords import Found, automaton
from limner.bot.filters.text.normalise import normalise
from limner.bot.filters.text.scan import GAP, KOREAN, UNSPACED
from limner.bot.filters.text.tables import is_word
from limner.bot.filters.work import Work

SHORTEST = 3
"""Letters in the shortest word that is searched."""
SURE = 5
"""Letters of a word that is found inside any unknown word; a shorter one only beside real words."""
PIECES = 3
"""Most pieces of a split word."""
_RUN = re.compile(rf"[^\W_{UNSPACED}{KOREAN}]+")
_GAPS = re.compile(rf"[{GAP}.,'’/]{{1,3}}")
"""What stands between the pieces of a word that is split."""
_HIT, _COMPOUND, _CHARACTER = 30, 80, 2
"""Steps for a word that is found, for looking whether it stands in a compound, and for each character of the text."""


class StrictWords:
    """The words, without spaces, of many numbered rules."""

    def __init__(self, words: Sequence[tuple[int, str]]) -> None:
        known: dict[str, list[tuple[int, str]]] = {}
        for number, word in words:
            letters = "".join(_RUN.findall(word))
            if len(letters) >= SHORTEST:
                known.setdefault(coarse.likeliest(letters), []).append((number, letters))
        self._words = automaton(known)

    def find(self, text: str, work: Work) -> Iterator[tuple[Found, str]]:
        """Each word that is part of an unknown word, or is split into several; with its number."""
        if self._words is None:
            return
        work.spend(_CHARACTER * len(text))
        runs = [(run[0], run.start()) for run in _RUN.finditer(text)]
        starts, size = list[int](), 0
        for run, _ in runs:
            starts.append(size)
            size += len(run)
        joined = coarse.likeliest("".join(run for run, _ in runs))
        for last, meant in self._words.iter(joined):
            for number, word in meant:
                work.spend_on(number, _HIT + len(word) + _COMPOUND)
                first = last + 1 - len(word)
                some = slice(bisect_right(starts, first) - 1, bisect_right(starts, last))
                before = first - starts[some.start]
                after = starts[some.stop - 1] + len(runs[some.stop - 1][0]) - last - 1
                if step := _step(text, runs[some], before, after, word):
                    start, end = (
                        runs[some.start][1] + before,
                        runs[some.stop - 1][1] + len(runs[some.stop - 1][0]) - after,
                    )
                    yield Found(number, start, end), step


def splits(keyword: str) -> list[str]:
    """The pairs of real words in which a strict rule for the keyword matches too."""
    word = "".join(_RUN.findall(normalise(keyword).text))
    cuts = range(1, len(word)) if len(word) >= SHORTEST else range(0)
    return [f"{word[:cut]} {word[cut:]}" for cut in cuts if is_word(word[:cut]) and is_word(word[cut:])]


def _step(text: str, runs: Sequence[tuple[str, int]], before: int, after: int, word: str) -> str:
    """The disguise of a word that spans these runs of letters."""
    if len(runs) == 1:
        return "glued to others" if _is_glued(runs[0][0], before, after) else ""
    if before or after or len(runs) > PIECES or not _is_split([run for run, _ in runs], word):
        return ""
    between = (text[start + len(run) : following] for (run, start), (_, following) in pairwise(runs))
    return "split into words" if all(map(_GAPS.fullmatch, between)) else ""


def _is_split(pieces: Sequence[str], word: str) -> bool:
    """Whether the pieces spell the word; single letters do not count, and "con o" is not coño."""
    written = "".join(pieces)
    are_words = any(len(piece) > 1 for piece in pieces) and not any(map(str.isdecimal, pieces))
    return are_words and (written == word or not written.isalpha())


def _is_glued(run: str, before: int, after: int) -> bool:
    """Whether a word is a part of the run, and the run is not a real word."""
    if not (before or after) or is_word(run):
        return False
    rest = run[:before], run[len(run) - after :]
    if all(part == "" or is_word(part) for part in rest):
        return True
    return len(run) - before - after >= SURE and not is_compound(run)
