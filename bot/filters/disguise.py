"""Finds words that are written with other characters: look-alikes, digits, repeated, masked or misspelt letters."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, product
from operator import attrgetter
from typing import NamedTuple

from limner.bot.filters import guesses
from limner.bot.filters.keywords import automaton
from limner.bot.filters.tables import LETTERS, base, is_word

_SHORTEST = 3
"""Letters in the shortest word whose disguises are looked for."""
_HEARD = 2
"""Sounds at the start or the end of a word that must be the same before the rest is compared."""
_READINGS = 48
"""How many ways to read a word with characters that may be several letters are tried."""
_DOUBLE = re.compile(r"(.)\1+")
_EDGE = re.compile(r"^[^\w]+|[^\w]+$|^_+|_+$")
_MASK = re.compile(r"[^\W\d_]+(?:[^\w\s,:;'/\\|]{1,2}|_{1,2})(?:[^\W\d_]+(?:[^\w\s,:;'/\\|]{1,2}|_{1,2}))*[^\W\d_]+")
_PARTS = re.compile(r"[^\W_]+")
_JOINTS = frozenset("-._+&~=\u2010\u2011\u2012\u2013\u2014\u00b7")
_USUAL = frozenset("áàâäãåæçéèêëíìîïñóòôöõøúùûüýÿßāăąćčďđēęěğīıķļłńňőœřśşšťţūůűźżžșțбвгдйё")
"""Letters with accents that some language writes every day."""


class _Keys(dict[int, str]):
    """The likeliest letter of each character, and one letter for those that are drawn alike."""

    def __missing__(self, code: int) -> str:
        bare = base(chr(code))
        letter = LETTERS[bare][:1]
        self[code] = letter = "i" if letter == "l" else letter
        return letter


_KEYS = _Keys()


class _Choices(dict[str, tuple[tuple[int, str], ...]]):
    """The letters that a character may be, if they are several: each as an entry of a table for translation."""

    def __missing__(self, character: str) -> tuple[tuple[int, str], ...]:
        letters = LETTERS[character]
        is_unsure = len(letters) > 1 and set(letters) != {"i", "l"}
        choices = tuple((ord(character), "i" if letter == "l" else letter) for letter in letters * is_unsure)
        self[character] = choices
        return choices


_CHOICES = _Choices()


@dataclass(eq=False)
class Target:
    """A word that is looked for, and of which keyword it is which word.

    More letters may stand before and after it where it is open; a part is one word of a phrase.
    """

    number: int
    position: int
    word: str
    is_open_left: bool
    is_open_right: bool
    is_part: bool = False
    masks: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def is_open(self) -> bool:
        """Whether it may be part of a longer word."""
        return self.is_open_left or self.is_open_right

    def mask(self, character: str) -> int:
        """At which letters of the word the character may stand, one bit each."""
        if not self.masks:
            for place, letter in enumerate(self.word):
                for accepted in {letter, base(letter), LETTERS[letter][:1]}:
                    self.masks[accepted] = self.masks.get(accepted, 0) | 1 << place
        found = self.masks.get(character, 0) | self.masks.get(base(character), 0)
        for letter in LETTERS[character]:
            found |= self.masks.get(letter, 0)
        return found


class Sighting(NamedTuple):
    """A word that was seen in a chunk of text, from and to which of its characters, and how it was disguised."""

    target: Target
    start: int
    end: int
    steps: tuple[str, ...]


class _Parts:
    """The starts, or the ends, of a word that may be one of many open-ended words in another spelling."""

    def __init__(self, part: Callable[[int], slice[int | None]]) -> None:
        self._part = part
        self._sizes: set[int] = set()
        self._sounds: set[str] = set()

    def add(self, word: str) -> None:
        """One of the words that are looked for."""
        self._sizes.add(len(word))
        self._sounds.add(guesses.sound(word)[self._part(_HEARD)])

    def keys(self, word: str) -> Iterator[tuple[str, str, str]]:
        """Each part, and what it shares with a word that it may stand for: the kind of disguise, and the key."""
        vowels, u_and_v = guesses.without_vowels(word), guesses.u_for_v(word)
        may_sound = guesses.sound(word)[self._part(_HEARD)] in self._sounds
        for size in self._sizes:
            if guesses.SHORTEST < size < len(word):
                cut = self._part(size)
                part = word[cut]
                yield part, "vowel changed", vowels[cut]
                yield part, "u and v", u_and_v[cut]
                yield part, "letters swapped", "".join(sorted(part))
                if may_sound:
                    yield part, "sound", guesses.sound(part)


class Disguises:
    """The words of many keywords, under every key by which a disguise of them is found."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._whole: defaultdict[str, list[Target]] = defaultdict(list)
        self._guesses: defaultdict[tuple[str, str], list[Target]] = defaultdict(list)
        self._masked: defaultdict[tuple[str, str], list[Target]] = defaultdict(list)
        self._starts, self._ends = _Parts(slice), _Parts(lambda size: slice(-size, None))
        self._parts: defaultdict[int, list[Target]] = defaultdict(list)
        open_ended: defaultdict[str, list[Target]] = defaultdict(list)
        for target in targets:
            if len(target.word) >= _SHORTEST and len(set(target.word)) > 1:
                key = _key(target.word)
                self._whole[key].append(target)
                if target.is_open:
                    open_ended[f"{' ' * (not target.is_open_left)}{key}{' ' * (not target.is_open_right)}"].append(
                        target
                    )
            self._parts[target.number].append(target)
            self._guess(target)
        self._open = automaton(open_ended)
        words = (guesses.plain(target.word) for target in chain.from_iterable(open_ended.values()))
        self._open_consonants = automaton(dict.fromkeys(map(guesses.consonants, words), True))
        self._seen: dict[str, tuple[Sighting, ...]] = {}

    def _guess(self, target: Target) -> None:
        word = guesses.plain(target.word)
        if len(word) >= guesses.SHORTEST and word.isalpha():
            self._masked[(word[0], "") if target.is_open else (word[0], f"{len(word)}{word[-1]}")].append(target)
            for step, key in guesses.keys(word):
                self._guesses[step, key].append(target)
            self._open_up(target, word)
        if not word.isascii():
            for latin in guesses.romanised(target.word):
                if len(latin) > guesses.SHORTEST:
                    self._guesses["sound", guesses.sound(latin)].append(target)
                    self._open_up(target, latin)

    def _open_up(self, target: Target, word: str) -> None:
        if target.is_open_right:
            self._starts.add(word)
        if target.is_open_left:
            self._ends.add(word)

    def sightings(self, chunk: str) -> tuple[Sighting, ...]:
        """What hides in a piece of normalised text without white space."""
        seen = self._seen.get(chunk)
        if seen is None:
            if len(self._seen) > 50_000:
                self._seen.clear()
            seen = self._seen[chunk] = () if _is_plain(chunk) else tuple(self._look(chunk))
        return seen

    def steps(self, chunk: str, number: int, position: int) -> tuple[str, ...] | None:
        """How the chunk spells that word of a phrase, the rest of which is there; None if it does not.

        Beside the rest of its phrase a word may be spelled like another real word.
        """
        for sighting in self.sightings(chunk):
            if (sighting.target.number, sighting.target.position) == (number, position):
                return sighting.steps
        start, end = _core(chunk)
        written = chunk[start:end]
        for target in self._parts.get(number, ()):
            if target.position == position:
                return self._beside(target, written)
        return None

    def _beside(self, target: Target, written: str) -> tuple[str, ...] | None:
        if sighting := _verified(target, written):
            return sighting.steps
        sounds = map(guesses.sound, guesses.romanised(target.word))
        if not written.isalpha() or guesses.sound(written) in sounds:
            return ("sound",) if written.isalpha() else None
        plain = guesses.plain(written)
        same = {
            step for step, key in guesses.keys(plain) if (step, key) in set(guesses.keys(guesses.plain(target.word)))
        }
        return next(((step,) for step in sorted(same) if _is_guess(step, plain, target)), None)

    def _look(self, chunk: str) -> Iterator[Sighting]:
        found: dict[Target, Sighting] = {}
        read: set[tuple[int, ...]] = set()
        for start, end in _readings(chunk):
            places = tuple([place for place in range(start, end) if LETTERS[chunk[place]]])
            letters = "".join([chunk[place] for place in places])
            if (
                len(letters) < _SHORTEST
                or (places in read and len(places) < end - start)
                or (letters.isalpha() and is_word(letters))
                or letters.isdecimal()
            ):
                continue
            read.add(places)
            for target, first, last, steps in self._read(letters):
                if len(places) < end - start and last - first > 1:
                    inside = chunk[places[first] : places[last - 1] + 1]
                    steps = (*steps, "signs between letters") if len(inside) > last - first else steps
                if steps and target not in found:
                    found[target] = Sighting(target, places[first], places[last - 1] + 1, steps)
            if not found and letters.isalpha() and len(places) == end - start:
                for sighting in chain(self._guessed(letters), self._reversed(letters)):
                    found.setdefault(sighting.target, sighting._replace(start=start, end=end))
        if not found:
            for sighting in self._unmasked(chunk):
                found.setdefault(sighting.target, sighting)
        yield from found.values()

    def _read(self, letters: str) -> Iterator[Sighting]:
        for key in _keys(letters):
            for target in self._whole.get(key, ()):
                if sighting := _verified(target, letters):
                    yield sighting
            for target in self._open_in(key):
                if sighting := _verified(target, letters):
                    yield sighting

    def _open_in(self, key: str) -> Iterator[Target]:
        if self._open is not None:
            found = (targets for _, targets in self._open.iter(f" {key} "))
            yield from dict.fromkeys(chain.from_iterable(found))

    def _reversed(self, letters: str) -> Iterator[Sighting]:
        if len(letters) > guesses.SHORTEST:
            for target in self._whole.get(_key(letters[::-1]), ()):
                if target.word == letters[::-1] and not target.is_part:
                    yield Sighting(target, 0, 0, ("reversed letters",))

    def _guessed(self, letters: str) -> Iterator[Sighting]:
        word = guesses.plain(letters)
        if not guesses.SHORTEST <= len(word) <= guesses.LONGEST or is_word(word):
            return
        for step, key in guesses.keys(word):
            for target in self._guesses.get((step, key), ()):
                if _is_guess(step, word, target):
                    yield Sighting(target, 0, 0, (step,))
        if self._open is None or guesses.is_compound(word):
            return
        yield from self._guessed_parts(word, self._starts, attrgetter("is_open_right"))
        yield from self._guessed_parts(word, self._ends, attrgetter("is_open_left"))
        yield from self._guessed_start(word)
        corrections = guesses.letters_swapped(word)
        if any(self._open_consonants.iter(guesses.consonants(word))):
            corrections = chain(corrections, guesses.vowels_changed(word))
        for step, meant in corrections:
            for target in self._open_in(_key(meant)) if is_word(meant) else ():
                if guesses.plain(target.word) in meant and _verified(target, meant):
                    yield Sighting(target, 0, 0, (step,))

    def _guessed_start(self, word: str) -> Iterator[Sighting]:
        step = "vowels left out"
        for size in range(guesses.SHORTEST, len(word)):
            for target in self._guesses.get((step, word[:size]), ()):
                if target.is_open_right and _is_guess(step, word, target):
                    yield Sighting(target, 0, 0, (step,))

    def _guessed_parts(self, word: str, parts: _Parts, is_open: Callable[[Target], bool]) -> Iterator[Sighting]:
        for part, step, key in parts.keys(word):
            for target in self._guesses.get((step, key), ()):
                if is_open(target) and _is_guess(step, part, target):
                    yield Sighting(target, 0, 0, (step,))

    def _unmasked(self, chunk: str) -> Iterator[Sighting]:
        if chunk.isalnum():
            return
        start, end = _core(chunk)
        match = _MASK.fullmatch(chunk, start, end)
        if match is None or _is_joined(match[0]):
            return
        written = guesses.plain(match[0])
        for end_of_word in (f"{len(written)}{written[-1]}", ""):
            for target in self._masked.get((written[0], end_of_word), ()):
                if _fits(written, guesses.plain(target.word)):
                    yield Sighting(target, start, end, ("masked letters",))


