import asyncio
import sys
import time
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot import guild_settings
from limner.bot.app import App
from limner.bot.errors import BadRule, SetupError
from limner.bot.filters import content_filter
from limner.bot.filters.content_filter import ContentFilter
from limner.bot.filters.lines import check_lines
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.policies import PolicyReader
from limner.bot.filters.rulebook.reads import PAGE
from limner.bot.filters.rules import Rule, RuleAction, normal_form, tidy
from limner.bot.filters.text.normalise import normalise
from limner.bot.filters.text.scan import line, places
from limner.bot.guild_settings import Guilds
from limner.bot.place import Where
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.translation import speaking

HERE, THERE, MODERATOR = 101, 202, 7


def is_found(pattern: str, text: str) -> bool:
    return Matcher([Rule("1", tidy(pattern))]).find(text) is not None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("ass", "what an ASS."),
        ("ass", "(ass), 'ass'"),
        ("ass", "dumb_ass, kick-ass"),
        ("ass", "🐴ass🐴"),
        ("hot dog", "a HOT\r\n\r\nDog stand"),
        ("hot dog", "hot-dog"),
        ("hot\u00a0 dog ", "a hot\u3000dog"),
        ("spider-man", "Spider Man"),
        ("rock 'n' roll", "rock ’n’ roll"),
        ("straße", "STRASSE"),
        ("istanbul", "İSTANBUL"),
        ("σοφος", "ΣΟΦΟΣ"),
        ("кошка", "КОШКА"),
        ("café", "cafe\u0301"),
        ("cat", "ＣＡＴ"),
        ("fish", "ﬁsh and chips"),
        ("cat", "c\u200ba\u200dt\ufeff"),
        ("cat", "\u202ecat\u202c"),
        ("cat", "c\u0336a\u0336t\u0336"),
        ("cat", "c\u0301\u0316\u0347a\u0301\u0316t\u0347\u0301"),
        ("שלום", "שָׁלוֹם"),
        ("سلام", "سَلَام"),
        ("猫", "一只猫在屋顶上"),
        ("猫咪", "可爱的小猫咪睡觉"),
        ("ネコ", "黒ﾈｺの絵"),
        ("แมว", "รูปแมวน่ารัก"),
        ("cat", "一只cat在屋顶上"),
        ("cat", "cat을 그려줘"),
        ("고양이", "고양이 그림"),
        ("पानी", "ठंडा पानी"),
        ("c++", "I like C++ a lot"),
        ("🍑", "nice🍑🍑pic"),
        ("☠", "danger ☠️ sign"),
    ],
)
def test_a_rule_finds_its_words_in_every_spelling(pattern: str, text: str):
    assert is_found(pattern, text)
    assert is_found(pattern, unicodedata.normalize("NFD", text))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("ass", "grass, a glass of class, assassin"),
        ("cunt", "the town of Scunthorpe"),
        ("cat", "two cats, a wildcat, cat5"),
        ("hot dog", "hotdog"),
        ("hot dog", "a hot red dog"),
        ("hot dog", "a shot dog and hot dogs"),
        ("hot dog", "dog hot"),
        ("ano", "feliz año nuevo"),
        ("mose", "die möse"),
        ("पान", "ठंडा पानी"),
        ("猫咪", "猫和咪咪"),
        ("고양이", "고양이를 그려"),
        ("cat", "一只cats在屋顶上"),
        ("c++", "I like c"),
        ("a.b", "acb"),
        ("cat", ""),
        ("cat", "\u200b \n"),
        ("hot dog", "a hot day, dog at the beach; hot, dog"),
    ],
)
def test_a_rule_leaves_other_words_alone(pattern: str, text: str):
    assert not is_found(pattern, text)


def test_a_match_tells_where_it_was_in_the_original():
    text = "Ein ﬁne ＢＡＤ\u200b ﬁsh, ok"
    match = Matcher([Rule("1", "bad fish")]).find(text)
    assert match
    assert text[match.start : match.end] == "ＢＡＤ\u200b ﬁsh"


def test_every_rule_that_matches_is_told_in_the_order_of_the_text():
    matcher = Matcher([Rule("1", "dog"), Rule("2", "cat dog"), Rule("3", "cat"), Rule("4", "bird")])
    found = [match.rule.id for match in matcher.matches("dog cat dog")]
    assert found == ["1", "2", "3", "1"]


