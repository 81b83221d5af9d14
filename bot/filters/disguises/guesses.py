"""Keys that a misspelt word and its word share: vowels, swapped letters, sound."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, combinations

from limner.bot.filters.text.tables import base, is_word, pinyin

VOWELS = "aeiouyаеёиоуыэюя"
SHORTEST, LONGEST = 4, 40
"""Lengths of the shortest and the longest word that is guessed."""
LONG = 7
"""Letters of the shortest word that is found with one letter left out or added."""

_VOWEL = re.compile(f"[{VOWELS}]")
_SURE_VOWEL = re.compile(f"[{VOWELS.replace('y', '')}]")
_SOUNDS = (
    ("z", "s"),
    (r"([^aeiou])(?=\1)", ""),
    ("^[kc]n|ng$", "n"),
    ("^wh?r", "r"),
    ("ght", "t"),
    ("(?<=[aeiouw])gh", ""),
    ("shch|sch|stch|sh|^sj", "S"),
    ("[ts]ion$|Sun$", "Sn"),
    ("tch", "ch"),
    ("ew(?![aeiou])|eu|(?<!q)ue", "u"),
    ("kw", "k"),
    ("aw(?![aeiou])", "au"),
    ("ow(?![aeiou])", "ou"),
    ("wh|vh|w", "v"),
    ("dg|dj", "j"),
    ("ck|qu|q|c", "k"),
    ("ks", "x"),
    ("ph|pf", "f"),
    ("dt|th", "t"),
    ("eau|au", "o"),
    ("oo|ou", "u"),
    ("a[iy]|e[iy](?!$)", "E"),
    ("ee|ea|ie|ey|y|j", "i"),
    ("ai", "E"),
    ("(?:er|ure?|or|ar|ah|uh|a|(?<=[bdgkptv])re)$", "A"),
    ("Ei?e$", "E"),
    ("(?<=...[^aeiE])e$", ""),
    ("(?:al|el|le|l)$", "L"),
    (r"(.)(?=\1)", ""),
)
"""Letters with equal sounds and their common spelling; earlier entries apply first."""
_SOUND = [(re.compile(letters), alike) for letters, alike in _SOUNDS]
_OTHERWISE = (
    ("th", "d"),
    ("th", "f"),
    ("ll", "y"),
    ("ñ", "ny"),
    ("j", "h"),
    ("ow", "o"),
    ("ow", "ou"),
    ("ough", "uff"),
    ("ough", "o"),
    ("ch", "sh"),
    ("ch", "k"),
    ("[st]u(?=r)", "chu"),
    ("ier$", "ia"),
    ("ier$", "ea"),
    ("ier$", "er"),
    ("ower$", "oua"),
    ("ou(?=[aeiou])", "ow"),
    ("igh", "ie"),
    ("eigh", "ey"),
    ("(?<=[aeiou][^aeiou]|dg)e$", ""),
    ("mb$", "m"),
    ("st(?=[le][en]$)", "s"),
    ("oa", "o"),
    ("ea", "e"),
    ("(?<=[rg])h", ""),
    ("a(?=[^aeiou]e$)", "ai"),
    ("o(?=[^aeiou]e$)", "oa"),
)
"""Letters of a word that many speakers or other languages sound in another way, and how that is written."""
_HEARD = [(re.compile(letters), written) for letters, written in _OTHERWISE]
_SOFT = re.compile("([cg])(?=[eiy])")
"""Letters with two sounds before these vowels, depending on the language."""
_RUSSIAN = """
а=a б=b в=v г=g д=d е=e ё=yo ж=zh з=z и=i й=y к=k л=l м=m н=n о=o п=p р=r с=s т=t у=u ф=f х=kh ц=ts ч=ch ш=sh щ=shch
ъ= ы=y ь= э=e ю=yu я=ya
"""
_CYRILLIC = {pair[0]: pair[2:] for pair in _RUSSIAN.split()}
"""Russian letters in Latin ones (BGN/PCGN)."""
_KANA = {"si": "shi", "ti": "chi", "tu": "tsu", "hu": "fu", "zi": "ji", "di": "ji", "du": "zu", "wo": "o"}
"""Unicode kana names that differ from Hepburn's romanisation."""


def plain(word: str) -> str:
    """A lower-case word without accents."""
    return "".join(map(base, word)) if not word.isascii() else word


def keys(word: str) -> Iterator[tuple[str, str]]:
    """The kinds of disguise and keys of a word's misspellings."""
    yield "vowel changed", without_vowels(word)
    if "u" in word or "v" in word:
        yield "u and v", u_for_v(word)
    yield "letters swapped", "".join(sorted(word))
    yield "vowels left out", word[0] + _VOWEL.sub("", word[1:])
    for one in sounds(word):
        yield "sound", one


def without_one(word: str) -> Iterator[str]:
    """The word without one of its letters, except the first one; each once."""
    yield from dict.fromkeys(word[:place] + word[place + 1 :] for place in range(1, len(word)))


