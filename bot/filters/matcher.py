"""Matches rules against a text: which match, where, and through which disguise."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from limner.bot.filters.disguises import latin, word_games
from limner.bot.filters.disguises.coarse import Key
from limner.bot.filters.disguises.disguise import Disguises
from limner.bot.filters.disguises.east_asian import EastAsianWords
from limner.bot.filters.disguises.phrases import Phrases
from limner.bot.filters.disguises.strict import StrictWords
from limner.bot.filters.disguises.targets import Sighting, Spelling, Target, merged
from limner.bot.filters.regex.regexes import Regexes
from limner.bot.filters.rules import Rule
from limner.bot.filters.text.keywords import Found, Keyword, Keywords, keyword
from limner.bot.filters.text.normalise import Normal, normalise
from limner.bot.filters.text.rewrites import rewrites, turned_around
from limner.bot.filters.text.scan import KOREAN, UNSPACED, line
from limner.bot.filters.text.tables import LETTERS, base, is_word
from limner.bot.filters.work import Work
from limner.bot.place import Place

_EAST = re.compile(f"[{UNSPACED}{KOREAN}]")
_DRAWN = "".join(sign for sign, letters in LETTERS.items() if _EAST.match(sign) and letters.isascii() and letters)
_CHUNK = re.compile(rf"(?:[^\s{UNSPACED}{KOREAN}]++|[{_DRAWN}])+")
"""Text between spaces, for scripts with spaces, and East Asian symbols that look like Latin letters."""
_ANYWHERE = Place()
_VARIANTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_READ, _BEYOND_ASCII = 5, 3
"""Steps per character of one pass over a text, and the factor beyond ASCII."""
_PIECE, _HIT = 40, 30
"""Steps for a separately normalised piece of text, and for a match."""


@dataclass(frozen=True)
class Match:
    """A rule, the matched part ``[start, end)`` of the original text, and the disguise."""

    rule: Rule
    start: int
    end: int
    #: The disguises removed before the match; empty for a literal match.
    steps: tuple[str, ...] = ()
    #: Whether an allowed text cancels it.
    is_freed: bool = False


@dataclass(frozen=True)
class _Hit:
    """A match in the normalised text."""

    number: int
    start: int
    end: int
    steps: tuple[str, ...] = ()


class Matcher:
    """Many rules at once: the time for a text hardly depends on their number.

    A match inside a text that ``allow`` names is cancelled. The rules must be tidied.
    """

    def __init__(self, rules: Iterable[Rule], allow: Iterable[Rule] = ()) -> None:
        every = list(rules)
        self._regex_rules = [rule for rule in every if rule.is_regex]
        self._rules = [rule for rule in every if not rule.is_regex]
        self._rule_ids = [rule.id for rule in self._rules]
        self._allow = list(allow)
        self._regexes = Regexes([rule.pattern for rule in self._regex_rules])
        plain = [keyword(rule.pattern) for rule in self._rules]
        self._variants = [(number, *variant) for number, known in enumerate(plain) for variant in _variants(known)]
        allowed = [keyword(rule.pattern) for rule in self._allow]
        self._keywords = Keywords([*plain, *allowed, *(variant for _, variant, _ in self._variants)])
        phrases = [(number, known, line(known.text).split()) for number, known in enumerate(plain)]
        self._reach = max((_words_of(known) for known in plain), default=1)
        targets = merged(chain.from_iterable(_targets(*phrase) for phrase in phrases))
        self._phrases = Phrases({number: words for number, _, words in phrases}, targets)
        self._disguises = Disguises(targets)
        self._strict = StrictWords(
            [(number, known.text) for number, known in enumerate(plain) if self._rules[number].is_strict]
        )
        self._east_asian = EastAsianWords(
            [(number, known.text, known.is_open_left, known.is_open_right) for number, known in enumerate(plain)]
        )

    @property
    def every_rule(self) -> Sequence[Rule]:
        """The rules, and what is allowed."""
        return [*self._rules, *self._regex_rules, *self._allow]

    def alike(self, key: Key) -> Iterator[tuple[Target, str]]:
        """The words under a key, each with the number of its rule."""
        return ((target, self._rule_ids[target.number]) for target in self._disguises.under(key))

    @staticmethod
    def targets_of(rule: Rule) -> Sequence[Target]:
        """The words of a rule that are searched in disguise."""
        known = keyword(rule.pattern)
        return [*_targets(0, known, line(known.text).split())]

    def find(self, text: str, place: Place = _ANYWHERE, work: Work | None = None) -> Match | None:
        """The first match that counts in the place, or None; raises like `matches`."""
        return next(self.matches(text, place, work), None)

    def matches(self, text: str, place: Place = _ANYWHERE, work: Work | None = None) -> Iterator[Match]:
        """Every match of every rule, literal ones first.

        Raises TooCostly, possibly after some matches, if that takes more ``work`` than is left; without it, as much as
        the text's length allows.
        """
        for match in self.every(text, place, work):
            if not match.is_freed:
                yield match

    def every(self, text: str, place: Place = _ANYWHERE, work: Work | None = None) -> Iterator[Match]:
        """The same, with cancelled matches."""
        if not (self._rules or self._regex_rules):
            return
        work = work or Work.of([text])
        work.begin(self._rule_ids)
        yield from self._every(text, place, work)
        if (turned := turned_around(text)) is not None:
            for match in self._every(turned.text, place, work):
                places = turned.places[match.start : match.end]
                steps = (turned.step, *match.steps)
                yield Match(match.rule, min(places), max(places) + 1, steps, match.is_freed)

    def allowed(self, text: str, place: Place, work: Work) -> Spans:
        """The parts of a text in which matches are cancelled, because they are allowed in the place."""
        normal = normalise(text)
        work.spend(_PIECE * normal.pieces + _reading(normal.text))
        return self._allowed(normal, self._keywords.find(normal.text, line(normal.text), work), place, work)

    def _every(self, text: str, place: Place, work: Work) -> Iterator[Match]:
        normal = normalise(text)
        work.spend(_reading(text) + _PIECE * normal.pieces + _reading(normal.text))
        spaced = line(normal.text)
        found = list(self._keywords.find(normal.text, spaced, work))
        allowed = self._allowed(normal, found, place, work)
        seen: set[tuple[int, int, int]] = set()
        for hit in self._hits(normal.text, spaced, found, work):
            rule, span = self._rules[hit.number], normal.span(hit.start, hit.end)
            work.spend(_HIT)
            if (hit.number, *span) not in seen and rule.holds(place):
                seen.add((hit.number, *span))
                yield Match(rule, *span, hit.steps, allowed.hold(*span))
        for number, *span in self._regex_spans(text, normal, work):
            rule = self._regex_rules[number]
            if rule.holds(place):
                yield Match(rule, span[0], span[1], is_freed=allowed.hold(span[0], span[1]))

    def _allowed(self, normal: Normal, found: Iterable[Found], place: Place, work: Work) -> Spans:
        first, spans = len(self._rules), list[tuple[int, int]]()
        for one in found:
            if first <= one.number < first + len(self._allow) and self._allow[one.number - first].holds(place):
                whole = self._keywords.whole(normal.text, one)
                work.spend(_HIT + whole.end - whole.start)
                spans.append(normal.span(whole.start, whole.end))
        return Spans(spans) if spans else _NOTHING

    def _regex_spans(self, text: str, normal: Normal, work: Work) -> Iterator[tuple[int, int, int]]:
        yield from self._regexes.matches(text, work)
        if normal.text != text.casefold():
            for number, start, end in self._regexes.matches(normal.text, work):
                yield number, *normal.span(start, end)

    def _hits(self, text: str, spaced: str, found: Iterable[Found], work: Work) -> Iterator[_Hit]:
        """Literal matches first, then disguised words, then other readings of the text."""
        yield from self._written(found)
        yield from self._disguised(text, work)
        for one, step in self._strict.find(text, work):
            yield _Hit(*one, (step,))
        read = set[tuple[str, tuple[int, ...], str]]()
        for other in rewrites(text, spaced, work):
            work.spend(other.steps)
            foreign = [] if other.text.isascii() else _foreign_starts(other.text)
            for here, there in other.parts(self._reach):
                part = other.text[here:there]
                same = part, tuple(other.places[here:there]), other.step
                if same in read:
                    continue
                read.add(same)
                work.spend(_reading(part))
                written = self._keywords.find(part, line(part), work)
                is_foreign = bool(foreign) and (foreign[0] < here or foreign[-1] >= there)
                for hit in chain(self._written(written), self._disguised(part, work, is_among_foreign=is_foreign)):
                    start, end = other.places[here + hit.start], other.places[here + hit.end - 1] + 1
                    yield _Hit(hit.number, start, end, (other.step, *hit.steps))

    def _written(self, found: Iterable[Found]) -> Iterator[_Hit]:
        variants = len(self._rules) + len(self._allow)
        for one in sorted(found, key=lambda one: (one.start, -one.end)):
            if one.number < len(self._rules):
                yield _Hit(*one)
            elif one.number >= variants:
                number, _, step = self._variants[one.number - variants]
                yield _Hit(number, one.start, one.end, (step,))

    def _disguised(self, text: str, work: Work, *, is_among_foreign: bool = False) -> Iterator[_Hit]:
        for found in self._east_asian.find(text, work):
            yield _Hit(*found)
        if not self._disguises.is_in(text.split() if text.isascii() else _CHUNK.findall(text), work):
            return
        chunks = [(chunk[0], chunk.start()) for chunk in _CHUNK.finditer(text)]
        foreign = [index for index, (chunk, _) in enumerate(chunks) if _is_foreign(chunk)][:2]
        for index, (chunk, start) in enumerate(chunks):
            for sighting in self._disguises.sightings(chunk, work):
                if sighting.target.is_part:
                    yield from self._in_phrases(chunks, index, sighting, work)
                elif not (
                    sighting.target.word.isascii()
                    and (is_among_foreign or foreign not in ([], [index]))
                    and not any(character.isascii() and character.isalnum() for character in chunk)
                ):
                    for number, _ in sighting.target.uses:
                        work.spend_on(number, _HIT)
                        yield _Hit(number, start + sighting.start, start + sighting.end, sighting.steps)

    def _in_phrases(
        self, chunks: Sequence[tuple[str, int]], index: int, sighting: Sighting, work: Work
    ) -> Iterator[_Hit]:
        """The phrases of a found word whose other words stand around it."""
        spellings: dict[int, Spelling] = {}

        def spelling(place: int) -> Spelling:
            if place not in spellings:
                spellings[place] = self._disguises.spelling(chunks[place][0], work)
            return spellings[place]

        for number, position in self._phrases.around(sighting.target, index, len(chunks), spelling, work):
            yield from self._phrase(chunks, index - position, sighting, (number, position), work)

    def _phrase(
        self, chunks: Sequence[tuple[str, int]], first: int, sighting: Sighting, use: tuple[int, int], work: Work
    ) -> Iterator[_Hit]:
        number, position = use
        words, steps = self._phrases.words(number), list(sighting.steps)
        for place, word in enumerate(words):
            chunk = chunks[first + place][0]
            work.spend_on(number, _HIT)
            if place != position and chunk.strip("\"'“”„«»().,!?:;") != word:
                more = self._disguises.steps(chunk, self._phrases.target((number, place)), number, work)
                if more is None:
                    return
                steps += more
        (_, start), (last, end) = chunks[first], chunks[first + len(words) - 1]
        yield _Hit(number, start, end + len(last), tuple(dict.fromkeys(steps)))


def _words_of(known: Keyword) -> int:
    """Pieces of a text in which the keyword may stand, with signs between them; each East Asian sign may be one."""
    east = len(_EAST.findall(known.text))
    return 2 * max(len(line(known.text).split()), east)


def _foreign_starts(text: str) -> list[int]:
    return [chunk.start() for chunk in _CHUNK.finditer(text) if _is_foreign(chunk[0])]


def _reading(text: str) -> int:
    """Steps for one pass over a text."""
    return _READ * len(text) * (1 if text.isascii() else _BEYOND_ASCII)


class Spans:
    """Parts of a text, and whether another part is inside one of them."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        spans = sorted(spans)
        self._starts = [start for start, _ in spans]
        self._ends = [*accumulate((end for _, end in spans), max)]

    def hold(self, start: int, end: int) -> bool:
        """Whether one of them contains ``[start, end)``."""
        before = bisect_right(self._starts, start)
        return before > 0 and self._ends[before - 1] >= end


