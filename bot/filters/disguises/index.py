"""The words that are looked for, by each key under which a disguise of theirs is found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from limner.bot.filters.disguises import coarse, guesses, latin
from limner.bot.filters.disguises.masked import MaskedWords
from limner.bot.filters.disguises.targets import SHORTEST, Target
from limner.bot.filters.disguises.word_parts import WordParts
from limner.bot.filters.text.keywords import automaton


class DisguiseIndex:
    """The words of many keywords, indexed by every key under which a disguise is found."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._whole: defaultdict[str, list[Target]] = defaultdict(list)
        self._guesses: defaultdict[tuple[str, str], list[Target]] = defaultdict(list)
        self._latin: defaultdict[tuple[latin.Script, str], list[Target]] = defaultdict(list)
        self._starts, self._ends = WordParts(slice), WordParts(lambda size: slice(-size, None))
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
