"""Finds disguised words: look-alikes, digits, repeated, masked or misspelt letters."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, product
from operator import attrgetter

from limner.bot.filters.disguises import coarse, guesses, latin, word_games
from limner.bot.filters.disguises.masked import MaskedWords
from limner.bot.filters.disguises.targets import SHORTEST, Letters, Sighting, Spelling, Target
from limner.bot.filters.text.keywords import automaton
from limner.bot.filters.text.tables import LETTERS, base, is_word
from limner.bot.filters.work import Work

_HEARD = 2
"""Sounds at the beginning or end of a word that must be equal before the rest is compared."""
_REMEMBERED, _REMEMBERED_LETTERS = 1 << 14, 64
"""Pieces of text whose result is cached, and the length of the longest of them."""
_PIECE, _AGAIN, _READING, _CHARACTER = 10, 10, 30, 4
"""Steps for a piece of text, for one that the check has read before, for each reading of one that is not a real word,
and for each of its characters."""
_KEY, _GUESS, _CANDIDATE, _SPELLING = 10, 15, 20, 50
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
_MASK = re.compile(r"[^\W\d_]+(?:[^\w\s,:;'/\\|]{1,2}|_{1,2})(?:[^\W\d_]+(?:[^\w\s,:;'/\\|]{1,2}|_{1,2}))*[^\W\d_]+")
_PARTS = re.compile(r"[^\W_]+")
_SURELY_JOINED = 4
"""Letters of real words that are joined and never masked; shorter ones are often parts of a masked word."""
_JOINTS = frozenset("-._+&~=\u2010\u2011\u2012\u2013\u2014\u00b7")


class _Parts:
    """Prefixes or suffixes of many open-ended words in other spellings."""

    def __init__(self, part: Callable[[int], slice[int | None]]) -> None:
        self._part = part
        self._sizes: set[int] = set()
        self._sounds: set[str] = set()
        self._letters: set[str] = set()
        self._with_any_vowels: set[str] = set()
        self._with_u_for_v: set[str] = set()

    def add(self, word: str) -> None:
        """Add one of the words to find."""
        self._sizes.add(len(word))
        self._sounds.update(sound[self._part(_HEARD)] for sound in guesses.sounds(word))
        seen = word[self._part(guesses.SHORTEST)]
        self._letters.add("".join(sorted(seen)))
        self._with_any_vowels.add(guesses.without_vowels(seen))
        self._with_u_for_v.add(guesses.u_for_v(seen))

    def keys(self, word: str, shortest: int) -> Iterator[tuple[str, str, str]]:
        """Each part of at least ``shortest`` letters with the kind of disguise and key of words it may stand for.

        Parts whose first (or last) letters fit no word are left out.
        """
        seen = word[self._part(guesses.SHORTEST)]
        may_sound = any(sound[self._part(_HEARD)] in self._sounds for sound in guesses.sounds(word))
        wider = word[self._part(guesses.SHORTEST + 1)]
        without_one = (wider[:place] + wider[place + 1 :] for place in range(len(wider)))
        may_be_swapped = any("".join(sorted(letters)) in self._letters for letters in without_one)
        vowels = guesses.without_vowels(word)
        may_have_vowels = vowels[self._part(guesses.SHORTEST)] in self._with_any_vowels
        may_have_u = guesses.u_for_v(seen) in self._with_u_for_v
        if not (may_sound or may_be_swapped or may_have_vowels or may_have_u):
            return
        for size in self._sizes:
            if max(shortest, guesses.SHORTEST + 1) <= size < len(word):
                cut = self._part(size)
                part = word[cut]
                if may_have_vowels:
                    yield part, "vowel changed", vowels[cut]
                if may_have_u:
                    yield part, "u and v", guesses.u_for_v(part)
                if may_be_swapped:
                    yield part, "letters swapped", "".join(sorted(part))
                if may_sound:
                    yield from ((part, "sound", sound) for sound in guesses.sounds(part))


class Disguises:
    """The words of many keywords, indexed by every key under which a disguise is found."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._whole: defaultdict[str, list[Target]] = defaultdict(list)
        self._guesses: defaultdict[tuple[str, str], list[Target]] = defaultdict(list)
        self._latin: defaultdict[tuple[latin.Script, str], list[Target]] = defaultdict(list)
        self._starts, self._ends = _Parts(slice), _Parts(lambda size: slice(-size, None))
        open_ended: defaultdict[str, list[Target]] = defaultdict(list)
        guessed: list[Target] = []
        for target in targets:
            if len(target.word) >= SHORTEST and len(set(target.word)) > 1:
                key = coarse.key(target.word)
                self._whole[key].append(target)
                if target.is_open:
                    open_ended[f"{' ' * (not target.is_open_left)}{key}{' ' * (not target.is_open_right)}"].append(
                        target
                    )
            if len(target.plain) >= guesses.SHORTEST and target.plain.isalpha():
                guessed.append(target)
            self._guess(target)
        self._scripts = tuple(sorted({script for script, _ in self._latin}))
        self._open = automaton({key: (len(key), meant) for key, meant in open_ended.items()})
        words = (target.plain for target in chain.from_iterable(open_ended.values()))
        self._open_consonants = automaton(dict.fromkeys(map(guesses.consonants, words), True))
        self._masked = MaskedWords(guessed)
        self._seen: dict[str, tuple[tuple[Sighting, ...], float]] = {}

    def _guess(self, target: Target) -> None:
        word = target.plain
        if len(word) >= guesses.SHORTEST and word.isalpha():
            for step, key in guesses.keys(word):
                self._guesses[step, key].append(target)
            for sound in guesses.heard(target.word):
                self._guesses["sound", sound].append(target)
            if len(word) >= guesses.LONG:
                self._guesses["letter added", word].append(target)
                for shorter in guesses.without_one(word):
                    self._guesses["letter left out", shorter].append(target)
            self._open_up(target, word)
        if not word.isascii():
            script = latin.script_of(target.word)
            for spelling in guesses.romanised(target.word):
                if script and len(spelling) >= guesses.SHORTEST:
                    self._latin[script, latin.key(spelling, script)].append(target)
                if len(spelling) > guesses.SHORTEST:
                    for sound in guesses.sounds(spelling):
                        self._guesses["sound", sound].append(target)
                    self._open_up(target, spelling)

    def _open_up(self, target: Target, word: str) -> None:
        if target.is_open_right:
            self._starts.add(word)
        if target.is_open_left:
            self._ends.add(word)

    def under(self, key: coarse.Key) -> Sequence[Target]:
        """The words that have a disguised spelling's key."""
        kind, text = key
        return self._whole.get(text, ()) if kind == coarse.SPELLING else self._guesses.get(key, ())

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
        found = () if _is_plain(chunk) else tuple(self._look(chunk, work))
        if len(chunk) <= _REMEMBERED_LETTERS:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[chunk] = found, before - work.left
            work.read.add(chunk)
        return found

    def spelling(self, chunk: str, work: Work) -> Spelling:
        """A quick test for the words that a piece may be within a phrase; `steps` decides."""
        work.spend(_cost(_SPELLING, chunk) * 4)
        written = _written(chunk)
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
        written = _written(chunk)
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
        for start, end in _readings(chunk):
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
        self, word: str, shortest: int, parts: _Parts, is_open: Callable[[Target], bool], work: Work
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
        start, end = _core(chunk)
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
        start, end = _core(chunk)
        match = _MASK.fullmatch(chunk[start:end].replace("...", "…"))
        if match is None or _is_joined(match[0], _SURELY_JOINED):
            return
        written, is_joined = guesses.plain(match[0]), _is_joined(match[0], SHORTEST)
        for target in self._masked.find(written, work):
            work.spend_on(target.number, _CANDIDATE)
            if _fits(written, target.plain) and not (is_joined and target.is_open):
                yield Sighting(target, start, end, ("masked letters",))