_NOTHING = Spans(())


def _targets(number: int, known: Keyword, words: Sequence[str]) -> Iterator[Target]:
    """The words of a keyword that consists of letters."""
    if not all(word.isalpha() for word in words) or _CHUNK.fullmatch("".join(words)) is None:
        yield from _romanised_target(number, known)
        return
    if known.text.isalnum() or line(known.text, with_symbols=True) == line(known.text):
        for position, word in enumerate(words):
            is_open_left = known.is_open_left and position == 0
            is_open_right = known.is_open_right and position == len(words) - 1
            yield Target(word, is_open_left, is_open_right, len(words) > 1, [(number, position)])


def _romanised_target(number: int, known: Keyword) -> Iterator[Target]:
    if known.text.isalpha():
        yield Target(known.text, known.is_open_left, known.is_open_right, False, [(number, 0)])


def _variants(known: Keyword) -> Iterator[tuple[Keyword, str]]:
    """Other forms of the keyword that are searched literally: without accents, in pinyin, with swapped first sounds."""
    if not known.text.isascii():
        bare = "".join(base(character) if character not in "йё" else character for character in known.text)
        bare = bare.replace("ё", "е")
        yield from ((Keyword(pinyin, False, False), "another spelling") for pinyin in latin.spaced(known.text))
        spellings = {known.text.translate(_VARIANTS), bare}
        yield from ((known._replace(text=text), "another spelling") for text in spellings if not is_word(text))
    if spoonerism := word_games.spoonerism(known.text):
        yield known._replace(text=spoonerism), "word game"


def _is_foreign(chunk: str) -> bool:
    """Whether the chunk is a word of a non-Latin script, in which look-alikes are ordinary letters."""
    return len(chunk) > 1 and chunk.isalpha() and not any(map(str.isascii, chunk))
