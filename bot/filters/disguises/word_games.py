"""Words in pig Latin, in languages that put the same letters into every syllable, and spoonerisms."""

from __future__ import annotations

import re
from collections.abc import Iterator

SHORTEST, LONGEST = 5, 64
"""Letters of the shortest and the longest word that is read so."""
_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_PIG_LATIN = re.compile(rf"([aeiouy][a-z]*?)((?:qu|[{_CONSONANTS}y]){{1,4}})[ae]y")
"""A word whose first consonants stand at its end, before "ay"."""
_PIG_LATIN_VOWEL = re.compile("([aeiou][a-z]*?)[hwy]?ay")
_BEFORE_VOWELS = "ub ob op ab ag av ap eg egg ib iz izz arp idig uddag uthug uvug ithag itherg"
"""What Ubbi Dubbi, Opish, Javanais and others put before each vowel."""
_PUT_BEFORE = {
    letters: re.compile(f"{letters}(?=[aeiouy])") for letters in sorted(_BEFORE_VOWELS.split(), key=len, reverse=True)
}
_PUT_AFTER = re.compile(r"([aeiou]+)(?:lew|lef|[bfgpstv])\1")
"""What Jerigonza, Löffelsprache and others put after each vowel, with the vowel once more."""
_ROBBER = re.compile(rf"([{_CONSONANTS}])o\1")
"""A consonant of Rövarspråket."""
_PAIR = re.compile(rf"(qu|[{_CONSONANTS}]+)([a-z]{{2,}}) (qu|[{_CONSONANTS}]+)([a-z]{{2,}})")
_VOWELS, _CONSONANT = re.compile("[aeiou]+"), re.compile(f"[{_CONSONANTS}]")


def meant(written: str) -> Iterator[str]:
    """The words that a lower-case word may stand for."""
    if not SHORTEST <= len(written) <= LONGEST or not written.isascii():
        return
    if written.endswith(("ay", "ey")):
        yield from _from_pig_latin(written)
    for letters, pattern in _PUT_BEFORE.items():
        if letters in written:
            yield from _whole(*pattern.subn("", written))
    yield from _whole(*_PUT_AFTER.subn(r"\1", written))
    word, count = _ROBBER.subn(r"\1", written)
    if count > 1 and count == len(_CONSONANT.findall(word)):
        yield word


def spoonerism(phrase: str) -> str:
    """Two words with their first consonants swapped; "" for other texts."""
    pair = _PAIR.fullmatch(phrase)
    return f"{pair[3]}{pair[2]} {pair[1]}{pair[4]}" if pair and pair[1] != pair[3] else ""


def _from_pig_latin(written: str) -> Iterator[str]:
    if moved := _PIG_LATIN.fullmatch(written):
        rest, onset = moved.groups()
        for size in range(1, len(onset) + 1):
            yield onset[-size:] + rest + onset[:-size]
    if kept := _PIG_LATIN_VOWEL.fullmatch(written):
        yield kept[1]


def _whole(word: str, count: int) -> Iterator[str]:
    """The word if letters were taken from each of its syllables; a last e may be silent."""
    if count and len(word) > 3:
        vowels = len(_VOWELS.findall(word))
        if count == vowels or (count == vowels - 1 and word.endswith("e")):
            yield word
