"""Prefixes and suffixes of words that may be part of longer ones, in other spellings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from limner.bot.filters.disguises import guesses

_HEARD = 2
"""Sounds at the beginning or end of a word that must be equal before the rest is compared."""


class WordParts:
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
