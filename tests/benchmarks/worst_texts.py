"""The slowest text that a search finds for the filter, beside ordinary text of the same length, for several rule sets.

Each text is a mutation of one of the slowest so far, or new, so that no run repeats another one: time decides.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from limner.bot.filters.floor import floor
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rulebook import packs
from limner.bot.filters.rules import Rule
from limner.bot.filters.work import TooCostly, Work
from tests.benchmarks.disguises import WORDS
from tests.benchmarks.figures import show
from tests.benchmarks.filters import HARD, LONG, filler_words, ordinary_texts

SEED, SECONDS = 20261201, 40.0
"""Seconds for each set of rules."""
KEPT = 20
"""The slowest texts that are changed further."""
ALPHABETS = (
    *HARD,
    *(
        "āáǎàaeoiung ",
        "ōūaiueoksnrt'",
        "zhshchyakhts46'",
        "αβγδεζηθ ",
        "ابتثجح ",
        "אבגדהו ",
        "กขคง่้ ",
        "🇦🇧🅰🅱ab",
        "0123456789-., ",
    ),
)
TOKENS = [
    "aaa)",
    "aba",
    "(a",
    "a-",
    "a_",
    "āa",
    "&#97;",
    "%61",
    ":a:",
    "[a](b)",
    "<b>",
    "**a**",
    "||",
    "a.b.",
    "ɐ",
    "1a",
    "4@",
    "vv",
    "rn",
    "/\\",
    "|_|",
    "()",
    "qu",
    "ay",
    "ob",
    "lewa",
    "bob",
]
"""Pieces that other readings of a text begin with."""

Check = Callable[[str], object]


class Search:
    """A search for the slowest text, by processor time."""

    def __init__(self, check: Check, words: Sequence[str], chance: random.Random) -> None:
        self._check, self._words, self._chance = check, words, chance
        self._slowest: list[tuple[float, str]] = []
        self.tried = 0

    def run(self, seconds: float) -> float:
        """The processor seconds of the slowest text that is found."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            is_new = len(self._slowest) < KEPT or self._chance.random() < 0.15
            text = self._new() if is_new else self._changed(self._chance.choice(self._slowest)[1])
            self.tried += 1
            cost = self.cost(text)
            if len(self._slowest) < KEPT or cost > self._slowest[-1][0]:
                self._slowest.append((min(cost, self.cost(text), self.cost(text)), text))
                self._slowest = sorted(self._slowest, reverse=True)[:KEPT]
        return self._slowest[0][0]

    def cost(self, text: str) -> float:
        """Processor seconds of a check, finished or given up."""
        began = time.thread_time()
        with suppress(TooCostly):
            self._check(text)
        return time.thread_time() - began

    def _new(self) -> str:
        pieces = [self._piece() for _ in range(self._chance.randint(1, 6))]
        return "".join(self._chance.choices(pieces, k=LONG))[:LONG]

    def _piece(self) -> str:
        chance = self._chance
        kind = chance.random()
        if kind < 0.4:
            return "".join(chance.choices(chance.choice(ALPHABETS), k=chance.randint(1, 40)))
        if kind < 0.7:
            return chance.choice(self._words)[: chance.randint(1, 9)] * chance.randint(1, 6) + chance.choice(" _-)a4")
        return chance.choice(TOKENS) * chance.randint(1, 40)

    def _changed(self, text: str) -> str:
        chance = self._chance
        start, length = chance.randrange(LONG), chance.randint(1, 300)
        match chance.randrange(4):
            case 0:
                piece = self._piece()
                text = text[:start] + piece + text[start + len(piece) :]
            case 1:
                text = text[:start] + text[-length:] + text[start:]
            case 2:
                text = text.replace(chance.choice(text), chance.choice(chance.choice(ALPHABETS)))
            case _:
                text = text[:start] + text[start : start + 1 + length // 10] * 20 + text[start:]
        return text[:LONG].ljust(LONG, "a")


def main() -> None:
    """Print the table."""
    chance, rows = random.Random(SEED), list[tuple[str, ...]]()
    for name, (words, check) in _rule_sets().items():
        search = Search(check, words, chance)
        usual = sum(min(search.cost(text) for _ in range(3)) for text in ordinary_texts()) / len(ordinary_texts())
        worst = search.run(SECONDS)
        rows.append((name, f"{1e3 * usual:.1f}", f"{1e3 * worst:.1f}", f"{worst / usual:.1f}", str(search.tried)))
    show(
        f"The slowest text of {LONG} characters that a search of {SECONDS:.0f} s finds",
        ("rules", "ordinary text, milliseconds", "the slowest", "times", "texts tried"),
        rows,
        "Processor time; a text that takes more steps than it may is refused after them.",
    )


def _rule_sets() -> dict[str, tuple[Sequence[str], Check]]:
    """Words of the rules, and the check of a text, for each set."""
    words, others = filler_words(400), [word for script in WORDS if script != "latin" for word in WORDS[script].split()]
    alike = [f"{'a' * one}{'b' * other}" for one in range(1, 16) for other in range(1, 21)]
    terms = sorted({term for pack in packs.every().values() for term in pack.terms})
    return {
        "400 words": (words, _matching([Rule(word, word) for word in words])),
        "400 strict words": (words, _matching([Rule(word, word, is_strict=True) for word in words])),
        "400 wildcards": (words, _matching([Rule(word, f"*{word}*") for word in words])),
        "300 wildcards that are spelled alike": (alike, _matching([Rule(word, f"*{word}*") for word in alike])),
        "words in Russian and East Asian scripts": (others, _matching([Rule(word, word) for word in others])),
        "all packs": (terms, _matching([Rule(term, term) for term in terms])),
        "the floor": (terms, lambda text: floor().find({"idea": text}, "negative prompt", Work.of([text]))),
    }


def _matching(rules: list[Rule]) -> Check:
    matcher = Matcher(rules)
    return lambda text: list(matcher.matches(text))


if __name__ == "__main__":
    main()
