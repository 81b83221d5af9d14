"""Other readings of a whole text: spelled-out letters, markup inside words, letters drawn with symbols."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from limner.bot.filters.text.codes import Piece, decoded, unmarked
from limner.bot.filters.text.tables import LETTERS, is_word
from limner.bot.filters.work import Work

_SPELLED_CHUNK = re.compile(
    r"(?<![^\W_])(?:\S(?P<sign>[^\w\s]|_)(?P=sign)*\S(?:(?P=sign)+\S)+|[^\W_](?:(?:[^\w\s]|_)+[^\W_]){2,})(?![^\W_])"
)
_PAIR = re.compile(r"(?<![^\s\"'«„“(])(\S)([^\w\s]|_)\2{0,20}+(\S)(?=[^\w\s]{0,20}+(?!\S))")
"""A word of two letters that are parted."""
_SPELLED_RUN = re.compile(r"(?<!\S)[^\w\s]*(?P<run>\S(?:\s++\S){2,})(?=[^\w\s]*+(?!\S))")
_LITTLE_WORDS = frozenset("aiyoàéаивскуоя")
"""One-letter words, which may stand beside spelled-out letters."""
_LITTLE_WORD = re.compile(rf"\b[{''.join(_LITTLE_WORDS)}]\b")
_MARKUP = re.compile(r"(\*{1,3}|_{1,3}|~~|\|\||`{1,3})(?=\S)(.{1,100}?)(?<=\S)\1", re.DOTALL)
_TURNED = re.compile("\u202e([^\u202c\u202d\u2066-\u2069\n]*)")
_UPRIGHT = dict(zip("ɐɔǝɟƃɥᴉıɾɿʞןɯɹʇʌʍʎqpudbn", "acefghiijjklmrtvwybdnpqu", strict=True))
_UPSIDE_DOWN = re.compile(r"[ɐɔǝɟƃɥᴉɾɿʞɯɹʇʌʍʎ].*[ɐɔǝɟƃɥᴉɾɿʞɯɹʇʌʍʎ]", re.DOTALL)
_DRAWN = {
    "a": r"/\ /-\ ^\ /=\ /_\ /~\ (-\ |-\ ",
    "b": r"|3 !3 |8 ]3 )3 }3 (3 /3",
    "d": r"|) |] |} [) |> ]) [>",
    "e": r"[- |=-",
    "f": r"|= /= |# ]=",
    "g": r"(_+ (_- (_; (y, [_+",
    "h": r"|-| )-( ]-[ }-{ /-/ \-\ [-] (-) |=| |~| {-} }{ )( ]~[ }~{ |+| !-!",
    "i": r"][",
    "j": r"_| _/ ,| ._] ,_| _]",
    "k": r"|< |{ |( /< ]< [< }< 1< !<",
    "l": r"|_ [_ 1_ !_ {_",
    "m": r"|\/| /\/\ (\/) |v| /v\ [v] {v} ^^ |\|\ ]v[ (v) //. /|\ /^^\ []v[] [\/] {\/} ]\/[ !\/! |\\/| /\\/\\",
    "n": r"|\| /\/ [\] <\> {\} (\) |/| ]\[ ^/ []\[] !\!",
    "o": r"() [] <> {}",
    "p": r"|* |o |° |~ |> |7",
    "q": r"(_,) (,) <|",
    "r": r"|2 |? |^ |` |9 /2 [2 ]2",
    "s": r"_/¯",
    "t": r"][ '][' -|- ~|~ ¯|¯ -]- -[-",
    "u": r"|_| (_) \_/ [_] {_} ]_[ /_/ \_\ !_!",
    "v": r"\/ |/ \| \\//",
    "w": r"\/\/ vv \^/ |/\| \x/ (/\) uu \|/ \_|_/ |^| [/\] (^) ]/\[ {/\} !/\!",
    "x": r">< )( }{ %/ )|(",
    "y": r"`/ '/ \|/ \-/",
    "z": r"7_ >_ ~/_ -/_",
}
"""Symbols that draw a letter together; some may draw several letters."""
_DRAWN_WITH = {"b": "13 i3 l3", "d": "o| c| cl", "k": "1c", "m": "iyi", "p": "1o", "r": "12 lz", "w": "vv uu"}
"""The same where a letter or a digit begins them: another reading has them between the others."""


class _Unsure(dict[str, str]):
    """For several letters that the same signs may draw the character for private use that stands for any of them."""

    def __missing__(self, letters: str) -> str:
        self[letters] = character = chr(0xE100 + len(self))
        LETTERS[character] = letters
        return character


_UNSURE = _Unsure()


_Signs = tuple[re.Pattern[str], Mapping[str, str]]
"""Any of some signs, and what is read instead of each."""


def _letters_of_signs(drawn: Mapping[str, str]) -> _Signs:
    """What is read instead of drawn signs: a letter, or a character that may be several."""
    letters: dict[str, str] = {}
    for letter, signs in drawn.items():
        for sign in signs.split():
            letters[sign] = letters.get(sign, "") + letter
    any_sign = re.compile("|".join(re.escape(sign) for sign in sorted(letters, key=len, reverse=True)))
    return any_sign, {sign: _UNSURE[many] if len(many) > 1 else many for sign, many in letters.items()}


_HAS_MARK, _HAS_DRAWN = re.compile(r"[*_~|`]").search, re.compile(r"[|\\/(\[{<>^_]").search
_CHUNK = re.compile(r"\S+")
_DRAWN_SIGNS, _DRAWN_WITH_SIGNS = _letters_of_signs(_DRAWN), _letters_of_signs(_DRAWN_WITH)
_SPELLED, _MARKED_UP, _UNDRAWN = 10, 10, 8
"""Steps for each character of a text that is read so."""
_DECODED = 60
"""Steps for each code, tag or bracket."""
_HAS_SPELLED = re.compile(" [^ ] [^ ] ")
"""Two words of one letter: in the `line` of every text with letters that are spelled out."""
_SIGN_LETTER = re.compile(f"[{''.join(sign for sign in LETTERS if unicodedata.category(sign) == 'So')}]")
"""Pictures of letters, which are no letters to a `line`."""
_CODED = {"codes for letters": decoded, "mark-up": unmarked}
_LOOSE = re.compile(r"(?<!\w)(\w)[-–—.,;:/·•~=](?=\s+\w(?!\w))|(?<=\s)[-–—.,;:/·•~=](?=\s)")
"""Signs that part letters beside spaces: b, a - d."""


class Rewritten(NamedTuple):
    """Another reading of a text: the origin of each character, and the removed disguise."""

    text: str
    places: list[int]
    step: str


def rewrites(text: str, spaced: str, work: Work) -> Iterator[Rewritten]:
    """Every other reading of a normalised text that may hide a word; ``spaced`` is its `line`."""
    if _may_be_spelled(text, spaced):
        work.spend(_SPELLED * len(text))
        loose = _LOOSE.sub(lambda match: f"{match[1] or ''} ", text)
        choices = _CHOICES if _LITTLE_WORD.search(loose) else _CHOICES[:1]
        different = dict.fromkeys(tuple(_with_pairs(loose, [*_spelled(loose, choose)])) for choose in choices)
        different |= {
            tuple((start, end, letters.replace(" ", "")) for start, end, letters in one): None for one in different
        }
        yield from (_rewritten(text, "spaced letters", pieces) for pieces in different if pieces)
    if _HAS_MARK(text) and _MARKUP.search(text):
        work.spend(_MARKED_UP * len(text))
        pieces = list(_markup(text, 0))
        if len(pieces) > 1:
            yield _rewritten(text, "mark-up", pieces)
    for step, read in _CODED.items():
        if pieces := sorted(read(text)):
            work.spend(_DECODED * len(pieces))
            yield _rewritten(text, step, pieces)
    if _HAS_DRAWN(text) or "vv" in text or "uu" in text:
        work.spend(_UNDRAWN * len(text))
        chunks = _CHUNK.finditer(text)
        drawn = [chunk.span() for chunk in chunks if _may_be_drawn(chunk[0])]
        for pieces in dict.fromkeys(tuple(_undrawn(text, drawn, with_letters=one)) for one in (False, True)):
            if pieces:
                yield _rewritten(text, "drawn letters", pieces)


def turned_around(text: str) -> Rewritten | None:
    """The original text read from right to left or upside down; None if that makes no sense."""
    places = list(range(len(text) + 1))
    if "\u202e" in text:
        for run in _TURNED.finditer(text):
            places[run.start(1) : run.end(1)] = reversed(range(*run.span(1)))
        return Rewritten("".join(text[place] for place in places[:-1]), places, "reversed letters")
    if text.isascii() or not (turned := _UPSIDE_DOWN.search(text)):
        return None
    start, end = text.rfind(" ", 0, turned.start()) + 1, f"{text} ".find(" ", turned.end())
    places[start:end] = reversed(range(start, end))
    upright = "".join(_UPRIGHT.get(letter, letter) for letter in reversed(text[start:end]))
    return Rewritten(text[:start] + upright + text[end:], places, "upside-down letters")


def _may_be_spelled(text: str, spaced: str) -> bool:
    return bool(_HAS_SPELLED.search(spaced)) or (not text.isascii() and bool(_SIGN_LETTER.search(text)))


def _rewritten(text: str, step: str, pieces: Sequence[Piece]) -> Rewritten:
    out, places, here = list[str](), list[int](), 0
    for start, end, letters in pieces:
        out += [text[here:start], letters]
        places += [*range(here, start), *_spread(start, end, len(letters))]
        here = end
    return Rewritten("".join(out) + text[here:], [*places, *range(here, len(text) + 1)], step)


def _spread(start: int, end: int, count: int) -> Iterator[int]:
    """``count`` places in the part, the last of them its last character."""
    return (start + (end - start - 1) * number // max(1, count - 1) for number in range(count))


Choice = Callable[[re.Match[str]], tuple[int, int]]


def _all(match: re.Match[str]) -> tuple[int, int]:
    return match.span("run")


def _without_first(match: re.Match[str]) -> tuple[int, int]:
    start, end = match.span("run")
    return (start + 2 if match["run"][0] in _LITTLE_WORDS else start), end


def _without_last(match: re.Match[str]) -> tuple[int, int]:
    start, end = match.span("run")
    return start, (end - 2 if match["run"][-1] in _LITTLE_WORDS else end)


_CHOICES = (_all, _without_first, _without_last)


def _spelled(text: str, choose: Choice) -> Iterator[Piece]:
    here = 0
    chunk, run = _SPELLED_CHUNK.search(text), _SPELLED_RUN.search(text)
    while here < len(text):
        if chunk and chunk.start() < here:
            chunk = _SPELLED_CHUNK.search(text, here)
        if run and run.start() < here:
            run = _SPELLED_RUN.search(text, here)
        first = min((match for match in (chunk, run) if match), key=lambda match: match.start(), default=None)
        if first is None:
            return
        if first is chunk:
            letters = re.sub(rf"{re.escape(first['sign'])}+" if first["sign"] else r"[^\w\s]|_", "", first[0])
            start, here = _with_signs(text, first)
            if sum(map(_may_be_letter, letters)) > 1:
                yield start, here, letters
        else:
            start, end = choose(first)
            yield start, end, _joined(text[start:end])
            here = max(end, first.start() + 1)


def _with_signs(text: str, chunk: re.Match[str]) -> tuple[int, int]:
    """Where a spelled chunk begins and ends, with the same sign before its first letter and after its last one."""
    (start, end), sign = chunk.span(), chunk["sign"]
    while sign and text.endswith(sign, 0, start):
        start -= len(sign)
    while sign and text.startswith(sign, end):
        end += len(sign)
    return start, end


def _may_be_letter(character: str) -> bool:
    return character.isalpha() or not character.isascii()


def _with_pairs(text: str, pieces: list[Piece]) -> list[Piece]:
    """The pieces, and words of two letters that are parted by the same sign as others."""
    signs = {text[start + 1] for start, _, _ in pieces} - {" "}
    if not signs:
        return sorted(pieces)
    taken = {place for start, end, _ in pieces for place in range(start, end)}
    pairs = (pair for pair in _PAIR.finditer(text) if pair[2] in signs and pair.start() not in taken)
    return sorted([*pieces, *((pair.start(), pair.end(), pair[1] + pair[3]) for pair in pairs)])


def _joined(run: str) -> str:
    """The letters of a run; a gap that is wider than the others parts words."""
    if "  " not in run and (letters := run.split(" ")) == run.split():
        return "".join(letters)
    gaps = re.findall(r"\s+", run)
    usual = min(map(len, gaps), default=0)
    return re.sub(r"\s+", lambda gap: " " if len(gap[0]) > usual else "", run)


def _markup(text: str, offset: int) -> Iterator[Piece]:
    for match in _MARKUP.finditer(text):
        width = len(match[1])
        yield offset + match.start(), offset + match.start() + width, ""
        yield from _markup(match[2], offset + match.start(2))
        yield offset + match.end() - width, offset + match.end(), ""


def _may_be_drawn(chunk: str) -> bool:
    """Whether signs may draw letters of a word; signs around a word that is in use draw nothing."""
    if not any(map(str.isalpha, chunk)) or is_word(chunk.strip("\"'“”„«».,;:!?()")):
        return False
    return any(any_sign.search(chunk) for any_sign, _ in (_DRAWN_SIGNS, _DRAWN_WITH_SIGNS))


def _undrawn(text: str, chunks: Iterable[tuple[int, int]], *, with_letters: bool) -> Iterator[Piece]:
    for here, last in chunks:
        for start, end, letter in (*_signs(_DRAWN_SIGNS, text, here, last), (last, last, "")):
            yield from _signs(_DRAWN_WITH_SIGNS, text, here, start) if with_letters else ()
            if letter:
                yield start, end, letter
            here = end


def _signs(table: _Signs, text: str, start: int, end: int) -> Iterator[Piece]:
    any_sign, letters = table
    return ((*sign.span(), letters[sign[0]]) for sign in any_sign.finditer(text, start, end))
