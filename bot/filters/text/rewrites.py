"""Other readings of a whole text: spelled-out letters, markup inside words, letters drawn with symbols."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from limner.bot.filters.text.codes import Piece, decoded, unmarked
from limner.bot.filters.text.tables import LETTERS, is_word
from limner.bot.filters.work import Work

_SPELLED_CHUNK = re.compile(
    r"(?<![^\W_])(?=\S(?:[^\w\s]|_))(?:\S(?P<sign>[^\w\s]|_)(?P=sign)*\S(?:(?P=sign)+\S)+|[^\W_](?:(?:[^\w\s]|_)+[^\W_]){2,})(?![^\W_])"
)
_NO_LETTERS = re.compile(r"[^\w\s]|_")
_PAIR = re.compile(r"(?<![^\s\"'«„“(])(\S)([^\w\s]|_)\2{0,20}+(\S)(?=[^\w\s]{0,20}+(?!\S))")
"""A word of two letters that are parted."""
_SPELLED_RUN = re.compile(r"(?<!\S)[^\w\s]*(?P<run>\S(?:\s++\S){2,})(?=[^\w\s]*+(?!\S))")
_LITTLE_WORDS = frozenset("aiyoàéаивскуоя")
"""One-letter words, which may stand beside spelled-out letters."""
_MARKUP = re.compile(r"(\*{1,3}|_{1,3}|~~|\|\||`{1,3})(?=\S)(.{1,100}?)(?<=\S)\1", re.DOTALL)
_TURNED = re.compile("\u202e([^\u202c\u202d\u2066-\u2069\n]*)")
_UPRIGHT = dict(zip("ɐɔǝɟƃɥᴉıɾɿʞןɯɹʇʌʍʎqpudbn", "acefghiijjklmrtvwybdnpqu", strict=True))
_UPSIDE_DOWN = re.compile(r"[ɐɔǝɟƃɥᴉɾɿʞɯɹʇʌʍʎ].*[ɐɔǝɟƃɥᴉɾɿʞɯɹʇʌʍʎ]", re.DOTALL)
_DRAWN = {
    "a": r"/\ /-\ ^\ /=\ /_\ /~\ (-\ |-\ ",
    "b": r"|3 !3 |8 ]3 )3 }3 (3 /3 |o",
    "d": r"|) |] |} [) |> ]) [> <|",
    "e": r"[- |=-",
    "f": r"|= /= |# ]=",
    "g": r"(_+ (_- (_; (y, [_+",
    "h": r"|-| )-( ]-[ }-{ /-/ \-\ [-] (-) |=| |~| {-} }{ )( ]~[ }~{ |+| !-!",
    "i": r"][",
    "j": r"_| _/ ,| ._] ,_| _]",
    "k": r"|< |{ |( /< ]< [< }< 1< !< \<",
    "l": r"|_ [_ 1_ !_ {_",
    "m": r"|\/| /\/\ (\/) |v| /v\ [v] {v} ^^ |\|\ ]v[ (v) //. /|\ /^^\ []v[] [\/] {\/} ]\/[ !\/! |\\/| /\\/\\ |y|",
    "n": r"|\| /\/ [\] <\> {\} (\) |/| ]\[ ^/ []\[] !\!",
    "o": r"() [] <> {}",
    "p": r"|* |o |° |~ |> |7 |d |2",
    "q": r"(_,) (,) <|",
    "r": r"|2 |? |^ |` |9 /2 [2 ]2 |z",
    "s": r"_/¯",
    "t": r"][ '][' -|- ~|~ ¯|¯ -]- -[-",
    "u": r"|_| (_) \_/ [_] {_} ]_[ /_/ \_\ !_!",
    "v": r"\/ |/ \| \\//",
    "w": r"\/\/ vv \^/ |/\| \x/ (/\) uu \|/ \_|_/ |^| [/\] (^) ]/\[ {/\} !/\! '// `//",
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


_HAS_MARK = re.compile(r"[*_~|`]").search
_CHUNK = re.compile(r"\S+")
_DRAWN_SIGNS, _DRAWN_WITH_SIGNS = _letters_of_signs(_DRAWN), _letters_of_signs(_DRAWN_WITH)
_HAS_STROKE = re.compile(r"[|\\/(\[{<>^_]").search
_SPELLED, _MARKED_UP, _UNDRAWN = 10, 10, 8
"""Steps for each character of a text that is read so."""
_PARTED, _CHANGED = 2, 15
"""Steps for each character of another reading, and for each of its changes, to find what has to be read again."""
_DECODED = 60
"""Steps for each code, tag or bracket."""
_HAS_SPELLED = re.compile(r" [^ \d] (?:\d )*[^ \d] ")
"""Two words of one letter, also with digits between: in the `line` of every text with letters that are spelled out."""
_SIGN_LETTER = re.compile(f"[{''.join(sign for sign in LETTERS if unicodedata.category(sign) == 'So')}]")
"""Pictures of letters, which are no letters to a `line`."""
_CODED = {"codes for letters": decoded, "mark-up": unmarked}
_LOOSE = re.compile(r"(?<!\w)(\w)[-–—.,;:/·•~=](?=\s+\w(?!\w))|(?<=\s)[-–—.,;:/·•~=](?=\s)")
"""Signs that part letters beside spaces: b, a - d."""


class Rewritten:
    """Another reading of a text, and the removed disguise."""

    def __init__(self, text: str, step: str, pieces: Sequence[Piece]) -> None:
        out, here = list[str](), 0
        for start, end, letters in pieces:
            out += (text[here:start], letters)
            here = end
        self.text = f"{''.join(out)}{text[here:]}"
        self.step = step
        self._size = len(text)
        self._pieces = pieces

    @property
    def steps(self) -> int:
        """Steps for finding its `parts`."""
        return _PARTED * len(self.text) + _CHANGED * len(self._pieces)

    def parts(self, reach: int) -> Iterator[tuple[int, int]]:
        """Where the text differs from the one that it is another reading of, with ``reach`` words on both sides."""
        chunks = [chunk.span() for chunk in _CHUNK.finditer(self.text)]
        starts, ends = [start for start, _ in chunks], [end for _, end in chunks]
        first = last = -1
        for start, end in self._changed():
            left = max(0, bisect_left(ends, start) - reach)
            right = min(len(chunks), bisect_right(starts, end) + reach)
            if left > last and last >= 0:
                yield starts[first], ends[last - 1]
                first = -1
            first, last = left if first < 0 else first, max(last, right)
        if first >= 0 and last > first:
            yield starts[first], ends[last - 1]

    def _changed(self) -> Iterator[tuple[int, int]]:
        moved = 0
        for start, end, letters in self._pieces:
            yield start + moved, start + moved + len(letters)
            moved += len(letters) - (end - start)

    @cached_property
    def places(self) -> Sequence[int]:
        """The origin of each character."""
        places, here = list[int](), 0
        for start, end, letters in self._pieces:
            places += [*range(here, start), *_spread(start, end, len(letters))]
            here = end
        return [*places, *range(here, self._size + 1)]


class Turned(NamedTuple):
    """A text read in another direction: the origin of each character, and the removed disguise."""

    text: str
    places: list[int]
    step: str


def rewrites(text: str, spaced: str, work: Work) -> Iterator[Rewritten]:
    """Every other reading of a normalised text that may hide a word; ``spaced`` is its `line`."""
    if _may_be_spelled(text, spaced):
        work.spend(_SPELLED * len(text))
        for pieces in _spellings(_LOOSE.sub(lambda match: f"{match[1] or ''} ", text)):
            yield Rewritten(text, "spaced letters", pieces)
    if _HAS_MARK(text) and _MARKUP.search(text):
        work.spend(_MARKED_UP * len(text))
        pieces = list(_markup(text, 0))
        if len(pieces) > 1:
            yield Rewritten(text, "mark-up", pieces)
    for step, read in _CODED.items():
        if pieces := sorted(read(text)):
            work.spend(_DECODED * len(pieces))
            yield Rewritten(text, step, pieces)
    if _has_drawn(text):
        work.spend(_UNDRAWN * len(text))
        chunks = _CHUNK.finditer(text)
        drawn = [chunk.span() for chunk in chunks if _may_be_drawn(chunk[0])]
        for pieces in dict.fromkeys(tuple(_undrawn(text, drawn, with_letters=one)) for one in (False, True)):
            if pieces:
                yield Rewritten(text, "drawn letters", pieces)


def turned_around(text: str) -> Turned | None:
    """The original text read from right to left or upside down; None if that makes no sense."""
    places = list(range(len(text) + 1))
    if "\u202e" in text:
        for run in _TURNED.finditer(text):
            places[run.start(1) : run.end(1)] = reversed(range(*run.span(1)))
        return Turned("".join(text[place] for place in places[:-1]), places, "reversed letters")
    if text.isascii() or not (turned := _UPSIDE_DOWN.search(text)):
        return None
    start, end = text.rfind(" ", 0, turned.start()) + 1, f"{text} ".find(" ", turned.end())
    places[start:end] = reversed(range(start, end))
    upright = "".join(_UPRIGHT.get(letter, letter) for letter in reversed(text[start:end]))
    return Turned(text[:start] + upright + text[end:], places, "upside-down letters")


def _may_be_spelled(text: str, spaced: str) -> bool:
    return bool(_HAS_SPELLED.search(spaced)) or (not text.isascii() and bool(_SIGN_LETTER.search(text)))


def _spread(start: int, end: int, count: int) -> Iterator[int]:
    """``count`` places in the part, the last of them its last character."""
    return (start + (end - start - 1) * number // max(1, count - 1) for number in range(count))


def _spellings(text: str) -> Iterable[Sequence[Piece]]:
    """Every reading of the letters that are spelled out in a text: with and without little words, and with spaces."""
    found = [*_spelled(text)]
    little = (dict.fromkeys(_little_words(match)) for match in found)
    choices = dict.fromkeys([(False, False), *chain.from_iterable(little)])
    read = [
        tuple(_with_pairs(text, [*filter(None, (_piece(text, match, choice) for match in found))]))
        for choice in choices
    ]
    joined = [tuple((start, end, letters.replace(" ", "")) for start, end, letters in pieces) for pieces in read]
    return filter(None, dict.fromkeys([*read, *joined]))


def _little_words(match: re.Match[str]) -> Iterator[tuple[bool, bool]]:
    """Whether a run of spelled letters may begin after its first one, or end before its last one."""
    if match.re is _SPELLED_RUN and match["run"][0] in _LITTLE_WORDS:
        yield True, False
    if match.re is _SPELLED_RUN and match["run"][-1] in _LITTLE_WORDS:
        yield False, True


def _spelled(text: str) -> Iterator[re.Match[str]]:
    """The matches of both patterns, none inside of another one."""
    here = 0
    chunk, run = _SPELLED_CHUNK.search(text), _SPELLED_RUN.search(text)
    while chunk or run:
        if chunk and chunk.start() < here:
            chunk = _SPELLED_CHUNK.search(text, here)
        elif run and run.start() < here:
            run = _SPELLED_RUN.search(text, here)
        else:
            first = min((match for match in (chunk, run) if match), key=lambda match: match.start())
            yield first
            here = _with_signs(text, first)[1] if first is chunk else first.end("run")


def _piece(text: str, match: re.Match[str], is_without: tuple[bool, bool]) -> Piece | None:
    """What a match stands for, without the first or the last letter of a run if that is a little word."""
    if match.re is _SPELLED_CHUNK:
        sign = match["sign"]
        letters = match[0].replace(sign, "") if sign else _NO_LETTERS.sub("", match[0])
        return (*_with_signs(text, match), letters) if sum(map(_may_be_letter, letters)) > 1 else None
    start, end = match.span("run")
    start += 2 * (is_without[0] and text[start] in _LITTLE_WORDS)
    end -= 2 * (is_without[1] and text[end - 1] in _LITTLE_WORDS)
    return start, end, _joined(text[start:end])


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


def _has_drawn(text: str) -> bool:
    if _DRAWN_SIGNS[0].search(text):
        return True
    has_stroke = _HAS_STROKE(text) or "vv" in text or "uu" in text
    return bool(has_stroke and _DRAWN_WITH_SIGNS[0].search(text))


def _may_be_drawn(chunk: str) -> bool:
    """Whether signs may draw letters of a word; signs around a word that is in use draw nothing."""
    if not any(any_sign.search(chunk) for any_sign, _ in (_DRAWN_SIGNS, _DRAWN_WITH_SIGNS)):
        return False
    return any(map(str.isalpha, chunk)) and ("()" in chunk or not is_word(chunk.strip("\"'“”„«».,;:!?()")))


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
