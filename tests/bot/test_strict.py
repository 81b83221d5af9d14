"""Strict rules: words that are glued to others or split into several, for those who ask for it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import update

from limner.bot.app import App
from limner.bot.errors import BadRule
from limner.bot.filters.disguises.strict import splits
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rulebook import files
from limner.bot.filters.rulebook.entries import PACK, Entry
from limner.bot.filters.rules import Rule, RuleKind
from limner.bot.filters.text.tables import is_word
from limner.bot.storage import audit_log
from limner.bot.storage.tables.filter_tables import FilterChange

HERE, MODERATOR = 101, 7
MATCHER = Matcher(
    [Rule(term, term, is_strict=True) for term in ("badger", "hot dog", "ass", "therapist", "coño", "Dachs*")],
    [Rule("a", "badgerfest")],
)


def found(text: str) -> tuple[str, str, tuple[str, ...]] | None:
    """The rule, the part of the text, and the steps."""
    match = MATCHER.find(text)
    return match and (match.rule.pattern, text[match.start : match.end], match.steps)


@pytest.mark.parametrize(
    ("text", "term", "part", "step"),
    [
        ("a badgerlover at night", "badger", "badger", "glued to others"),
        ("a xxBadgerxx at night", "badger", "Badger", "glued to others"),
        ("a MegaB4dgerFan at night", "badger", "B4dger", "glued to others"),
        ("bad ger", "badger", "bad ger", "split into words"),
        ("a BAD-GER.", "badger", "BAD-GER", "split into words"),
        ("b ad\nger", "badger", "b ad\nger", "split into words"),
        ("a b4d ger", "badger", "b4d ger", "split into words"),
        ("hotdoglover", "hot dog", "hotdog", "glued to others"),
        ("ho tdog", "hot dog", "ho tdog", "split into words"),
        ("a xassx", "ass", "ass", "glued to others"),
        ("the rapist", "therapist", "the rapist", "split into words"),
        ("superdachse", "Dachs*", "dachs", "glued to others"),
    ],
)
def test_glued_and_split_words_are_found(text: str, term: str, part: str, step: str) -> None:
    seen = found(text)
    assert seen
    assert seen[:2] == (term, part)
    assert step in seen[2]
    assert Matcher([Rule("1", term)]).find(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a class assembly of grass in Massachusetts",
        "Assassinengilde",
        "S U S S E X and a 55",
        "con o sin leche",
        "a bad, long, german river",
        "bad river ger",
        "a badgerfest",
        "a bad day for germs",
        "ten b a d letters",
    ],
)
def test_other_words_are_left_alone(text: str) -> None:
    assert found(text) is None


def test_words_of_a_dictionary_are_glued_and_split_in_every_way_and_found() -> None:
    chance = random.Random(11)
    words = [word for word in ("marzipan", "wardrobe", "lantern", "penguin", "harvest", "volcano") if is_word(word)]
    matcher = Matcher([Rule(word, word, is_strict=True) for word in words])
    others = ["river", "castle", "lover", "mega", "xx", "the", "qq"]
    for word in words:
        for cut in range(1, len(word)):
            assert matcher.find(f"a {word[:cut]} {word[cut:]} by day"), (word, cut)
        for one in others:
            for glued in (one + word, word + one, one + word + chance.choice(others)):
                assert is_word(glued) or matcher.find(f"a {glued} by day"), glued


def test_the_pairs_of_words_that_it_finds_too_are_known() -> None:
    assert "the rapist" in splits("Therapist")
    assert splits("xq") == []


def test_regexes_and_allowed_texts_cannot_be_strict() -> None:
    for entry in (Entry(pattern="cow", is_allow=True), Entry(pattern="c+ow", kind=RuleKind.REGEX)):
        assert entry.checked()
        with pytest.raises(BadRule, match="can be strict"):
            Entry(pattern=entry.pattern, kind=entry.kind, is_allow=entry.is_allow, is_strict=True).checked()


async def test_a_strict_rule_is_kept_sent_out_and_brought_in(app: App) -> None:
    await app.filters.put_all(
        HERE, [Entry(pattern="badger", is_strict=True), Entry(pattern="gore-en", kind=PACK, is_strict=True)], MODERATOR
    )
    rows = await app.filters.all(HERE)
    text = files.write([Entry(pattern=row.pattern, kind=row.kind, is_strict=row.is_strict) for row in rows])
    items = await app.filters.read(202, text, "rules.json")
    await app.filters.put_all(202, [item.entry for item in items if item.entry], MODERATOR)
    assert [(row.pattern, row.is_strict) for row in await app.filters.all(202)] == [("badger", True), ("gore-en", True)]
    matcher = await app.filters.matcher(202)
    assert matcher.find("badgerlover")
    assert matcher.find("a goresplatter")
    [bad] = await app.filters.read(202, '[{"pattern": "cow", "strict": "yes"}]', "rules.json")
    assert bad.problem == "Its strict must be true or false."


async def test_a_change_that_is_older_than_strict_rules_can_be_undone(app: App) -> None:
    rule = await app.filters.add(HERE, "badger", MODERATOR)
    await app.filters.edit(HERE, rule.id, MODERATOR, reason="No badgers.")
    [edited, added] = (await audit_log.page(app.database, HERE)).changes

    def old(state: dict[str, Any]) -> dict[str, Any]:
        return {"rules": [{name: row[name] for name in row if name != "is_strict"} for row in state.get("rules", [])]}

    async with app.database.begin() as session:
        for change in (edited, added):
            values = {"before": old(change.before), "after": old(change.after)}
            await session.execute(update(FilterChange).where(FilterChange.id == change.id).values(**values))
    await app.filters.undo(HERE, edited.id, MODERATOR)
    [row] = await app.filters.all(HERE)
    assert (row.reason, row.is_strict) == ("", False)
