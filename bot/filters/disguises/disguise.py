"""Finds disguised words: look-alikes, digits, repeated, masked or misspelt letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import attrgetter

from limner.bot.filters.disguises import coarse, guesses, latin, word_games
from limner.bot.filters.disguises.index import DisguiseIndex
from limner.bot.filters.disguises.masked import fits, masked_letters
from limner.bot.filters.disguises.pieces import core_span, is_plain, word_spans, written_in
from limner.bot.filters.disguises.targets import SHORTEST, Letters, Sighting, Spelling, Target
from limner.bot.filters.disguises.word_parts import WordParts
from limner.bot.filters.text.tables import LETTERS, base, is_word
from limner.bot.filters.work import Work

_REMEMBERED, _REMEMBERED_LETTERS = 1 << 14, 64
"""Pieces of text whose result is cached, and the length of the longest of them."""
_PIECE, _AGAIN, _READING, _CHARACTER = 10, 10, 30, 4
"""Steps for a piece of text, for one that the check has read before, for each reading of one that is not a real word,
and for each of its characters."""
_KEY, _GUESS, _CANDIDATE, _SPELLING = 10, 17, 22, 60
"""Steps for a key of a reading, for each guess at what a misspelt word means, for a word that may be meant, and for
looking whether letters spell it."""
_ENDING = 2
"""Most letters of an ending: two real words that are joined may still be a misspelt word with one."""
_GAMES = 60
"""Steps for reading a word as one of a word game."""
_BEYOND_ASCII = 2
"""The factor of steps for characters beyond ASCII."""
_RUN = re.compile(r"(.)\1*")
_DRAWN_AS = {"rn": "m", "nn": "m", "vv": "w", "uu": "w", "cl": "d", "ii": "u"}
"""Letters that draw another one together."""
_DRAWN = re.compile("|".join(_DRAWN_AS))


class Disguises(DisguiseIndex):
    """Finds the words of many keywords in pieces of text, however they are disguised."""

    def __init__(self, targets: Iterable[Target]) -> None:
        super().__init__(targets)
        self._seen: dict[str, tuple[tuple[Sighting, ...], float]] = {}

    def is_in(self, chunks: Iterable[str], work: Work) -> bool:
        """Whether a disguised word is in one of the pieces of normalised text without white space."""
        seen, read, cost = self._seen, work.read, 0.0
        for chunk in chunks:
            if (known := seen.get(chunk)) is None:
                if self.sightings(chunk, work):
                    return True
                continue
            if chunk in read:
                cost += _AGAIN
            else:
                read.add(chunk)
                cost += known[1]
            if known[0]:
                work.spend(cost)
                return True
        work.spend(cost)
        return False

    def sightings(self, chunk: str, work: Work) -> tuple[Sighting, ...]:
        """The disguised words in a piece of normalised text without white space; a check pays for a piece once."""
        known = self._seen.get(chunk)
        if known is not None:
            work.spend(_AGAIN if chunk in work.read else known[1])
            work.read.add(chunk)
            return known[0]
        before = work.left
        work.spend(_PIECE + len(chunk))
        found = () if is_plain(chunk) else tuple(self._look(chunk, work))
        if len(chunk) <= _REMEMBERED_LETTERS:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[chunk] = found, before - work.left
            work.read.add(chunk)
        return found

    def spelling(self, chunk: str, work: Work) -> Spelling:
        """A quick test for the words that a piece may be within a phrase; `steps` decides."""
        work.spend(_cost(_SPELLING, chunk) * 4)
        written = written_in(chunk)
        sighted = chain.from_iterable(sighting.target.keys for sighting in self.sightings(chunk, work))
        return Spelling(frozenset(chain(_keys(written), sighted)))

    def steps(self, chunk: str, target: Target, number: int, work: Work) -> tuple[str, ...] | None:
        """How the chunk spells a word of a phrase whose rest is there; None if it does not.

        Within a phrase a word may be spelled like another real word.
        """
        found = self.sightings(chunk, work)
        work.spend_on(number, len(found) + _cost(_SPELLING, chunk) * 4)
        for sighting in found:
            if sighting.target is target:
                return sighting.steps
        written = written_in(chunk)
        return () if written == target.word else self._beside(target, written)

    def _beside(self, target: Target, written: str) -> tuple[str, ...] | None:
        if sighting := Letters(written).spell(target):
            return sighting.steps
        if len(written) > guesses.LONGEST:
            return None
        sounds = {sound for spelling in guesses.romanised(target.word) for sound in guesses.sounds(spelling)}
        if not written.isalpha() or not sounds.isdisjoint(guesses.sounds(written)):
            return ("sound",) if written.isalpha() else None
        plain = guesses.plain(written)
        same = {step for step, key in guesses.keys(plain) if (step, key) in target.keys}
        return next(((step,) for step in sorted(same) if _is_guess(step, plain, target)), None)

    def _look(self, chunk: str, work: Work) -> Iterator[Sighting]:
        work.spend(_cost(_READING, chunk))
        found: dict[Target, Sighting] = {}
        read: set[tuple[int, ...]] = set()
        for start, end in word_spans(chunk):
            work.spend(_cost(_READING, chunk[start:end]))
            places = tuple([place for place in range(start, end) if LETTERS[chunk[place]]])
            letters = "".join([chunk[place] for place in places])
            if (
                len(letters) < SHORTEST
                or (places in read and len(places) < end - start)
                or (letters.isalpha() and is_word(letters))
                or letters.isdecimal()
            ):
                continue
            read.add(places)
            for target, first, last, steps in self._read(Letters(letters), work):
                if len(places) < end - start and last - first > 1:
                    inside = chunk[places[first] : places[last - 1] + 1]
                    steps = (*steps, "signs between letters") if len(inside) > last - first else steps
                if steps and target not in found:
                    found[target] = Sighting(target, places[first], places[last - 1] + 1, steps)
            if not found and letters.isalpha() and len(places) == end - start:
                for sighting in chain(
                    self._guessed(letters, work), self._reversed(letters), self._in_word_games(letters, work)
                ):
                    found.setdefault(sighting.target, sighting._replace(start=start, end=end))
            if not found and _DRAWN.search(letters):
                redrawn = Letters(_DRAWN.sub(lambda pair: _DRAWN_AS[pair[0]], letters))
                for target, _, _, steps in self._read(redrawn, work):
                    found.setdefault(target, Sighting(target, start, end, ("drawn letters", *steps)))
        if not found:
            for sighting in chain(self._unmasked(chunk, work), self._transliterated(chunk, work)):
                found.setdefault(sighting.target, sighting)
        yield from found.values()

    def _read(self, letters: Letters, work: Work) -> Iterator[Sighting]:
        for translated in coarse.readings(letters.text):
            key = coarse.single(translated)
            work.spend(_KEY + len(key))
            for target in self._whole.get(key, ()):
                work.spend_on(target.number, _cost(_SPELLING, letters.text))
                if sighting := letters.spell(target):
                    yield sighting
            yield from self._opened(letters, translated, work)

    def _opened(self, letters: Letters, translated: str, work: Work) -> Iterator[Sighting]:
        """The words that may be part of a longer one, each where its key is in that of the letters."""
        if self._open is None:
            return
        key = coarse.single(translated)
        runs: list[int] = []
        spelled: set[Target] = set()
        hits: Iterator[tuple[int, tuple[int, list[Target]]]] = self._open.iter(f" {key} ")
        for last, (size, targets) in hits:
            runs = runs or [*(run.start() for run in _RUN.finditer(translated)), len(translated)]
            first, last = max(last - size, 0), min(last, len(key))
            starts, end = range(runs[first], runs[first + 1]), runs[last]
            for target in targets:
                work.spend_on(target.number, _SPELLING + _CHARACTER * (end - starts[0]))
                if target not in spelled and (
                    sighting := letters.spell(target, starts if target.is_open_left else starts[:1], end)
                ):
                    spelled.add(target)
                    yield sighting

    def _reversed(self, letters: str) -> Iterator[Sighting]:
        if len(letters) > guesses.SHORTEST:
            for target in self._whole.get(coarse.key(letters[::-1]), ()):
                if target.word == letters[::-1] and not target.is_part:
                    yield Sighting(target, 0, 0, ("reversed letters",))

    def _in_word_games(self, letters: str, work: Work) -> Iterator[Sighting]:
        work.spend(_GAMES)
        for word in word_games.meant(letters):
            work.spend(_GUESS)
            for target in self._whole.get(coarse.key(word), ()):
                work.spend_on(target.number, _CANDIDATE)
                if target.word == word:
                    yield Sighting(target, 0, 0, ("word game",))

    def _guessed(self, letters: str, work: Work) -> Iterator[Sighting]:
        if not guesses.SHORTEST <= len(letters) <= guesses.LONGEST or is_word(letters):
            return
        work.spend(_cost(_GUESS, letters) * 5)
        word, accents = guesses.plain(letters), frozenset(one for one in letters if base(one) != one)
        yield from (sighting for sighting in self._misspelt(word, work) if sighting.target.may_have(accents))

    def _misspelt(self, word: str, work: Work) -> Iterator[Sighting]:
        yield from self._under(guesses.keys(word), word, work)
        if len(word) >= guesses.LONG - 1:
            work.spend(_KEY * len(word))
            near = [("letter left out", word), *(("letter added", one) for one in guesses.without_one(word))]
            for step, key in near:
                for target in self._guesses.get((step, key), ()):
                    work.spend_on(target.number, _CANDIDATE)
                    yield Sighting(target, 0, 0, (step,))
        if self._open is None:
            return
        is_compound = guesses.is_compound(word)
        shortest = len(word) - _ENDING if is_compound else 0
        yield from self._guessed_parts(word, shortest, self._starts, attrgetter("is_open_right"), work)
        yield from self._guessed_parts(word, shortest, self._ends, attrgetter("is_open_left"), work)
        if is_compound:
            return
        if guesses.may_be_without_vowels(word):
            for size in range(guesses.SHORTEST, len(word)):
                for part, is_open in ((word[:size], "is_open_right"), (word[-size:], "is_open_left")):
                    yield from self._under([("vowels left out", part)], part, work, attrgetter(is_open))
        corrections = guesses.letters_swapped(word)
        if any(self._open_consonants.iter(guesses.consonants(word))):
            corrections = chain(corrections, guesses.vowels_changed(word))
        for step, meant in corrections:
            work.spend(_GUESS)
            if is_word(meant):
                opened = self._opened(Letters(meant), coarse.likeliest(meant), work)
                yield from (Sighting(one.target, 0, 0, (step,)) for one in opened if one.target.plain in meant)

    def _under(
        self,
        keys: Iterable[tuple[str, str]],
        word: str,
        work: Work,
        is_meant: Callable[[Target], bool] = lambda target: True,
    ) -> Iterator[Sighting]:
        """The words under one of the keys that the word may stand for."""
        for step, key in keys:
            work.spend(_GUESS)
            for target in self._guesses.get((step, key), ()):
                work.spend_on(target.number, _CANDIDATE)
                if is_meant(target) and _is_guess(step, word, target):
                    yield Sighting(target, 0, 0, (step,))

    def _guessed_parts(
        self, word: str, shortest: int, parts: WordParts, is_open: Callable[[Target], bool], work: Work
    ) -> Iterator[Sighting]:
        for part, step, key in parts.keys(word, shortest):
            work.spend(_GUESS)
            for target in self._guesses.get((step, key), ()):
                work.spend_on(target.number, _CANDIDATE)
                if is_open(target) and _is_guess(step, part, target):
                    yield Sighting(target, 0, 0, (step,))

    def _transliterated(self, chunk: str, work: Work) -> Iterator[Sighting]:
        if not self._scripts:
            return
        start, end = core_span(chunk)
        if guesses.SHORTEST <= end - start <= latin.LONGEST and not is_word(chunk[start:end]):
            work.spend(_cost(_GUESS, chunk) * 4)
            for key in latin.keys(chunk[start:end], self._scripts):
                work.spend(_SPELLING)
                for target in self._latin.get(key, ()):
                    work.spend_on(target.number, _CANDIDATE)
                    yield Sighting(target, start, end, ("Latin letters",))

    def _unmasked(self, chunk: str, work: Work) -> Iterator[Sighting]:
        if chunk.isalnum():
            return
        start, end = core_span(chunk)
        letters = masked_letters(chunk[start:end])
        if letters is None:
            return
        written, is_joined = letters
        for target in self._masked.find(written, work):
            work.spend_on(target.number, _CANDIDATE)
            if fits(written, target.plain) and not (is_joined and target.is_open):
                yield Sighting(target, start, end, ("masked letters",))


def _keys(written: str) -> Iterator[coarse.Key]:
    """Each key that a piece of text shares with words that it may spell."""
    yield from ((coarse.SPELLING, coarse.single(reading)) for reading in coarse.readings(written))
    if 0 < len(written) <= guesses.LONGEST:
        yield from guesses.keys(guesses.plain(written))
        yield from (("sound", sound) for sound in guesses.sounds(written))


def _cost(steps: float, text: str) -> float:
    """Steps with those for the characters of a text."""
    return (steps + _CHARACTER * len(text)) * (1 if text.isascii() else _BEYOND_ASCII)


def _is_guess(step: str, written: str, target: Target) -> bool:
    return step == "sound" or (written != target.plain and guesses.is_guess(step, written, target.plain))
