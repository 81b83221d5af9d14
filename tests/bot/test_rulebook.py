"""Where and until when rules count; how they are kept, brought in, sent out and taken back."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.app import App
from limner.bot.errors import BadRule, NotFound
from limner.bot.filters import rules as rules_module
from limner.bot.filters.content_filter import ContentFilter
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.policies import PolicyReader
from limner.bot.filters.rulebook import files, packs, rulebook
from limner.bot.filters.rulebook.entries import PACK, Entry
from limner.bot.filters.rulebook.rows import entry_of
from limner.bot.filters.rulebook.wordlists import read
from limner.bot.filters.rules import Rule, RuleAction, RuleKind, tidy
from limner.bot.filters.scopes import Ages, Scope
from limner.bot.guild_settings import Guilds, GuildSettings
from limner.bot.place import Place, Where
from limner.bot.settings import Settings
from limner.bot.storage import audit_log
from limner.bot.storage.db import Database

T = TypeVar("T")
HERE, THERE, MODERATOR = 101, 202, 7
CHANNEL, CATEGORY, ROLE = 31, 32, 33
ORDER = list(RuleAction)
LATEST = "Its expires_at must be a time in Unix seconds, before the year 10000."


async def refused(app: App, text: str, where: Where | None = None) -> bool:
    return (await app.filters.check(where or Where(HERE, CHANNEL), {"idea": text})).refusal is not None


# Where and until when.


@pytest.mark.parametrize(
    ("scope", "free"),
    [
        (Scope(), []),
        (Scope(only_channels={str(CHANNEL)}), ["elsewhere"]),
        (Scope(only_channels={str(CATEGORY)}), ["elsewhere"]),
        (Scope(exempt_channels={str(CATEGORY)}), ["here", "with the role", "restricted"]),
        (Scope(exempt_roles={str(ROLE)}), ["with the role"]),
        (Scope(only_roles={str(ROLE)}), ["here", "elsewhere", "restricted"]),
        (Scope(ages=Ages.ONLY), ["here", "elsewhere", "with the role"]),
        (Scope(ages=Ages.EXCEPT), ["restricted"]),
    ],
)
async def test_a_rule_counts_in_its_scope(app: App, scope: Scope, free: list[str]):
    await app.filters.add(HERE, "gun", MODERATOR, scope=scope)
    here = Where(HERE, CHANNEL, (CATEGORY,))
    places = {
        "here": here,
        "elsewhere": Where(HERE, CHANNEL + 100, (CATEGORY + 100,)),
        "with the role": replace(here, role_ids=(ROLE, 99)),
        "restricted": replace(here, is_age_restricted=True),
    }
    assert [name for name, where in places.items() if not await refused(app, "a gun", where)] == free


async def test_an_expired_rule_counts_no_more_and_is_still_listed(app: App):
    now = time.time()
    await app.filters.add(HERE, "gun", MODERATOR, expires_at=now + 3600)
    await app.filters.add(HERE, "bomb", MODERATOR, expires_at=now - 1)
    await app.filters.add(HERE, "gun shop", MODERATOR, is_allow=True, expires_at=now - 1)
    assert await refused(app, "a gun shop")
    assert not await refused(app, "a bomb")
    assert (await app.filters.page(HERE)).total == 3
    rule = Rule("1", "gun", expires_at=now)
    assert rule.holds(Place(now=now - 0.001))
    assert not rule.holds(Place(now=now))


async def test_allowed_texts_free_from_the_servers_rules_only(app: App):
    await app.filters.add(HERE, "gun*", MODERATOR)
    await app.filters.add(HERE, "gunnera", MODERATOR, is_allow=True)
    assert not await refused(app, "a gunnera leaf")
    assert await refused(app, "a gunnera leaf and a gun")
    await app.filters.add(0, "gunnera", MODERATOR)
    assert await refused(app, "a gunnera leaf")


async def test_a_pack_is_switched_on_like_a_rule_and_gives_its_own_reason(app: App):
    row = await app.filters.put(HERE, Entry(pattern="gore-en", kind=PACK), MODERATOR)
    verdict = await app.filters.check(Where(HERE), {"idea": "a d.i.s.m.e.m.b.e.r.e.d doll"})
    assert verdict.rule_ids == [row.id]
    assert verdict.refusal
    assert "Gore and torture are not painted here." in verdict.refusal.sentence
    await app.filters.edit(HERE, row.id, MODERATOR, is_on=False)
    assert not await refused(app, "a dismembered doll")


def test_packs_hold_sound_rules_in_every_language_and_leave_ordinary_prompts_alone():
    assert {name.partition("-")[0] for name in packs.every()} >= {"sexual", "gore", "hate", "minors"}
    assert {pack.language for pack in packs.every().values()} >= {"English", "German", "Chinese", "Japanese"}
    for name, pack in packs.every().items():
        assert Entry(pattern=name, kind=PACK, reason=pack.reason).checked()
        assert [tidy(term) for term in pack.terms] == list(pack.terms), name
    matcher = Matcher([Rule(name, term) for name, pack in packs.every().items() for term in pack.terms])
    ordinary = [
        "a naked mole rat, bare trees, naked eye astronomy, a suicide squad poster, Essex in the fog",
        "完全裸眼3D的夜景色情调, 路口交通, 异性交往, 亲自慰问, 迷恋童话, 年轻生命",
        "逃脱光芒, 天花板上吊灯, 印度支那半岛",
        "女性交流会, 粘土人形, ユニセックスの服, 酸性器具",
        "голые ветви берёз, хачапури на столе, деревянные чурки",
        "árboles desnudos, pies descalzos, entrada de mármol, una pelada de fútbol",
        "nackte Felsen über dem Meer, kahle Bäume, eine Kopfbedeckung",
    ]
    assert [(match.rule.id, match.rule.pattern) for text in ordinary for match in matcher.matches(text)] == []


# Rows.


async def test_the_same_text_may_be_ruled_twice_for_different_places(app: App):
    everywhere = await app.filters.add(HERE, "gun", MODERATOR)
    adult = await app.filters.add(HERE, "Gun", MODERATOR, action=RuleAction.LOG, scope=Scope(ages=Ages.ONLY))
    allowed = await app.filters.add(HERE, "gun", MODERATOR, is_allow=True)
    await app.filters.add(THERE, "gun", MODERATOR)
    for entry in (Entry(pattern="GUN"), Entry(pattern="gun", is_allow=True, action=RuleAction.LOG)):
        with pytest.raises(BadRule, match=r"exists already for the same place, as rule \d+"):
            await app.filters.put(HERE, entry, MODERATOR)
    with pytest.raises(BadRule, match=f"as rule {everywhere.id}"):
        await app.filters.edit(HERE, adult.id, MODERATOR, scope=Scope())
    assert [twin.id for twin in await app.filters.twins(everywhere)] == [adult.id, allowed.id]
    assert not await refused(app, "a gun")


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (Entry(pattern="*"), "needs at least one letter"),
        (Entry(pattern="a|(b", kind=RuleKind.REGEX), r"the bracket \( is not closed \(position 3\)"),
        (Entry(pattern="(a{200}){200}", kind=RuleKind.REGEX), "too large when"),
        (Entry(pattern="a" * 261, kind=RuleKind.REGEX), "at most 260 characters, this one has 261"),
        (Entry(pattern="a+", kind=RuleKind.REGEX, is_allow=True), "cannot be on the allow list"),
        (Entry(pattern="gore-xx", kind=PACK), "no pack with that name; the packs are "),
        (Entry(pattern="gun", reason="x" * 151), "A reason may have at most 150"),
        (Entry(pattern="gun", replacement="x" * 101), "A replacement may have at most 100"),
        (Entry(pattern="gun", action=RuleAction.REPLACE, replacement="a toy gun"), "would be replaced without end"),
        (Entry(pattern="badger", action=RuleAction.REPLACE, replacement="b*dger"), "would be replaced without end"),
        (
            Entry(pattern="gu+n", kind=RuleKind.REGEX, action=RuleAction.REPLACE, replacement="guuun"),
            "replaced without end",
        ),
        (
            Entry(pattern="gore-en", kind=PACK, action=RuleAction.REPLACE, replacement="dismembered"),
            "replaced without end",
        ),
        (Entry(pattern=r"gun\bs", kind=RuleKind.REGEX), r"can match no text: what stands at position 6"),
        (Entry(pattern=r"gun\n", kind=RuleKind.REGEX), r"position 4 can never come there. Texts are read on one line"),
        (Entry(pattern="gun  shop", kind=RuleKind.REGEX), r"position 5 can never come there"),
        (Entry(pattern="[\\u200b\\u2060]+", kind=RuleKind.REGEX), "nothing invisible"),
        (
            Entry(pattern="gun", scope=Scope(only_channels={"1", "2"}, exempt_channels={"1", "2", "3"})),
            "counts nowhere",
        ),
        (Entry(pattern="gun", scope=Scope(only_roles={"1"}, exempt_roles={"1"})), "counts nowhere"),
    ],
)
async def test_what_cannot_be_a_rule_is_told_in_a_sentence(app: App, entry: Entry, sentence: str):
    with pytest.raises(BadRule, match=sentence):
        await app.filters.put(HERE, entry, MODERATOR)
    assert not await app.filters.all(HERE)


async def test_a_rule_that_allowed_texts_make_idle_is_told_before_it_is_written(app: App):
    await app.filters.add(HERE, "gun*", MODERATOR, is_allow=True)
    await app.filters.add(HERE, "bomb", MODERATOR, is_allow=True, scope=Scope(only_channels={"1"}))
    regex = '{"pattern": "gun[a-z]+", "kind": "regex"}'
    text = f'{{"rules": ["gunnery", "*gun*", "bomb", {regex}, "water pistol", "shotgun"], "allow": ["*pistol"]}}'
    items = await app.filters.reviewed(HERE, [item.merged() for item in files.read_json(text)])
    idle = [item.entry.pattern for item in items if item.entry and "frees what this rule looks for" in item.note]
    assert idle == ["gunnery", "*gun*", "bomb", "gun[a-z]+"]
    assert not await app.filters.all(HERE, "regex")
    assert [await refused(app, text) for text in ("a gunnery", "a shotgun")] == [False, False]


async def test_every_change_is_in_the_log_and_can_be_taken_back(app: App):
    filters = app.filters
    rule = await filters.add(HERE, "gun", MODERATOR)
    await filters.edit(HERE, rule.id, MODERATOR + 1, action=RuleAction.LOG, scope=Scope(exempt_roles={"5"}))
    await filters.remove(HERE, rule.id, MODERATOR + 2)
    removed, edited, added = (await audit_log.page(app.database, HERE)).changes
    assert [(one.what, one.by) for one in (added, edited, removed)] == [("add", 7), ("edit", 8), ("remove", 9)]
    assert (edited.before["rules"][0]["action"], edited.after["rules"][0]["action"]) == ("block", "log")

    with pytest.raises(BadRule, match=f"Rule {rule.id} was changed again since then"):
        await filters.undo(HERE, edited.id, MODERATOR)
    with pytest.raises(NotFound):
        await filters.undo(THERE, removed.id, MODERATOR)
    await filters.undo(HERE, removed.id, MODERATOR)
    back = await filters.get(HERE, rule.id)
    assert (back.action, back.scope, back.created_by) == ("log", {"exempt_roles": ["5"]}, MODERATOR)
    await filters.undo(HERE, edited.id, MODERATOR)
    assert await refused(app, "a gun", Where(HERE, role_ids=(5,)))
    await filters.undo(HERE, added.id, MODERATOR)
    assert not await filters.all(HERE)
    undone = (await audit_log.page(app.database, HERE)).changes[0]
    assert (undone.what, undone.undoes) == ("undo", added.id)
    await filters.undo(HERE, undone.id, MODERATOR)
    assert await refused(app, "a gun")


async def test_imports_and_undos_are_the_same_on_both_databases(database: Database):
    rules = ContentFilter(database, Guilds(database), PolicyReader(Settings()))
    scope = Scope(exempt_roles={"5"})
    done = await rules.put_all(HERE, [Entry(pattern="gun", scope=scope).checked(), Entry(pattern="bomb").checked()], 1)
    before = [entry_of(row) for row in await rules.all(HERE)]
    await rules.undo(HERE, done.change_id or 0, MODERATOR)
    assert not await rules.all(HERE)
    await rules.undo(HERE, (await audit_log.page(database, HERE)).changes[0].id, MODERATOR)
    assert [entry_of(row) for row in await rules.all(HERE)] == before
    assert (await rules.add(HERE, "knife", MODERATOR)).id > 2


async def test_undoing_a_removal_does_not_double_a_rule(app: App):
    rule = await app.filters.add(HERE, "gun", MODERATOR)
    await app.filters.remove(HERE, rule.id, MODERATOR)
    [removed, _] = (await audit_log.page(app.database, HERE)).changes
    await app.filters.add(HERE, "gun", MODERATOR)
    with pytest.raises(BadRule, match="exists already"):
        await app.filters.undo(HERE, removed.id, MODERATOR)


async def test_settings_are_kept_by_server_logged_and_taken_back(app: App):
    assert await app.guilds.get(HERE) == GuildSettings()
    await app.guilds.change(HERE, MODERATOR, moderator_role_ids=(3, 4), checks_negative_prompts=True)
    await app.guilds.change(HERE, MODERATOR, moderator_role_ids=(3,))
    await app.guilds.change(HERE, MODERATOR, moderator_role_ids=(3,))
    newest, oldest = (await audit_log.page(app.database, HERE)).changes
    assert newest.before == {"settings": {"moderator_role_ids": [3, 4]}}
    with pytest.raises(BadRule, match="changed again since then"):
        await app.filters.undo(HERE, oldest.id, MODERATOR)
    await app.filters.undo(HERE, newest.id, MODERATOR)
    assert await app.guilds.get(HERE) == GuildSettings(moderator_role_ids=(3, 4), checks_negative_prompts=True)
    assert await app.guilds.get(THERE) == GuildSettings()


# Files.

IDS = st.frozensets(st.integers(1, 2**63).map(str), max_size=3)
SCOPES = st.builds(
    Scope,
    only_channels=IDS,
    exempt_channels=IDS,
    only_roles=IDS,
    exempt_roles=IDS,
    ages=st.sampled_from(Ages),
)
PATTERNS = st.one_of(
    st.tuples(st.text(min_size=1, max_size=20), st.just(RuleKind.WORD)),
    st.tuples(st.sampled_from(["cat*", "*cat", "*cat*", "hot dog", "猫", "straße"]), st.just(RuleKind.WORD)),
    st.tuples(st.from_regex(r"\A[a-d]{3,9}\d?\Z"), st.just(RuleKind.REGEX)),
    st.tuples(st.sampled_from(sorted(packs.every())), st.just(PACK)),
)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    pattern, kind = draw(PATTERNS)
    entry = Entry(
        pattern=pattern,
        kind=kind,
        is_allow=kind == RuleKind.WORD and draw(st.booleans()),
        is_strict=draw(st.booleans()),
        action=draw(st.sampled_from(ORDER)),
        reason=" ".join(draw(st.text(max_size=40)).split()),
        replacement=" ".join(draw(st.text(max_size=40)).split()),
        scope=draw(SCOPES),
        is_on=draw(st.booleans()),
        expires_at=draw(st.none() | st.floats(0, 1e11)),
    )
    try:
        return entry.checked()
    except BadRule:
        return Entry(pattern="cat")


@hypothesis.settings(max_examples=40)
@given(st.lists(entries(), max_size=4))
def test_an_export_is_read_back_as_it_was(some: list[Entry]):
    items = list(files.read_json(files.write(some)))
    assert [item.problem for item in items if item.problem] == []
    assert Counter(item.merged().entry for item in items) == Counter(some)


async def test_a_file_has_as_many_rules_and_regexes_as_a_server_and_the_rest_costs_nothing(
    app: App, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rulebook, "MOST", 6)
    monkeypatch.setattr(rulebook, "MOST_REGEXES", 2)
    regexes = [{"pattern": f"p{{{number}}}ig", "kind": "regex"} for number in range(2, 6)]
    text = json.dumps({"rules": ["cow", *regexes], "allow": ["cowboy"]})
    seen: list[str] = []

    def look(pattern: str) -> None:
        seen.append(pattern)

    monkeypatch.setattr(rules_module.regexes, "complaint", look)
    items = await app.filters.read(HERE, text, "rules.json")
    assert [(item.label, item.problem[:38]) for item in items if item.problem] == [
        ("4", "A server may have at most 2 regexes; m"),
        ("5", "A server may have at most 2 regexes; m"),
    ]
    assert seen == ["p{2}ig", "p{3}ig"]
    with pytest.raises(BadRule, match=r"^That file has more than 6 rules"):
        await app.filters.read(HERE, "# notes\n" * 20 + "\n".join(f"word{number}" for number in range(7)), "rules.txt")


async def test_a_long_file_of_one_server_does_not_keep_the_rules_of_another_waiting(
    app: App, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rulebook, "BUILD_SECONDS", 0)
    text = "\n".join(f"word{number}" for number in range(300))
    reading = asyncio.create_task(app.filters.read(HERE, text, "rules.txt"))
    await asyncio.sleep(0)
    await app.filters.builds.run(THERE, lambda: None)
    assert not reading.done()
    assert len(await reading) == 300
    writing = asyncio.create_task(app.filters.put_all(HERE, [item.entry for item in await reading if item.entry], 7))
    await asyncio.sleep(0)
    await app.filters.builds.run(THERE, lambda: None)
    assert not writing.done()
    assert (await writing).added == 300


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_many_entries_come_in_at_once_or_not_at_all(app: App, monkeypatch: pytest.MonkeyPatch, count: int):
    monkeypatch.setattr(rulebook, "MOST", 2 * count)
    await app.filters.add(HERE, "word7", MODERATOR)
    items = list(read("\n".join([*(f"word{number}" for number in range(count)), "", "c*t", "WORD8"]), "words.txt"))
    assert [(item.label, item.problem[:15]) for item in items if item.entry is None] == [
        (str(count + 2), "A rule may have")
    ]
    found = [item.entry for item in items if item.entry]
    done, longest = await while_others_write(app, app.filters.put_all(HERE, found, MODERATOR))
    assert (done.added, done.known) == (count - 1, 2)
    assert longest < 1
    assert done.change_id
    assert (await app.filters.page(HERE)).total == count
    with pytest.raises(BadRule, match=f"at most {2 * count} rules, and this one would have {2 * count + 1}"):
        await app.filters.put_all(HERE, [Entry(pattern=f"other{number}") for number in range(count + 1)], MODERATOR)
    assert (await app.filters.page(HERE)).total == count
    _, longest = await while_others_write(app, app.filters.undo(HERE, done.change_id, MODERATOR))
    assert longest < 1
    assert [entry_of(row).pattern for row in await app.filters.all(HERE)] == ["word7"]
    undone = (await audit_log.page(app.database, HERE)).changes[0]
    await app.filters.undo(HERE, undone.id, MODERATOR)
    assert (await app.filters.page(HERE)).total == count


async def while_others_write(app: App, work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What the work gives, and how much CPU time passed while the unluckiest small write waited for it."""
    task, longest = asyncio.ensure_future(work), 0.0
    while not task.done():
        began = time.process_time()
        async with app.database.begin():
            longest = max(longest, time.process_time() - began)
    return await task, longest


