"""Rules about what requests mean: /filter policy, what members and moderators meet, and the text classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot.cli.doctor.text_classifier import text_classifier
from limner.bot.errors import BadRule, SetupError
from limner.bot.filters.rulebook.entries import Entry, read_entry
from limner.bot.filters.rules import RuleAction, RuleKind
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.worker.prepare import settle_prompt
from limner.generators.language.expanders import NoExpander
from limner.generators.text_classifiers import (
    EXAMPLES,
    MOST_PIECES,
    PIECE_LENGTH,
    SHIPPED,
    ExampleClassifier,
    Head,
    pieces,
    read_examples,
)
from tests.benchmarks.policies import HELD_OUT, measure
from tests.bot.test_filter_commands import command, fill, read, told
from tests.reviewing import card, carded, choose_channel, fields, press, settled
from tests.simulated_discord import World, opened

FIGHT = "outlaws gun down the sheriff outside the saloon"
"""No word of it is in a pack, and it is not among the examples."""
EXPLAINED = "% sure; its nearest examples: ``"


async def prepared(world: World, prompt: str) -> Job:
    """What becomes of a request before it is painted."""
    await world.imagine(prompt)
    job = await world.claim()
    await settle_prompt(world.app, NoExpander(), job)
    return await world.app.jobs.get(job.id)


async def test_a_policy_holds_requests_for_a_moderator_who_reads_why(world: World) -> None:
    channel = await choose_channel(world)
    shown = await fill(world, await command(world, "policy"), requests=["violence"], what_happens=["flag"])
    assert "requests about violence, from 70 %" in read(shown)
    tested = await told(world, "test", text=FIGHT)
    assert "would wait for a moderator" in tested
    assert EXPLAINED in tested
    assert "is allowed here" in await told(world, "test", text="a red fox in the snow")
    job = await prepared(world, FIGHT)
    await world.finish(job)
    review = await carded(world, job)
    assert EXPLAINED in str(fields(card(channel, review))["Rules"])
    await press(channel, review, "approve", world.grace)
    await settled(world, review)
    assert (await world.delivered(job)).images


async def test_a_blocked_request_can_be_appealed(world: World) -> None:
    channel = await choose_channel(world)
    entry = Entry(pattern="violence 70", kind=RuleKind.POLICY, action=RuleAction.BLOCK, reason="We are a calm place.")
    await world.app.filters.put(world.guild.id, entry, world.grace.id)
    job = await prepared(world, FIGHT)
    assert (job.status, job.reason_code) == (JobStatus.REFUSED, "filter:policy-violence")
    assert "is about violence, as the text classifier reads it" in str(job.reason)
    assert "We are a calm place." in str(job.reason)
    await world.app.appeals.appeal(job.id, world.ada.id, "It is a play for a school.")
    review = await carded(world, job)
    await press(channel, review, "approve", world.grace)
    await settled(world, review)
    again = await world.claim()
    assert again.id == job.id
    assert await settle_prompt(world.app, NoExpander(), again), "the moderator's decision counts"


async def test_a_policy_counts_only_where_it_says_and_can_be_undone(world: World) -> None:
    shown = await fill(world, await command(world, "policy"), requests=["violence"], what_happens=["block"])
    [rule] = await world.app.filters.all(world.guild.id)
    assert (await prepared(world, FIGHT)).status == JobStatus.REFUSED
    assert shown.response
    replayed = await world.grace.click(shown.response, label="Replay")
    assert "would have stopped 1 of the last 1 requests" in read(replayed)
    await fill(world, await command(world, "edit", rule=str(rule.id)), how_sure=["90"], what_happens=["log"])
    assert (await world.app.filters.get(world.guild.id, rule.id)).pattern == "violence 90"
    assert "requests about violence, from 90 %" in await told(world, "list")
    assert "violence 70 ``" in await told(world, "log")
    await world.app.filters.edit(world.guild.id, rule.id, 1, pattern="violence 50")
    await world.app.filters.exempt(world.guild.id, rule.id, 1, channels=[world.channel.id])
    assert (await prepared(world, FIGHT)).rule_ids == []


@pytest.mark.parametrize("classifier", ["a-package-that-is-not-there", "off", "guard"])
async def test_without_a_classifier_the_bot_goes_on(settings: Settings, classifier: str) -> None:
    nowhere = {"text_classifier_url": "http://127.0.0.1:9/v1", "text_classifier_model": "guard"}
    async with opened(settings.using(text_classifier=classifier, text_classifier_timeout=0.5, **nowhere)) as world:
        shown = await fill(world, await command(world, "policy"), requests=["violence"], what_happens=["block"])
        assert ("so this rule finds nothing" in read(shown)) == (classifier != "guard")
        assert (await prepared(world, FIGHT)).status == JobStatus.RUNNING
        assert (await text_classifier(world.settings)).status == ("ok" if classifier == "off" else "warn")


async def test_what_ships_finds_most_of_what_it_has_not_seen() -> None:
    measured = await measure()
    for policy, precision, recall in (
        ("violence", 0.88, 0.6),
        ("sexual", 0.95, 0.6),
        ("minors", 0.9, 0.6),
        ("hate", 0.8, 0.5),
        ("self-harm", 0.85, 0.45),
        ("politics", 0.95, 0.7),
    ):
        right, found = map(float, measured.figures(policy, 70).split(" / "))
        assert (right >= precision, found >= recall) == (True, True), (policy, right, found)
    assert int(measured.false_alarms(70).split()[0]) <= 6


def test_no_held_out_text_was_learnt() -> None:
    learnt = {one.text.casefold() for one in read_examples(SHIPPED / EXAMPLES)}
    assert not learnt & {one.text.casefold() for one in read_examples(HELD_OUT)}


def test_a_head_of_other_examples_is_not_loaded(tmp_path: Path) -> None:
    head = Head.load(SHIPPED)
    (tmp_path / EXAMPLES).write_text("[violence en]\na fight\n", "utf-8")
    head.save(tmp_path)
    with pytest.raises(ValueError, match="other examples"):
        Head.load(tmp_path)
    (tmp_path / "bad").write_text("[weather en]\nrain\n", "utf-8")
    with pytest.raises(ValueError, match="weather"):
        read_examples(tmp_path / "bad")


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"pattern": "violence"}, "name and a percentage"),
        ({"pattern": "weather 70"}, "name and a percentage"),
        ({"pattern": "hate 70", "action": "replace", "replacement": "love"}, "choose another action"),
        ({"pattern": "hate 70", "strict": True}, "strict"),
    ],
)
def test_what_a_policy_cannot_be(written: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadRule, match=complaint):
        read_entry({"kind": "policy", **written})
    with pytest.raises(BadRule, match="allow list"):
        read_entry({"kind": "policy", "pattern": "hate 70"}, is_allow=True)


def test_a_policy_in_a_rule_file_is_written_as_it_is_read() -> None:
    entry = read_entry({"kind": "policy", "pattern": " self-harm  80% ", "action": "flag"})
    assert entry.pattern == "self-harm 80"
    assert read_entry(entry.to_json()) == entry


def test_a_guard_needs_a_server(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="text_classifier_url"):
        Settings(data=tmp_path, text_classifier="guard").check()


@given(st.text(st.sampled_from("ab,. 。、\n"), max_size=4000))
def test_the_pieces_of_a_text_are_few_and_leave_nothing_out(text: str) -> None:
    whole, *parts = pieces(text)
    assert whole == text
    assert len(parts) < MOST_PIECES
    assert "".join(parts) == (text if parts else "")
    assert max(map(len, parts[: MOST_PIECES - 2]), default=0) <= PIECE_LENGTH


@pytest.mark.parametrize("many", ["red foxes in the snow " * 65, "雪中的狐狸" * 290], ids=["en", "zh"])
async def test_words_without_commas_hide_nothing(many: str) -> None:
    classifier = ExampleClassifier.create(model="", url="", api_key="", timeout=5)
    [scores] = await classifier.classify([f"{many[:700]} {FIGHT} {many[700:]}"])
    await classifier.close()
    assert {one.policy for one in scores if one.score >= 0.7} == {"violence"}
