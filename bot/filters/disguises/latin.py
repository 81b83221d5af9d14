"""Russian, Chinese, Japanese and Korean words in Latin letters: one key for all the ways in which they are written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import islice, product

from limner.bot.filters.text.tables import pinyin

SHORTEST, LONGEST = 4, 40
"""Letters in the shortest and the longest word that is compared."""


class Script(StrEnum):
    """Whose spelling it is."""

    RUSSIAN = "Cyrillic"
    CHINESE = "Chinese"
    JAPANESE = "kana"
    KOREAN = "Hangul"


def _rules(*rules: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), alike) for pattern, alike in rules]


_ALIKE = {
    Script.RUSSIAN: _rules(
        ("4", "ch"),
        ("6", "sh"),
        ("['’ʹ`]", ""),
        ("shch|s[ck]h|tsch|sh", "S"),
        ("tch|ch", "C"),
        ("zh", "s"),
        ("kh|x", "h"),
        ("t[sz]", "c"),
        ("ph", "f"),
        ("w", "v"),
        ("oo", "u"),
        ("[yji]a", "a"),
        ("[yji]u", "u"),
        ("[yji]o", "e"),
        ("[yji]e", "e"),
        ("z", "s"),
        ("[yj]", "i"),
        (r"(.)(?=\1)", ""),
    ),
    Script.JAPANESE: _rules(
        ("['’]", ""),
        ("shi", "si"),
        ("chi", "ti"),
        ("tsu", "tu"),
        ("fu", "hu"),
        ("ji|di", "zi"),
        ("du", "zu"),
        ("sh", "sy"),
        ("[ct]ch", "ty"),
        ("ch", "ty"),
        ("jy?", "zy"),
        ("o[uoh](?![aeiou])|oo|ou", "o"),
        ("a[ah](?![aeiou])|aa", "a"),
        ("uu", "u"),
        ("ee|ei", "e"),
        ("ii", "i"),
        ("m(?=[bmp])", "n"),
        (r"(.)(?=\1)", ""),
    ),
    Script.KOREAN: _rules(
        ("['’]", ""),
        ("eui|ui|yi", "i"),
        ("y?eo|yo", "o"),
        ("eu", "u"),
        ("ee", "i"),
        ("w?oo", "u"),
        ("ae", "e"),
        ("ng", "N"),
        ("ch|[jz]", "c"),
        ("s[hiy](?=[aeiou])", "s"),
        ("[gq]", "k"),
        ("d", "t"),
        ("b", "p"),
        ("r", "l"),
        ("[fv]", "p"),
        ("(?<=[kln])[kln]", "n"),
        ("k(?=[mn])", "N"),
        ("p(?=[mn])", "m"),
        ("t(?=[mn])", "n"),
        (r"(.)(?=\1)", ""),
    ),
    Script.CHINESE: _rules(("['’]", ""), ("[1-5]", ""), ("[üv]|u:", "u")),
}
"""What stands in spellings of each, and one spelling for it; what is above is replaced before what is below."""
_ELSEWHERE = (
    "a ai an ang ba ban bang bei ben bi bin bu can da dan dang de den di die dong du e en fan fang fen fu ga gang gen "
    "gun ha hang he hen her hun ka kang la lan lang lei lia lin long lu ma mai man mang me men mi min mo mu na ni nun "
    "o pan pang pen pi pin pu ran ren sa san sang se sen sha shan she song su sun ta tan tang ti tong tu tun wan wang "
    "wen wu ya yang yen you yuan za zen zu"
)
"""Syllables of pinyin that are words, names or parts of names elsewhere."""
_COMMON = frozenset(_ELSEWHERE.split())
_TONED = re.compile(r"(?:[a-z:ü]{1,7}[1-5])+|[a-z:]*(?:[āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ][a-z:]*)+")
_UNSURE = re.compile("(c(?!h)|j)")
_EITHER = {"c": ("c", "k"), "j": ("j", "zh")}
"""Latin letters that are written for two Russian ones."""
_READINGS = 8
"""Most readings of a word with such letters."""
_LATIN = re.compile(r"[a-zü1-6'’ʹ`:]+")


def script_of(word: str) -> Script | None:
    """Whose letters the word is written in; None for others, and for words in several scripts."""
    found = {_script(letter) for letter in word}
    return found.pop() if len(found) == 1 else None


def key(latin: str, script: Script) -> str:
    """The same for all spellings of a word of the script."""
    for pattern, alike in _ALIKE[script]:
        latin = pattern.sub(alike, latin)
    return latin


@lru_cache(maxsize=1 << 12)
def keys(written: str, scripts: Sequence[Script]) -> tuple[tuple[Script, str], ...]:
    """Under which keys a piece of lower-case text may stand for a word of these scripts."""
    return tuple(_keys(written, scripts))


def spaced(word: str) -> Iterator[str]:
    """The pinyin of a Chinese word with spaces between the syllables; nothing for one that may be other words."""
    syllables = [pinyin().get(sign, "") for sign in word]
    if len(syllables) > 1 and all(syllables) and sum(map(len, syllables)) >= SHORTEST:
        written = dict.fromkeys(" ".join(syllables).replace("v", umlaut) for umlaut in "uvü")
        yield from (one for one in written if not _COMMON.issuperset(one.split()))


def _keys(written: str, scripts: Sequence[Script]) -> Iterator[tuple[Script, str]]:
    is_toned = _TONED.fullmatch(written) is not None
    bare = _bare(written)
    letters = sum(map(str.isalpha, bare))
    if not _LATIN.fullmatch(bare) or letters < SHORTEST or len(bare) > LONGEST:
        return
    for script in scripts:
        if script == Script.CHINESE:
            if is_toned or bare.isalpha():
                yield script, key(bare, script)
        elif not re.search("[1-35]", bare) and (script == Script.RUSSIAN or bare.isalpha() or "'" in bare):
            for one in _read_otherwise(bare) if script == Script.RUSSIAN else (bare,):
                yield script, key(one, script)


def _read_otherwise(written: str) -> Iterator[str]:
    """Latin letters with each c as ц or к, and each j as й or ж."""
    parts = _UNSURE.split(written)
    for letters in islice(product(*(_EITHER.get(part, (part,)) for part in parts)), _READINGS):
        yield "".join(letters)


def _bare(written: str) -> str:
    """Without the marks of tones and of long vowels; a long o is written twice."""
    if written.isascii():
        return written
    return "".join(letter if letter == "ü" else unicodedata.normalize("NFD", letter)[0] for letter in written)


def _script(letter: str) -> Script | None:
    name = unicodedata.name(letter, "").partition(" ")[0]
    if letter == "ー" or name in ("HIRAGANA", "KATAKANA"):
        return Script.JAPANESE
    return {"CYRILLIC": Script.RUSSIAN, "CJK": Script.CHINESE, "HANGUL": Script.KOREAN}.get(name)