async def test_an_undo_looks_again_if_something_changes_while_it_compares(app: App, monkeypatch: pytest.MonkeyPatch):
    rule = await app.filters.add(HERE, "gun", MODERATOR)
    added = (await audit_log.page(app.database, HERE)).changes[0]

    @asynccontextmanager
    async def after_another(database: Database, guild_id: int) -> AsyncGenerator[AsyncSession]:
        monkeypatch.undo()
        await app.filters.edit(HERE, rule.id, MODERATOR, reason="A newer one.")
        async with audit_log.changing(database, guild_id) as session:
            yield session

    monkeypatch.setattr(rulebook, "changing", after_another)
    with pytest.raises(BadRule, match=f"Rule {rule.id} was changed again since then"):
        await app.filters.undo(HERE, added.id, MODERATOR)
    assert (await app.filters.get(HERE, rule.id)).reason == "A newer one."


def test_packs_of_a_file_share_their_scope_and_switch():
    text = """{"packs": [
        {"id": "p", "only_channels": ["1", "2"], "rules": ["cow", {"pattern": "pig", "only_channels": [2, 3]}]},
        {"id": "q", "enabled": false, "action": "log", "rules": ["fox"]},
        {"id": "r", "only_channels": ["1"], "rules": [{"pattern": "elk", "only_channels": ["2"]}]},
        {"id": "s", "exempt_channels": ["general"], "rules": ["owl"]},
        {"id": "gore-en", "action": "flag"}], "allow": ["cow bell"]}"""
    cow, pig, fox, elk, owl, gore, bell = (item.merged() for item in files.read_json(text))
    assert [item.entry and item.entry.scope.only_channels for item in (cow, pig)] == [{"1", "2"}, {"2"}]
    assert fox.entry
    assert (fox.entry.is_on, fox.entry.action) == (False, RuleAction.LOG)
    assert (elk.entry, elk.problem) == (None, "That counts nowhere: it and its pack want other channels.")
    assert (owl.entry, owl.problem) == (None, files.NO_IDS)
    assert gore.entry == Entry(pattern="gore-en", kind=PACK, action=RuleAction.FLAG)
    assert bell.entry == Entry(pattern="cow bell", kind=RuleKind.PHRASE, is_allow=True)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('{"pattern": "a", "actoin": "log"}', "It has 'actoin', which means nothing here."),
        ('{"pattern": "a", "action": "burn"}', "Its action must be one of block, flag, replace, spoiler, log."),
        ('{"pattern": "a", "ages": 3}', "Its ages must be one of any, only, except."),
        ('{"pattern": "a", "exempt_roles": "5"}', "Its exempt_roles must be a list of ids."),
        ('{"pattern": "a", "expires_at": "tomorrow"}', LATEST),
        ('{"pattern": "a", "expires_at": 1e308}', LATEST),
        ('{"pattern": "a", "expires_at": -1}', LATEST),
        ('{"pattern": "a", "expires_at": NaN}', LATEST),
        (r'"a\ud800b"', "It has a broken character in it; write it anew."),
        (r'{"pattern": "a", "reason": "\u0000"}', "It has a broken character in it; write it anew."),
        ('{"pattern": "a", "reason": 3}', "Its reason must be a text."),
        ("3", "It has no pattern."),
    ],
)
def test_what_a_file_says_wrong_is_told(entry: str, problem: str):
    [good, bad] = files.read_json(f'["cow", {entry}]')
    assert good.entry
    assert (bad.label, bad.entry, bad.problem) == ("2", None, problem)
