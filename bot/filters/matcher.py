"""What rules do to a text: which of them match, where, and through which disguise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from limner.bot.filters.disguise import Disguises, Sighting, Target
from limner.bot.filters.east_asian import EastAsianWords
from limner.bot.filters.keywords import Found, Keyword, Keywords, keyword
from limner.bot.filters.normalise import Normal, normalise
from limner.bot.filters.regexes import Regexes
from limner.bot.filters.rewrites import rewrites, turned_around
from limner.bot.filters.rules import Rule
from limner.bot.filters.scan import KOREAN, UNSPACED, line
from limner.bot.filters.tables import LETTERS, base, is_word
from limner.bot.place import Place

_EAST = re.compile(f"[{UNSPACED}{KOREAN}]")
_DRAWN = "".join(sign for sign, letters in LETTERS.items() if _EAST.match(sign) and letters.isascii() and letters)
_CHUNK = re.compile(rf"(?:[^\s{UNSPACED}{KOREAN}]+|[{_DRAWN}])+")
"""What stands between spaces in scripts that have them, and the East Asian signs that look like Latin letters."""
_ANYWHERE = Place()
_VARIANTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


@dataclass(frozen=True)
class Match:
    """A rule, the part ``[start, end)`` of the original text in which it was found, and how that was disguised."""

    rule: Rule
    start: int
    end: int
    #: What was undone before the rule matched; empty for a text that is written as the rule is.
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Hit:
    """A match in the normalised text."""

    number: int
    start: int
    end: int
    steps: tuple[str, ...] = ()


class Matcher:
    """Many rules at once: the time for a text hardly depends on their number.

    A match inside a text that ``allow`` names does not count. The rules must be tidy.
    """

    def __init__(self, rules: Iterable[Rule], allow: Iterable[Rule] = ()) -> None:
        every = list(rules)
        self._regex_rules = [rule for rule in every if rule.is_regex]
        self._rules = [rule for rule in every if not rule.is_regex]
        self._allow = list(allow)
        self._regexes = Regexes([rule.pattern for rule in self._regex_rules])
        plain = [keyword(rule.pattern) for rule in self._rules]
        self._variants = [(number, variant) for number, known in enumerate(plain) for variant in _variants(known)]
        allowed = [keyword(rule.pattern) for rule in self._allow]
        self._keywords = Keywords([*plain, *allowed, *(variant for _, variant in self._variants)])
        phrases = [(number, known, line(known.text).split()) for number, known in enumerate(plain)]
        self._phrases = {number: words for number, _, words in phrases if len(words) > 1}
        self._disguises = Disguises(chain.from_iterable(_targets(*phrase) for phrase in phrases))
        self._east_asian = EastAsianWords(
            [(number, known.text, known.is_open_left, known.is_open_right) for number, known in enumerate(plain)]
        )

    def find(self, text: str, place: Place = _ANYWHERE) -> Match | None:
        """The first match that counts in the place, or None."""
        return next(self.matches(text, place), None)

    def matches(self, text: str, place: Place = _ANYWHERE) -> Iterator[Match]:
        """Every rule wherever it matches, those first that need no guess."""
        if self._rules or self._regex_rules:
            yield from self._matches(text, place)
        if (turned := turned_around(text)) is not None:
            for match in self._matches(turned.text, place):
                places = turned.places[match.start : match.end]
                yield Match(match.rule, min(places), max(places) + 1, (turned.step, *match.steps))

    def _matches(self, text: str, place: Place) -> Iterator[Match]:
        normal = normalise(text)
        spaced = line(normal.text)
        found = list(self._keywords.find(normal.text, spaced))
        allowed = self._allowed(normal, found, place)
        seen: set[tuple[int, int, int]] = set()
        for hit in self._hits(normal.text, spaced, found):
            rule, span = self._rules[hit.number], normal.span(hit.start, hit.end)
            if (hit.number, *span) not in seen and rule.holds(place) and not _is_inside(span, allowed):
                seen.add((hit.number, *span))
                yield Match(rule, *span, hit.steps)
        for number, *span in self._regex_spans(text, normal):
            rule = self._regex_rules[number]
            if rule.holds(place) and not _is_inside((span[0], span[1]), allowed):
                yield Match(rule, span[0], span[1])

    def _allowed(self, normal: Normal, found: Iterable[Found], place: Place) -> list[tuple[int, int]]:
        first = len(self._rules)
        inside = [one for one in found if first <= one.number < first + len(self._allow)]
        return [
            normal.span(whole.start, whole.end)
            for whole in (self._keywords.whole(normal.text, one) for one in inside)
            if self._allow[whole.number - first].holds(place)
        ]

    def _regex_spans(self, text: str, normal: Normal) -> Iterator[tuple[int, int, int]]:
        yield from self._regexes.matches(text)
        if normal.text != text.casefold():
            for number, start, end in self._regexes.matches(normal.text):
                yield number, *normal.span(start, end)

    def _hits(self, text: str, spaced: str, found: Iterable[Found]) -> Iterator[_Hit]:
        """Exact finds first, then disguised words, then the text read in other ways."""
        yield from self._written(found)
        yield from self._disguised(text)
        for other in rewrites(text, spaced):
            written = self._keywords.find(other.text, line(other.text))
            for hit in chain(self._written(written), self._disguised(other.text)):
                start, end = other.places[hit.start], other.places[hit.end - 1] + 1
                yield _Hit(hit.number, start, end, (other.step, *hit.steps))

    def _written(self, found: Iterable[Found]) -> Iterator[_Hit]:
        variants = len(self._rules) + len(self._allow)
        for one in sorted(found, key=lambda one: (one.start, -one.end)):
            if one.number < len(self._rules):
                yield _Hit(*one)
            elif one.number >= variants:
                yield _Hit(self._variants[one.number - variants][0], one.start, one.end, ("another spelling",))

    def _disguised(self, text: str) -> Iterator[_Hit]:
        for found in self._east_asian.find(text):
            yield _Hit(*found)
        if not any(map(self._disguises.sightings, text.split() if text.isascii() else _CHUNK.findall(text))):
            return
        chunks = [(chunk[0], chunk.start()) for chunk in _CHUNK.finditer(text)]
        for index, (chunk, start) in enumerate(chunks):
            for sighting in self._disguises.sightings(chunk):
                if sighting.target.number in self._phrases:
                    yield from self._phrase(chunks, index, sighting)
                elif not _is_in_another_script(chunks, index, sighting.target.word):
                    yield _Hit(sighting.target.number, start + sighting.start, start + sighting.end, sighting.steps)

    def _phrase(self, chunks: Sequence[tuple[str, int]], index: int, sighting: Sighting) -> Iterator[_Hit]:
        """The phrase of which a word was seen, if its other words stand around it."""
        number, position = sighting.target.number, sighting.target.position
        words, first = self._phrases[number], index - position
        if first < 0 or first + len(words) > len(chunks):
            return
        steps = list(sighting.steps)
        for place, word in enumerate(words):
            chunk = chunks[first + place][0]
            if place != position and chunk.strip("\"'“”„«»().,!?:;") != word:
                more = self._disguises.steps(chunk, number, place)
                if more is None:
                    return
                steps += more
        (_, start), (last, end) = chunks[first], chunks[first + len(words) - 1]
        yield _Hit(number, start, end + len(last), tuple(dict.fromkeys(steps)))


def _targets(number: int, known: Keyword, words: Sequence[str]) -> Iterator[Target]:
    """The words of a keyword, if it is made of letters only."""
    if not all(word.isalpha() for word in words) or _CHUNK.fullmatch("".join(words)) is None:
        yield from _romanised_target(number, known)
        return
    if known.text.isalnum() or line(known.text, with_symbols=True) == line(known.text):
        for position, word in enumerate(words):
            is_open_left = known.is_open_left and position == 0
            is_open_right = known.is_open_right and position == len(words) - 1
            yield Target(number, position, word, is_open_left, is_open_right, len(words) > 1)


def _romanised_target(number: int, known: Keyword) -> Iterator[Target]:
    if known.text.isalpha():
        yield Target(number, 0, known.text, known.is_open_left, known.is_open_right)


def _variants(known: Keyword) -> Iterator[Keyword]:
    """The keyword as it is written where accents are a trouble."""
    if not known.text.isascii():
        bare = "".join(base(character) if character not in "йё" else character for character in known.text)
        bare = bare.replace("ё", "е")
        yield from (known._replace(text=text) for text in {known.text.translate(_VARIANTS), bare} if not is_word(text))


def _is_inside(span: tuple[int, int], allowed: Sequence[tuple[int, int]]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in allowed)


def _is_in_another_script(chunks: Sequence[tuple[str, int]], index: int, word: str) -> bool:
    """Whether the chunk is all in one foreign script, as others around it are: then it is a word of that language."""
    chunk = chunks[index][0]
    if any(character.isascii() and character.isalnum() for character in chunk) or not word.isascii():
        return False
    return any(
        len(other) > 1 and other.isalpha() and not any(map(str.isascii, other))
        for place, (other, _) in enumerate(chunks)
        if place != index
    )