def _is_plain(chunk: str) -> bool:
    """Whether the chunk is real words, which are compared as they are."""
    if chunk.isalpha():
        return is_word(chunk) or len(chunk) < _SHORTEST
    start, end = _core(chunk)
    core = chunk[start:end]
    if core.isalpha() and is_word(core) and not _signs_may_be_letters(chunk, start, end):
        return True
    return not any(map(str.isalpha, core)) and all(not LETTERS[character] or character.isascii() for character in chunk)


def _signs_may_be_letters(chunk: str, start: int, end: int) -> bool:
    return any(LETTERS[character] for character in (chunk[:start] + chunk[end:]).rstrip("!"))


def _core(chunk: str) -> tuple[int, int]:
    """The chunk without the signs at its ends that make no letters on their own."""
    start, end = 0, len(chunk)
    while start < end and _is_sign(chunk[start]):
        start += 1
    while end > start and _is_sign(chunk[end - 1]):
        end -= 1
    return start, end


def _is_sign(character: str) -> bool:
    return not character.isalnum() and (unicodedata.category(character) != "So" or not LETTERS[character])


def _readings(chunk: str) -> list[tuple[int, int]]:
    """Where a word may begin and end in the chunk: signs at its ends may be letters or not, and so may its parts."""
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


def _key(letters: str) -> str:
    return _DOUBLE.sub(r"\1", letters.translate(_KEYS))