def _keys(written: str) -> Iterator[coarse.Key]:
    """Each key that a piece of text shares with words that it may spell."""
    yield from ((coarse.SPELLING, coarse.single(reading)) for reading in coarse.readings(written))
    if 0 < len(written) <= guesses.LONGEST:
        yield from guesses.keys(guesses.plain(written))
        yield from (("sound", sound) for sound in guesses.sounds(written))


def _written(chunk: str) -> str:
    start, end = _core(chunk)
    return chunk[start:end]


def _cost(steps: float, text: str) -> float:
    """Steps with those for the characters of a text."""
    return (steps + _CHARACTER * len(text)) * (1 if text.isascii() else _BEYOND_ASCII)


def _is_plain(chunk: str) -> bool:
    """Whether the chunk is real words, which are compared literally."""
    if chunk.isalpha():
        return is_word(chunk) or len(chunk) < SHORTEST
    start, end = _core(chunk)
    core = chunk[start:end]
    if core.isalpha() and is_word(core) and not _signs_may_be_letters(chunk, start, end):
        return True
    return not any(map(str.isalpha, core)) and all(not LETTERS[character] or character.isascii() for character in chunk)


def _signs_may_be_letters(chunk: str, start: int, end: int) -> bool:
    return any(LETTERS[character] for character in (chunk[:start] + chunk[end:]).rstrip("!"))