@given(st.text())
def test_any_text_has_a_normal_form_that_knows_its_origin(text: str):
    normal = normalise(text)
    assert normalise(normal.text).text == normalise(normalise(normal.text).text).text
    for place in range(len(normal.text)):
        start, end = normal.span(place, place + 1)
        assert 0 <= start < end <= len(text)


@given(st.text(st.characters() | st.sampled_from("ab 猫ネ가ก-_.,!#")), st.booleans())
def test_each_character_of_a_line_knows_its_place(text: str, with_symbols: bool):
    spaced, found = line(text, with_symbols=with_symbols), places(text, with_symbols=with_symbols)
    assert found == sorted(found)
    assert "".join(text[place] for kept, place in zip(spaced, found, strict=True) if kept != " ") == spaced.replace(
        " ", ""
    )


@given(st.text(alphabet="abcß ﬁ猫ネ가-_.,!'\u0301\u200b"), st.text(max_size=5), st.text(max_size=5))
def test_a_rule_finds_itself_between_borders(pattern: str, before: str, after: str):
    try:
        pattern = tidy(pattern)
    except BadRule:
        return
    assert is_found(pattern, f"{before} {pattern} {after}")


@pytest.mark.parametrize(
    "pattern", ["", "  ", "\u200b\u202e", "...", "- _", "c*t", "**cat", "*", "**", "x" * 101, "\ufdfa" * 50]
)
def test_what_cannot_be_a_rule_is_refused_in_a_sentence(pattern: str):
    with pytest.raises(BadRule) as told:
        tidy(pattern)
    assert str(told.value).startswith("A rule ")


@pytest.fixture
async def filters(app: App) -> ContentFilter:
    return app.filters


@pytest.fixture
async def elsewhere(settings: Settings) -> AsyncIterator[ContentFilter]:
    """The same rules in what could be another process."""
    database = Database(settings.url)
    yield ContentFilter(database, Guilds(database), PolicyReader(Settings()))
    await database.close()


async def is_refused(filters: ContentFilter, idea: str, where: Where | None = None) -> bool:
    return (await filters.check(where or Where(HERE), {"idea": idea})).refusal is not None


async def test_a_refusal_names_field_and_code_but_no_word(filters: ContentFilter):
    rule = await filters.add(HERE, "purple cow", MODERATOR)
    verdict = await filters.check(Where(HERE), {"idea": "a fox", "file name": "a Purple\nCow"})
    assert verdict.action == RuleAction.BLOCK
    assert verdict.rule_ids == [rule.id]
    assert verdict.refusal
    assert (verdict.refusal.code, verdict.refusal.field) == ("filter:file", "file name")
    assert verdict.refusal.sentence == (
        "The file name has words that are not allowed here (code filter:file); change them and ask again."
    )


async def test_weights_hide_no_words(filters: ContentFilter):
    await filters.add(HERE, "purple cow", MODERATOR)
    for idea in ("(pur:1.1)(ple:1.1) cow", "a (purple:1.4) (cow:0.5)", "purple BREAK cow", "(purple cow:1.2)"):
        assert await is_refused(filters, idea), idea
    assert not await is_refused(filters, "a (purple:1.4) fox and a (cow:1.1)")


async def test_a_weighted_word_is_replaced_where_that_is_possible(filters: ContentFilter):
    await filters.add(HERE, "cow", MODERATOR, action=RuleAction.REPLACE, replacement="fox")
    verdict = await filters.check(Where(HERE), {"idea": "a (red cow:1.3)"})
    assert (verdict.refusal, verdict.texts["idea"]) == (None, "a (red fox:1.3)")
    assert await is_refused(filters, "a (c:1.1)(ow:1.1)")


async def test_rules_hold_in_their_server_and_the_operators_everywhere(filters: ContentFilter):
    await filters.add(HERE, "cow", MODERATOR)
    await filters.add(0, "bull", MODERATOR)
    blocked = {
        (guild, word): await is_refused(filters, f"a {word}", Where(guild))
        for guild in (HERE, THERE, None)
        for word in ("cow", "bull")
    }
    assert blocked == {
        (HERE, "cow"): True,
        (HERE, "bull"): True,
        (THERE, "cow"): False,
        (THERE, "bull"): True,
        (None, "cow"): False,
        (None, "bull"): True,
    }