def without_vowels(word: str) -> str:
    """The word with a star for each vowel."""
    return _VOWEL.sub("*", word)


def u_for_v(word: str) -> str:
    """The word as if it had no v."""
    return word.replace("v", "u")


def consonants(word: str) -> str:
    """Equal for a word and all words of `vowels_changed`."""
    return without_vowels(word).replace("v", "*")


def vowels_changed(word: str) -> Iterator[tuple[str, str]]:
    """The words of which this is a misspelling by one vowel."""
    for place, letter in enumerate(word):
        if letter in VOWELS or letter == "v":
            vowels = "aeiou" if letter.isascii() else "аеиоуыэюя"
            yield from (("vowel changed", word[:place] + vowel + word[place + 1 :]) for vowel in vowels)


def letters_swapped(word: str) -> Iterator[tuple[str, str]]:
    """The words of which this is a misspelling by two swapped letters."""
    for place in range(1, len(word)):
        if word[place - 1] != word[place]:
            yield "letters swapped", word[: place - 1] + word[place] + word[place - 1] + word[place + 1 :]


@lru_cache(maxsize=1 << 14)
def sounds(word: str) -> tuple[str, ...]:
    """Rough spellings by sound: with a hard and a soft c and g."""
    soft = _SOFT.sub(lambda letter: "s" if letter[1] == "c" else "j", word)
    return tuple(dict.fromkeys(map(_sound, (word, soft))))


def heard(word: str) -> Iterator[str]:
    """More rough spellings by sound of a word that is searched, with one or two letters sounded in another way."""
    ambiguous = [one for one in _HEARD if one[0].search(word)]
    for changed in chain(combinations(ambiguous, 1), combinations(ambiguous, 2)):
        spelling = word
        for letters, written in changed:
            spelling = letters.sub(written, spelling)
        yield from sounds(plain(spelling))


@lru_cache(maxsize=1 << 14)
def _sound(word: str) -> str:
    for letters, alike in _SOUND:
        if letters.search(word):
            word = letters.sub(alike, word)
    return word


def is_guess(step: str, written: str, meant: str) -> bool:
    """Whether a spelling with a word's key can stand for it; ``written`` must not be a word itself."""
    if step == "vowel changed":
        changed = [one for one, other in zip(written, meant, strict=True) if one != other]
        return len(changed) == 1
    if step == "letters swapped":
        changes = [number for number, (one, other) in enumerate(zip(written, meant, strict=True)) if one != other]
        return len(changes) == 2 and changes[1] == changes[0] + 1
    if step == "vowels left out":
        return len(written) >= SHORTEST + bool(_SURE_VOWEL.search(written, 1)) and _is_in(written, meant)
    return True


def may_be_without_vowels(written: str) -> bool:
    """Whether a spelling may lack its word's vowels, except a first letter's."""
    return len(written) >= SHORTEST and not _SURE_VOWEL.search(written, 1)


def _is_in(written: str, meant: str) -> bool:
    """Whether the letters of one are in the other in the same order."""
    letters = iter(meant)
    return all(letter in letters for letter in written)


@lru_cache(maxsize=1 << 12)
def is_compound(word: str) -> bool:
    """Whether the word, of at most `LONGEST` letters, consists of two real words, as in German."""
    return len(word) <= LONGEST and any(
        is_word(word[:cut]) and is_word(word[cut:]) for cut in range(SHORTEST, len(word) - SHORTEST + 1)
    )


@lru_cache(maxsize=1 << 14)
def romanised(word: str) -> tuple[str, ...]:
    """Every usual romanisation of a Russian, Chinese, Korean or kana word."""
    letters = [_romanised(character) for character in unicodedata.normalize("NFC", word)]
    if None in letters or not letters:
        return ()
    joined = _kana_joined("".join(filter(None, letters)))
    return tuple(
        dict.fromkeys((joined, joined.replace("yo", "e"), joined.replace("kh", "h"), joined.replace("ts", "c")))
    )


def _romanised(character: str) -> str | None:
    if character in _CYRILLIC:
        return _CYRILLIC[character]
    if reading := pinyin().get(character):
        return reading
    name = unicodedata.name(character, "")
    if name.startswith("HANGUL SYLLABLE "):
        return name.removeprefix("HANGUL SYLLABLE ").lower()
    if match := re.fullmatch(r"(?:HIRAGANA|KATAKANA) LETTER (SMALL )?([A-Z]+)", name):
        mora = _KANA.get(match[2].lower(), match[2].lower())
        return f"<{mora}>" if match[1] else mora
    return "" if character == "ー" else None


def _kana_joined(letters: str) -> str:
    """Small kana merged with the sound before them: ki<ya> is kya, <tsu>ka is kka."""
    letters = re.sub(r"<tsu>(.|$)", r"\1\1", letters)
    letters = re.sub(
        r"(?<=[sc]h)i<y(.)>|(?<=j)i<y(.)>|i<(y.)>", lambda small: small[1] or small[2] or small[3], letters
    )
    return re.sub(r"[aeiou]?<(.)>", r"\1", letters)
