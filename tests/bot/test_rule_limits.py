"""Rules that together would take too long to check are refused when they are made; ordinary ones never are."""

import random
from collections.abc import Sequence

import pytest

from limner.bot.app import App
from limner.bot.errors import BadRule
from limner.bot.filters import costs
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.regex import cost
from limner.bot.filters.regex.regexes import program
from limner.bot.filters.rulebook import packs
from limner.bot.filters.rulebook.entries import Entry
from limner.bot.filters.rulebook.files import Item
from limner.bot.filters.rules import MAX_PATTERN, Rule, RuleAction, RuleKind
from limner.bot.filters.scopes import Scope
from tests.bot.test_filter_cost import OTHER, SERVER, runs


async def refusal(app: App, entries: Sequence[Entry]) -> tuple[int, str]:
    """How many rules are added one by one before one is refused, and the sentence."""
    for number, entry in enumerate(entries):
        try:
            await app.filters.put(SERVER, entry, 7)
        except BadRule as error:
            return number, str(error)
    return len(entries), ""


async def test_wildcards_that_are_all_alike_are_refused_when_they_are_made(app: App) -> None:
    alike = [Entry(pattern=pattern) for pattern in runs(costs.MOST_ALIKE + 10)[1:]]
    await app.filters.put_all(SERVER, alike[:-15], 7)
    added, sentence = await refusal(app, alike[-15:])
    assert len(alike) - 15 + added == costs.MOST_ALIKE
    assert sentence.startswith("It is spelled so much like 100 other rules, such as rule 1, rule 2, rule 3, that")
    assert await app.filters.add(SERVER, "badger", 7)
    [first, *_] = await app.filters.all(SERVER)
    await app.filters.edit(SERVER, first.id, 7, action=RuleAction.LOG)
    await app.filters.edit(SERVER, first.id, 7, is_on=False)
    assert await app.filters.add(SERVER, "*abbbbbbbbbbbbbbbbbbbbbbb*", 7)
    with pytest.raises(BadRule, match="spelled so much like"):
        await app.filters.edit(SERVER, first.id, 7, is_on=True)


async def test_regexes_that_together_take_too_long_are_refused_when_they_are_made(app: App) -> None:
    evil = [Entry(pattern=rf"[ab]*a[ab]{{12}}{chr(99 + number)}", kind=RuleKind.REGEX) for number in range(20)]
    heavy = Entry(pattern="[ab]{1,100}a[ab]{100}c", kind=RuleKind.REGEX)
    added, sentence = await refusal(app, [heavy, *evil])
    assert 10 < added < 20
    assert "and may take 120; this one takes 3.8, and rule 1 takes most" in sentence
    assert await app.filters.add(SERVER, r"\bkill.{0,30}you", 7, kind=RuleKind.REGEX)
    reviewed = await app.filters.reviewed(SERVER, [Item("line 7", evil[-1]), Item("line 8", Entry(pattern="gun"))])
    assert [bool(item.problem) for item in reviewed] == [True, False]
    with pytest.raises(BadRule, match=r"^\[ab\]\*a.*: With it, the regexes here would take"):
        await app.filters.put_all(SERVER, [Entry(pattern="gun"), evil[-1]], 7)


async def test_rules_of_one_server_have_so_many_characters_together(app: App) -> None:
    number = costs.MOST_CHARACTERS // MAX_PATTERN
    await app.filters.put_all(SERVER, [Entry(pattern=f"{n:05} gun".ljust(MAX_PATTERN, "n")) for n in range(number)], 7)
    added, sentence = await refusal(app, [Entry(pattern="a gun")])
    assert added == 0
    assert "characters together" in sentence
    assert await app.filters.add(OTHER, "a gun", 7)


async def test_a_text_has_so_many_rules_for_different_places(app: App) -> None:
    here = [Entry(pattern="Gun", scope=Scope(only_channels={str(channel)})) for channel in range(costs.MOST_SAME + 1)]
    await app.filters.put_all(SERVER, here[:-3], 7)
    added, sentence = await refusal(app, here[-3:])
    assert added == 2
    assert "at most 100 rules for different places" in sentence


def test_ordinary_rules_are_never_too_many() -> None:
    ledger = costs.Ledger(Matcher([]))
    for name, pack in packs.every().items():
        assert ledger.complaint([Rule(name, term) for term in pack.terms]) is None
    chance = random.Random(4)
    for number in range(3000):
        syllables = chance.choices(["ba", "di", "kel", "mon", "ster", "vu", "lon", "gri", "os", "ta"], k=3)
        assert ledger.complaint([Rule(str(number), "".join(syllables) + chance.choice(["", "*", " rex"]))]) is None
    for number in range(200):
        word = chance.choice(["dead", "naked", "bloody"])
        assert ledger.complaint([Rule(str(number), rf"\b{word}\s+(?:body|{number}s?)\b", is_regex=True)]) is None


@pytest.mark.parametrize(
    ("regex", "is_light"),
    [
        (r"\b(?:dead|murdered)\s+bod(?:y|ies)\b", True),
        (r"kill.{0,30}you", True),
        (r"f+[^a-z]*u+[^a-z]*c+", True),
        (r"\p{L}{3,30}ing", True),
        ("x" * 250, True),
        (r"[ab]*a[ab]{12}c", False),
        (r"[ab]{1,100}a[ab]{100}c", False),
        (r"\w{1,40}e\w{1,40}e\w{1,40}z", False),
    ],
)
def test_a_regex_is_weighed_by_the_states_that_it_can_be_in(regex: str, is_light: bool) -> None:
    assert (program(regex).steps == cost.LIGHT) == is_light