async def test_a_change_counts_at_once_where_it_was_made(filters: ContentFilter):
    assert not await is_refused(filters, "a cow")
    rule = await filters.add(HERE, "cow", MODERATOR)
    assert await is_refused(filters, "a cow")
    await filters.edit(HERE, rule.id, MODERATOR, pattern="bull")
    assert not await is_refused(filters, "a cow")
    assert await is_refused(filters, "a bull")
    await filters.remove(HERE, rule.id, MODERATOR)
    assert not await is_refused(filters, "a bull")


async def test_a_change_counts_within_about_a_second_in_other_processes(
    filters: ContentFilter, elsewhere: ContentFilter
):
    async def seen(blocked: bool) -> float:
        started = time.monotonic()
        while await is_refused(elsewhere, "a cow") != blocked:
            assert time.monotonic() - started < 5, "the change is never seen"
            await asyncio.sleep(0.02)
        return time.monotonic() - started

    await seen(False)
    await filters.add(HERE, "bull", MODERATOR)
    rule = await filters.add(HERE, "cow", MODERATOR)
    waits = [await seen(True)]
    await filters.edit(HERE, rule.id, MODERATOR, is_on=False)
    waits.append(await seen(False))
    assert max(waits) < 2


async def test_no_rule_takes_a_removed_ones_number(filters: ContentFilter):
    first = await filters.add(HERE, "cow", MODERATOR)
    await filters.remove(HERE, first.id, MODERATOR)
    assert (await filters.add(HERE, "bull", MODERATOR)).id != first.id