def _keys(letters: str) -> Iterator[str]:
    """The key of each way to read the letters."""
    yield _key(letters)
    unsure = [choices for character in dict.fromkeys(letters) if (choices := _CHOICES[character])]
    for chosen in islice(product(*unsure), 1, _READINGS) if unsure else ():
        yield _DOUBLE.sub(r"\1", letters.translate(dict(chosen)).translate(_KEYS))


def _verified(target: Target, letters: str) -> Sighting | None:
    """Where the letters spell the target, if they do so plausibly."""
    masks = [target.mask(character) for character in letters]
    starts = range(len(letters) - 1) if target.is_open_left else (0,)
    for start in starts:
        end = _spelled(masks, start, len(target.word), target.is_open_right)
        if end:
            steps = _steps(target, letters[start:end], letters)
            return None if steps is None else Sighting(target, start, end, steps)
    return None


def _spelled(masks: Sequence[int], start: int, size: int, may_go_on: bool) -> int:
    """Where a word of so many letters ends that begins at ``start``, each of its letters once or repeated; or 0."""
    states, done, end = 1, 1 << size, 0
    for place in range(start, len(masks)):
        states = (states & masks[place]) << 1 | (states & masks[place] << 1)
        if not states:
            break
        if states & done:
            end = place + 1
    return end if may_go_on or end == len(masks) else 0


