"""What a prompt costs in the filter: ours, a loop over regexes, public libraries, one automaton without borders."""

from __future__ import annotations

import random
import re
import time
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from glin_profanity import Filter
from pyobscenity import Dataset, PhraseBuilder, ProfanityFilter

from limner.bot.filters.floor import floor
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rules import Rule
from limner.bot.filters.text.keywords import automaton
from limner.bot.filters.work import TooCostly, Work
from tests.benchmarks import disguises
from tests.benchmarks.figures import ROUNDS, show, spread

PROMPTS = 400
SECONDS = 3.0
"""After which the rest of the prompts is left out."""
SIZES = (400, 10_000)
SYLLABLES = [first + vowel + last for first in "bdfgklmnprstvz" for vowel in "aeiou" for last in ("", "n", "r", "s")]
SCENES = [
    "a lighthouse on a cliff above the sea, oil painting, golden hour, highly detailed",
    "portrait of an old sailor, 85mm, f/1.4, (masterpiece:1.2), soft light --ar 3:2",
    "eine alte Windmühle zwischen Tulpen, Gegenlicht, als Linolschnitt",
    "снежный барс на скале, тёплые осенние краски, акварель",
    "一只可爱的小猫在屋顶上睡觉，柔和的晨光，水彩画",
    "a w1tch with a p0tion in a N I G H T  C L U B, *cozy*, #autumn",
]


def main() -> None:
    """Print the table: microseconds a prompt, all in one run."""
    rows: list[tuple[str, ...]] = []
    for size in SIZES:
        words, prompts = filler_words(size), _prompts()
        made = {name: _timed(make, words) for name, make in CHECKS.items()}
        for name, (check, build) in made.items():
            costs = [_cost(check, prompts) for _ in range(ROUNDS)]
            rows.append((f"{size} rules: {name}", spread([1e6 * cost for cost in costs], "{:.0f}"), f"{build:.2f}"))
        rows.append(_worst_row(size, words))
    floor()  # reads the list of real words, too
    rows.append(
        (
            "the floor, in addition to the rules",
            spread([1e6 * _cost(_floor, _prompts()) for _ in range(ROUNDS)], "{:.0f}"),
            "",
        )
    )
    note = f"Median (lowest to highest) of {ROUNDS} rounds of {PROMPTS} different prompts in four languages; CPU time."
    show("The filter", ("", "microseconds a prompt", "seconds to build"), rows, note)
    disguises.main()


def filler_words(count: int) -> list[str]:
    """So many words of three syllables, the same in each run."""
    chance = random.Random(1)
    return sorted({"".join(chance.choices(SYLLABLES, k=3)) for _ in range(2 * count)})[:count]


def _prompts() -> list[str]:
    chance = random.Random(2)
    return [f"{chance.choice(SCENES)}, {' '.join(chance.choices(SYLLABLES, k=2))}" for _ in range(PROMPTS)]


HARD = (
    *("abcdefghijklmnop ", "ab", "baeiou ", "абвгдеж ", "4@b8e3i1!l|o0s5$t7 ", "/\\|_-^()[]{}<>vu ", "ab*_. "),
    *(
        "a\u0301\u0316\u0488\u0915\u094d ",
        "猫犬ネコねこ가나 *",
        "a*_~|`<!->[]( ",
        "%41&#97;:a ",
        "\u202eabɐqɔ ",
        "ﷺ㍿ﬃ ",
    ),
)
"""Alphabets, each of which is read in a way of its own; random texts of them are the worst that were found."""
LONG = 1500


def ordinary_texts() -> list[str]:
    """Texts of ordinary prompts, as long as the hard ones."""
    chance, prompts = random.Random(3), _prompts()
    return [", ".join(chance.sample(prompts, k=30))[:LONG] for _ in range(20)]


def _worst_row(size: int, words: Sequence[str]) -> tuple[str, ...]:
    """The worst of many hard texts, beside ordinary text of the same length, for wildcards made of the same words."""
    chance, matcher = random.Random(3), Matcher([Rule(word, f"*{word}*") for word in words])
    ordinary = ordinary_texts()
    hard = ["".join(chance.choices(letters, k=LONG)) for letters in HARD for _ in range(3)]
    hard += ["".join(chance.choices([word[:-1] for word in words], k=LONG // 5))[:LONG] for _ in range(3)]
    usual = sum(min(_seconds(matcher, text) for _ in range(3)) for text in ordinary) / len(ordinary)
    worst = max(_seconds(matcher, text) for text in hard)
    told = f"{1e6 * worst:.0f}, {worst / usual:.1f} times ordinary text of that length"
    return f"{size} wildcards: Limner, worst input found ({LONG} characters)", told, ""


def _seconds(matcher: Matcher, text: str) -> float:
    """CPU seconds of a check, finished or given up."""
    started = time.process_time()
    with suppress(TooCostly):
        for _ in matcher.matches(text):
            pass
    return time.process_time() - started


Check = Callable[[str], bool]


def _ours(words: Sequence[str]) -> Check:
    matcher = Matcher([Rule(word, word) for word in words])
    return lambda text: matcher.find(text) is not None


def _floor(text: str) -> bool:
    return floor().find({"idea": text}, "negative prompt", Work.of([text])).subject is not None


def _regex_loop(words: Sequence[str]) -> Check:
    patterns = [re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE) for word in words]
    return lambda text: any(pattern.search(unicodedata.normalize("NFKC", text)) for pattern in patterns)


def _bare_automaton(words: Sequence[str]) -> Check:
    made = automaton({word: word for word in words})
    return lambda text: any(True for _ in made.iter(unicodedata.normalize("NFKC", text).casefold()))


def _glin_profanity(words: Sequence[str]) -> Check:
    return Filter({"custom_words": [*words], "detect_leetspeak": True}).is_profane


def _pyobscenity(words: Sequence[str]) -> Check:
    dataset = Dataset()
    for word in words:
        dataset.add_phrase(partial(_pattern, word))
    return ProfanityFilter.custom(dataset).has_match


def _pattern(word: str, phrase: PhraseBuilder) -> PhraseBuilder:
    return phrase.add_pattern(f"|{word}|")


CHECKS = {
    "Limner": _ours,
    "a loop over regexes": _regex_loop,
    "glin-profanity": _glin_profanity,
    "pyobscenity": _pyobscenity,
    "a bare automaton (sees no disguise)": _bare_automaton,
}


def _timed(make: Callable[[Sequence[str]], Check], words: Sequence[str]) -> tuple[Check, float]:
    started = time.process_time()
    return make(words), time.process_time() - started


def _cost(check: Check, prompts: Sequence[str]) -> float:
    started, checked = time.process_time(), 0
    while checked < len(prompts) and time.process_time() - started < SECONDS:
        check(prompts[checked])
        checked += 1
    return (time.process_time() - started) / checked


if __name__ == "__main__":
    main()