class SlowOnce(Database):
    """A database whose second answer comes only when the test says so."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked = 0
        self.answered, self.go_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        self.asked += 1
        second = self.asked == 2
        async with super().read() as session:
            yield session
        if second:
            self.answered.set()
            await self.go_on.wait()


async def test_rules_that_were_read_before_a_change_are_not_kept_after_it(settings: Settings):
    database = SlowOnce(settings.url)
    guilds = Guilds(database)
    filters, others = (
        ContentFilter(database, guilds, PolicyReader(Settings())),
        ContentFilter(database, guilds, PolicyReader(Settings())),
    )
    reading = asyncio.create_task(is_refused(filters, "a cow"))
    await database.answered.wait()
    await others.add(HERE, "cow", MODERATOR)
    database.go_on.set()
    assert await reading
    assert await is_refused(filters, "a cow")
    await database.close()


async def test_checks_in_a_second_ask_the_database_once(
    app: App, filters: ContentFilter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(guild_settings, "POLL_SECONDS", 600)
    await is_refused(filters, "a fox")
    monkeypatch.setattr(filters, "database", None)
    monkeypatch.setattr(app.guilds, "database", None)
    for _ in range(100):
        assert not await is_refused(filters, "a fox")


async def test_many_who_ask_after_a_change_wait_for_one_matcher(
    filters: ContentFilter, monkeypatch: pytest.MonkeyPatch
):
    made: list[Matcher] = []

    def make(*rules: Any) -> Matcher:
        made.append(Matcher(*rules))
        return made[-1]

    monkeypatch.setattr(content_filter, "Matcher", make)
    await filters.add(HERE, "cow", MODERATOR)
    made.clear()
    assert all(await asyncio.gather(*(is_refused(filters, "a cow") for _ in range(20))))
    assert len(made) == 2  # the server's and the operator's


async def test_the_same_rule_is_kept_once(filters: ContentFilter):
    await filters.add(HERE, "Hot Dog", MODERATOR)
    for same in ("hot-dog", "ＨＯＴ  dog"):
        with pytest.raises(BadRule, match="exists already"):
            await filters.add(HERE, same, MODERATOR)
    await filters.add(THERE, "hot dog", MODERATOR)
    assert (await filters.page(HERE)).total == 1


async def test_two_moderators_adding_the_same_rule_at_once_add_it_once(filters: ContentFilter):
    added = await asyncio.gather(*(filters.add(HERE, "cow", by) for by in range(5)), return_exceptions=True)
    assert sum(isinstance(rule, RuleRow) for rule in added) == 1
    assert sum(isinstance(rule, BadRule) for rule in added) == 4


async def test_removing_what_is_not_there_is_told(filters: ContentFilter):
    theirs = await filters.add(THERE, "cow", MODERATOR)
    for rule_id in (theirs.id, 0, 999):
        with pytest.raises(BadRule, match="no such rule"):
            await filters.remove(HERE, rule_id, MODERATOR)


async def test_rules_are_paged_and_searched(filters: ContentFilter):
    words = [f"word {number:03}" for number in range(2 * PAGE + 1)]
    for word in words:
        await filters.add(HERE, word, MODERATOR)
    await filters.add(HERE, "100% wool_", MODERATOR)
    await filters.add(THERE, "word of theirs", MODERATOR)
    page = await filters.page(HERE, 2)
    assert [rule.pattern for rule in page.rules] == words[PAGE : 2 * PAGE]
    assert (page.number, page.pages, page.total) == (2, 3, 2 * PAGE + 2)
    assert (await filters.page(HERE, 99)).number == 3
    assert (await filters.page(999)).rules == []
    assert [rule.pattern for rule in await filters.search(HERE, "WORD 00")] == words[:10]
    assert (await filters.page(HERE, 1, "WORD 00")).total == 10
    assert [rule.pattern for rule in await filters.search(HERE, "%")] == ["100% wool_"]
    await filters.add(HERE, "a word 000", MODERATOR)
    assert [rule.pattern for rule in await filters.search(HERE, "word 000")] == ["word 000", "a word 000"]
    assert len(await filters.search(HERE, "")) == 25


async def test_matches_tells_moderators_every_rule(filters: ContentFilter):
    own, general = await filters.add(HERE, "cow", MODERATOR), await filters.add(0, "bull", MODERATOR)
    explained = await filters.explain(Where(HERE), "bull and c0w")
    told = [(match.rule.id, match.steps) for match in explained.matches]
    assert told == [(str(own.id), ("digits or signs for letters",)), (str(general.id), ())]


async def test_four_hundred_rules_cost_a_fraction_of_a_millisecond(app: App):
    values = [
        {"guild_id": HERE, "pattern": f"bad{n} thing", "normal_form": f"bad{n} thing", "created_by": 1, "created_at": n}
        for n in range(400)
    ]
    async with app.database.begin() as session:
        await session.execute(insert(RuleRow).values(values))
    idea = {"idea": "a red fox in the snow, oil painting, golden hour, highly detailed, by a frozen lake, thing " * 2}
    await app.filters.check(Where(HERE), idea)
    best = sys.float_info.max
    for _ in range(50):
        started = time.process_time()
        assert not (await app.filters.check(Where(HERE), idea)).action
        best = min(best, time.process_time() - started)
    assert best < 0.001


def answers(rules: Path | None, *lines: str) -> list[dict[str, object]]:
    return list(check_lines(rules, lines))


@pytest.mark.parametrize(
    "content",
    [
        '["purple cow", {"id": 2, "pattern": "bull"}]',
        '"purple cow"\n{"id": 2, "pattern": "bull"}\n\n',
        '{"rules": [{"id": "1", "pattern": "purple cow", "kind": "phrase"}, {"id": 2, "pattern": "bull"}]}',
        '{"version": 1, "packs": [{"id": "p", "enabled": true, "rules": ["purple cow", {"id": 2, "pattern": "bull"}]},'
        ' {"id": "q", "enabled": false, "rules": ["fox"]}], "allow": []}',
        '\ufeff["purple cow", {"id": 2, "pattern": "bull"}, {"pattern": "fox", "enabled": false}]',
    ],
)
def test_lines_are_checked_against_a_file_of_rules(tmp_path: Path, content: str):
    file = tmp_path / "rules.json"
    file.write_text(content, encoding="utf-8")
    allowed = {"action": "allow", "rule": None, "reason": None}
    assert answers(file, '\ufeff{"id": "a", "text": "a fox"}', '{"id": 7, "text": "Purple  Cow"}', " ") == [
        {"id": "a", **allowed},
        {"id": 7, "action": "block", "rule": "1", "reason": "The text has what rule 1 looks for."},
    ]
    assert answers(None, '{"id": "a", "text": "bull"}') == [{"id": "a", **allowed}]


def test_a_malformed_line_is_told_and_the_rest_goes_on():
    lines = ["{", "[]", "3", '{"id": 1}', '{"id": [], "text": "x"}', '{"id": 1, "text": 2}', "[" * 100_000, "\ud800"]
    lines.append('{"id": "half of a pair", "text": "\\ud800"}')
    *broken, last = answers(None, *lines, '{"id": "ok", "text": "\\ud83d\\ude00"}')
    assert [line["action"] for line in broken] == ["error"] * len(lines)
    assert [line["reason"] for line in broken][:2] == [
        "Line 1 is not valid JSON.",
        "Line 2 is not an object with id and text.",
    ]
    assert last == {"id": "ok", "action": "allow", "rule": None, "reason": None}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('["cow",\n', "The rules file rules.json cannot be used. It is not valid JSON (line 2, column 1: expecting"),
        (
            '{"rules": [\n "c\u2028w",\n]}',
            "The rules file rules.json cannot be used. It is not valid JSON (line 2, column 7: a",
        ),
        (
            '"cow"\n{"pattern": "c\u2028w",}\n',
            "The rules file rules.json cannot be used. It is not valid JSON (line 2, column 18:",
        ),
        ("[3]", "Rule 1 of the rules file rules.json cannot be used. It has no pattern."),
        ('[{"id": "a"}]', "Rule a of the rules file rules.json cannot be used. It has no pattern."),
        ("3", "Rule 1 of the rules file rules.json cannot be used. It has no pattern."),
        ('{"packs": 3}', "The rules file rules.json cannot be used. It has no list of rules;"),
        ('{"packs": [{}]}', "The rules file rules.json cannot be used. It has no list of rules;"),
        ("{}", "The rules file rules.json cannot be used. It has no list of rules;"),
        ('{"rules": [], "allow": ["c*w"]}', "Rule 1 of the rules file rules.json cannot be used. A rule may have a *"),
        (
            '[{"id": "a", "pattern": "(", "kind": "regex"}]',
            "Rule a of the rules file rules.json cannot be used. The reg",
        ),
        (
            '[{"id": "a", "pattern": "c", "kind": "glob"}]',
            "Rule a of the rules file rules.json cannot be used. Its kind",
        ),
        ('[{"id": "a", "pattern": 3}]', "Rule a of the rules file rules.json cannot be used. Its kind"),
        ('["cow", "c*w"]', "Rule 2 of the rules file rules.json cannot be used. A rule may have a * only"),
        ('[""]', "Rule 1 of the rules file rules.json cannot be used. A rule needs at least one letter"),
    ],
)
def test_a_rules_file_that_cannot_be_used_is_refused_with_the_place(tmp_path: Path, content: str, sentence: str):
    file = tmp_path / "rules.json"
    file.write_text(content)
    with pytest.raises(SetupError) as told:
        check_lines(file, [])
    assert str(told.value).startswith(sentence)


def test_a_rules_file_that_cannot_be_read_is_told(tmp_path: Path):
    with pytest.raises(SetupError, match=r"^The rules file gone.json cannot be read: No such file"):
        check_lines(tmp_path / "gone.json", [])
    (tmp_path / "latin.json").write_bytes(b'["\xe9"]')
    with pytest.raises(SetupError, match=r"^The rules file latin.json is not UTF-8 text \(line 1\)"):
        check_lines(tmp_path / "latin.json", [])


def test_equal_patterns_have_one_normal_form():
    assert normal_form("Hot-DOG ") == normal_form("ｈｏｔ   dog") == "hot dog"
    assert normal_form("大 麻") != normal_form("大麻")


@pytest.mark.parametrize("language", ["en", "zh_CN"])
async def test_negative_prompts_have_their_policy_in_every_language(app: App, language: str) -> None:
    await app.filters.add(HERE, "cow", MODERATOR)
    texts = {"idea": "a hill", content_filter.NEGATIVE: "cow"}
    with speaking(language):
        assert not (await app.filters.check(Where(HERE), texts)).refusal
        assert (await app.filters.check(Where(HERE), texts, paints_negative=True)).refusal