def _core(chunk: str) -> tuple[int, int]:
    """The chunk without symbols at its ends that are not letters on their own."""
    start, end = 0, len(chunk)
    while start < end and _is_sign(chunk[start]):
        start += 1
    while end > start and _is_sign(chunk[end - 1]):
        end -= 1
    return start, end


def _is_sign(character: str) -> bool:
    return not character.isalnum() and (unicodedata.category(character) != "So" or not LETTERS[character])


def _readings(chunk: str) -> list[tuple[int, int]]:
    """Where a word may begin and end in the chunk: symbols at its ends may be letters or not, and so may its parts."""
    if chunk.isalnum():
        return [(0, len(chunk))]
    start, end = _core(chunk)
    if start == end:
        return []
    first, last = start, end
    while first > 0 and LETTERS[chunk[first - 1]]:
        first -= 1
    while last < len(chunk) and LETTERS[chunk[last]]:
        last += 1
    unbracketed = first + len(chunk[first:start]) - len(chunk[first:start].lstrip("([{<"))
    unshouted = end + len(chunk[end:last].rstrip("!"))
    spans = dict.fromkeys(product((start, first, unbracketed), (end, last, unshouted)))
    inside = [part.span() for part in re.finditer(r"[^\s,.:;'’\"/\\_\-*~]+", chunk)]
    if len(inside) > 1:
        spans |= dict.fromkeys(inside)
    return list(spans)


def _is_guess(step: str, written: str, target: Target) -> bool:
    return step == "sound" or (written != target.plain and guesses.is_guess(step, written, target.plain))


def _is_joined(core: str, shortest: int) -> bool:
    """Whether joining symbols stand between real words of so many letters."""
    signs = {character for character in core if not character.isalpha()}
    return signs <= _JOINTS and all(len(part) >= shortest and is_word(part) for part in _PARTS.findall(core))


def _fits(written: str, meant: str) -> bool:
    """Whether every visible letter is the word's, and at least half of them are visible."""
    if len(written) < len(meant):
        return False
    hidden = sum(not character.isalpha() for character in written[: len(meant)])
    return (
        0 < hidden <= len(meant) // 2
        and all(one == other or not one.isalpha() for one, other in zip(written, meant, strict=False))
        and written[len(meant) - 1].isalpha()
    )
