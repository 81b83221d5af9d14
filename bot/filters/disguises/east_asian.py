"""Finds Chinese, Japanese and Korean words in other spellings: old and simplified, kana, jamo, spaced or masked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from limner.bot.filters.text.keywords import automaton
from limner.bot.filters.text.scan import KOREAN, UNSPACED
from limner.bot.filters.text.tables import ONE_SPELLING
from limner.bot.filters.work import Work

_EAST = re.compile(f"[{UNSPACED}{KOREAN}]")
_WORD = re.compile(f"[{UNSPACED}{KOREAN}]{{2,}}|[\u4e00-\u9fff]")
_SYLLABLE = re.compile("[\uac00-\ud7a3]")
_CLAUSE = re.compile(r"[、。，・：；！？「」『』《》“”（）,;:!?\"]")
"""Signs that part words in earnest."""
_LONGEST_MASKED = 20
"""Characters of a word that is found with one of them hidden."""
_MASK = "\ue000"
"""What a mask becomes: a character for private use, which no text needs."""
_MASKS = re.compile(rf"(?<=[{UNSPACED}{KOREAN}])[○〇◯●◎□■△▲☆★×✕✖*＊#＃?？…_ｘx](?=.)", re.DOTALL)
_JAMO = (
    {chr(0x1100 + number): letter for number, letter in enumerate("ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ")}
    | {chr(0x1161 + number): chr(0x314F + number) for number in range(21)}
    | {
        chr(0x11A8 + number): letter
        for number, letter in enumerate("ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
    }
)
"""The letters of a Korean syllable as letters of their own."""
_LETTER, _HIT = 3, 10
"""Steps for a letter of the text, and for each letter of a word that is found."""
_SHORT_KANA = re.compile(r"[\u3041-\u3096]")
_IS_KOREAN = re.compile(f"[{KOREAN}]").match


class _Letters(dict[str, str]):
    """How a character is compared: in one spelling, a Korean syllable as its letters; "" if it only stands between."""

    def __missing__(self, character: str) -> str:
        if _SYLLABLE.match(character):
            letters = "".join(_JAMO[part] for part in unicodedata.normalize("NFD", character))
        elif _EAST.match(character) or character.isalnum() or _CLAUSE.match(character) or character == _MASK:
            letters = _JAMO.get(character) or ONE_SPELLING.get(ord(character), character)
        else:
            letters = ""
        self[character] = letters
        return letters


_LETTERS = _Letters()


class EastAsian(NamedTuple):
    """The number of a keyword that was found, where, and how it was disguised."""

    number: int
    start: int
    end: int
    steps: tuple[str, ...]


class EastAsianWords:
    """Many words at once; each pair is a number and the word it stands for."""

    def __init__(self, words: Sequence[tuple[int, str, bool, bool]]) -> None:
        self._words = words
        patterns: dict[str, list[tuple[int, bool]]] = {}
        for index, (_, word, _, _) in enumerate(words):
            if not _WORD.fullmatch(word):
                continue
            letters, _ = _letters(word)
            patterns.setdefault(letters, []).append((index, False))
            if 2 < len(word) <= _LONGEST_MASKED and not _SYLLABLE.search(word):
                for place in range(1, len(word)):
                    patterns.setdefault(f"{letters[:place]}{_MASK}{letters[place + 1 :]}", []).append((index, True))
        self._automaton = automaton({text: (len(text), indexes) for text, indexes in patterns.items()})

    def find(self, text: str, work: Work) -> Iterator[EastAsian]:
        """Every word that is in the normalised text in another spelling."""
        if text.isascii() or self._automaton is None or not _EAST.search(text):
            return
        yield from self._find(text, *_letters(text), work)
        if (masked := _MASKS.sub(_MASK, text)) != text:
            yield from self._find(text, *_letters(masked), work)

    def _find(self, text: str, letters: str, places: list[int], work: Work) -> Iterator[EastAsian]:
        work.spend(_LETTER * len(letters))
        hits: Iterator[tuple[int, tuple[int, list[tuple[int, bool]]]]] = self._automaton.iter(letters)
        for last, (length, indexes) in hits:
            work.spend(_HIT * length * len(indexes))
            first = last - length + 1
            start, end = places[first], places[last] + 1
            if (first > 0 and places[first - 1] == start) or (last + 1 < len(places) and places[last + 1] == end - 1):
                continue  # begins or ends inside a Korean syllable
            for index, is_masked in indexes:
                number, word, is_open_left, is_open_right = self._words[index]
                steps = _steps(text, word, sorted({*places[first : last + 1]}), is_masked)
                if steps and _has_borders(text, start, end, is_open_left, is_open_right):
                    yield EastAsian(number, start, end, steps)


def _letters(text: str) -> tuple[str, list[int]]:
    """East Asian characters in one spelling, without what stands between them; and the place of each."""
    read = [_LETTERS[character] for character in text]
    return "".join(read), [place for place, letters in enumerate(read) for _ in letters]


def _steps(text: str, word: str, places: Sequence[int], is_masked: bool) -> tuple[str, ...]:
    """How the word is disguised at those places; nothing if it is written plainly, or is no word."""
    written = "".join(text[place] for place in places)
    gaps = [text[one + 1 : other] for one, other in pairwise(places)]
    steps: list[str] = []
    if is_masked:
        steps.append("masked letters")
        return tuple(steps) if not any(gaps) else ()
    if any(gaps):
        if not all(gaps) or len(set(gaps)) > 1 or _is_spelled_beyond(text, places, gaps[0]):
            return ()
        steps.append("spaced letters")
    if written != word:
        if len(word) < 3 and _SHORT_KANA.search(written) and _is_in_kana(text, places):
            return ()
        steps.append("another spelling")
    return tuple(steps)


def _is_spelled_beyond(text: str, places: Sequence[int], gap: str) -> bool:
    """Whether the spaced characters go on before and after the word, so that it is a part of something else."""
    before, after = places[0] - len(gap), places[-1] + 1 + len(gap)
    goes_before = text.endswith(gap, 0, places[0]) and bool(_EAST.match(text[max(before - 1, 0) : max(before, 0)]))
    goes_after = text.startswith(gap, places[-1] + 1) and bool(_EAST.match(text[after : after + 1]))
    return gap.isspace() and (goes_before or goes_after)


def _is_in_kana(text: str, places: Sequence[int]) -> bool:
    around = text[max(0, places[0] - 1) : places[0]] + text[places[-1] + 1 : places[-1] + 2]
    return bool(_SHORT_KANA.search(around))


def _has_borders(text: str, start: int, end: int, is_open_left: bool, is_open_right: bool) -> bool:
    """Korean words have borders; the other scripts have none."""
    left = is_open_left or not _IS_KOREAN(text[start]) or not _IS_KOREAN(text[start - 1 : start])
    right = is_open_right or not _IS_KOREAN(text[end - 1]) or not _IS_KOREAN(text[end : end + 1])
    return left and right