def _steps(target: Target, letters: str, around: str) -> tuple[str, ...] | None:
    """How the letters differ from the word; None if they differ too much, or in a way that names do."""
    word = target.word
    steps: list[str] = []
    shown = letters if len(letters) == len(word) else _DOUBLE.sub(r"\1", letters)
    signs = sum(map(_is_digit_or_sign, shown))
    if not target.is_part and (
        (signs > 1 and len(word) == _SHORTEST) or (signs * 2 > len(word) and _is_mostly_signs(around))
    ):
        return None
    if signs:
        steps.append("digits or signs for letters")
    accents = [character for character in around if base(character) != character and character not in word]
    if accents:
        if len(accents) == 1 and accents[0] in _USUAL and len(word) < 5 and not target.is_part:
            return None
        steps.append("accents")
    known = set(word) | {base(letter) for letter in word}
    if any(base(character) not in known and (character.isalpha() or not character.isascii()) for character in letters):
        steps.append("look-alike letters")
    extra = len(letters) - len(word)
    if extra:
        if extra == 1 and not steps and not target.is_part and (target.is_open or len(word) < 4):
            return None
        steps.append("repeated letters")
    return tuple(steps) or ("look-alike letters",) * (letters != word)


def _is_mostly_signs(letters: str) -> bool:
    return sum(map(_is_digit_or_sign, letters)) * 2 > len(letters)


def _is_digit_or_sign(character: str) -> bool:
    return character.isdecimal() or (character.isascii() and not character.isalpha())


def _is_guess(step: str, written: str, target: Target) -> bool:
    meant = guesses.plain(target.word)
    return step == "sound" or (written != meant and guesses.is_guess(step, written, meant))


def _is_joined(core: str) -> bool:
    """Whether signs that join words stand between real words."""
    signs = {character for character in core if not character.isalpha()}
    return signs <= _JOINTS and all(len(part) >= _SHORTEST and is_word(part) for part in _PARTS.findall(core))


def _fits(written: str, meant: str) -> bool:
    """Whether every letter that is shown is the word's, and at least half of them are shown."""
    if len(written) < len(meant):
        return False
    hidden = sum(not character.isalpha() for character in written[: len(meant)])
    return (
        0 < hidden <= len(meant) // 2
        and all(one == other or not one.isalpha() for one, other in zip(written, meant, strict=False))
        and written[len(meant) - 1].isalpha()
    )
