"""Everything that Limner says fits into what Discord takes, whatever people have written."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot import limits
from limner.bot.limits import CHOICE, CONTENT, cut, first_lines, fit, key, length, named, some
from limner.bot.moderation.blocked_images import LONGEST_REMARK
from limner.bot.moderation.reviews import Record
from limner.bot.moderation.strikes import GivenStrike
from limner.bot.queue.estimate import Position
from limner.bot.reasons import HoldReason, JobStatus, ReviewState
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.filter_tables import FilterChange, RuleRow
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review, Strike, Suspension
from limner.bot.styles import Styles
from limner.bot.ui import rule_texts
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.job import job_messages
from limner.bot.ui.job.job_details import details
from limner.bot.ui.listing import Listing, with_file
from limner.bot.ui.review.review_cards import card_embed
from limner.bot.ui.suggestions import choices
from limner.generators.base import Expansion
from limner.generators.requests import GenerationRequest
from tests.discord_spec import complaints

STYLES = Styles.load()
MARKS = "*_~`|>#-[]()<@&!:\\/.,;\"' \n\u200b\u202e\u0301\ufdfd\U0001f98aab1"


def words(most: int) -> st.SearchStrategy[str]:
    """Marked-up texts of all lengths up to ``most`` (UTF-16 counts more), the longest ones above all."""

    def repeated(text: str, size: int) -> str:
        return (text * most)[:size]

    sizes = st.sampled_from([1, most // 2, most - 1, most])
    return st.builds(repeated, st.text(MARKS, min_size=1, max_size=12), sizes)


def assert_taken(*messages: str, embeds: Iterable[discord.Embed] = ()) -> None:
    for message in messages:
        assert complaints("POST", "/channels/1/messages", {"content": message}) == []
    for embed in embeds:
        assert complaints("POST", "/channels/1/messages", {"embeds": [embed.to_dict()]}) == []


@given(words(400), st.integers(1, 300))
def test_a_cut_text_is_no_longer_than_it_may_be(text: str, most: int) -> None:
    short = cut(text, most)
    assert length(short) <= most
    assert short == text or short.endswith("…")
    assert short.count("``") % 2 == 0 or short == text


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("a red fox", 9, "a red fox"),
        ("a red fox", 8, "a red f…"),
        ("a red fox", 6, "a red…"),
        ("\U0001f98a\U0001f98a\U0001f98a", 4, "\U0001f98a…"),
        ("see <@123456789>", 10, "see…"),
        ("until <t:1795990175:R> then", 24, "until <t:1795990175:R>…"),
        (r"a \* b", 4, "a…"),
        ("found `` some words `` here", 12, "found…"),
    ],
)
def test_marks_are_kept_whole_or_left_out(text: str, most: int, short: str) -> None:
    assert cut(text, most) == short


@given(st.lists(words(200), max_size=30), st.integers(60, 2000))
def test_lists_fit_and_keep_what_is_short(lines: list[str], most: int) -> None:
    whole = "\n".join(lines)
    assert length(fit(lines, most)) <= most
    text, left = first_lines(lines, most)
    assert length(text) <= most
    if length(whole) <= most:
        assert (fit(lines, most), text, left) == (whole, whole, 0)
    else:
        assert text.endswith(limits.REST.format(number=left))


def test_the_longest_text_gives_way_first() -> None:
    assert fit(["a" * 10, "b" * 50, "c"], 40) == f"{'a' * 10}\n{'b' * 26}…\nc"


@given(words(300))
def test_a_name_of_any_length_can_be_chosen(name: str) -> None:
    assert length(f"{99}:{key(name)}") <= CHOICE
    assert named(key(name), ["another", name]) == name
    assert named(name, ["another", name]) == name


def test_names_that_begin_alike_are_told_apart() -> None:
    one, other = "x" * 200 + "1", "x" * 200 + "2"
    assert [named(key(name), [one, other]) for name in (one, other)] == [one, other]


def test_of_many_names_some_are_told() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some([str(number) for number in range(130)], 3) == "0, 1, 2 and 127 more"


@given(words(300))
def test_suggestions_fit(name: str) -> None:
    made = [choice.to_dict() for choice in choices((name, name) for _ in range(40))]
    assert len(made) == limits.CHOICES
    if name.strip():
        assert complaints("POST", "/interactions/1/t/callback", {"type": 8, "data": {"choices": made}}) == []


@given(words(7000), st.lists(words(1500), max_size=30))
def test_an_embed_fits(text: str, fields: list[str]) -> None:
    assert_taken(embeds=[make_embed(text, text, [("Rules", field, False) for field in fields], footer=text)])


@given(st.lists(words(900), min_size=1, max_size=40))
def test_a_list_fits_with_all_its_lines(lines: list[str]) -> None:
    listed = [line.replace("\n", " ") for line in lines][:10]
    embed = Listing("Your requests", listed, 1, 4, "note").embed()
    assert_taken(embeds=[embed])
    assert len(str(embed.description).split("\n")) >= len(listed) - sum(not line.strip() for line in listed)
    text, files = with_file(["head"], lines, "all.txt")
    assert_taken(text)
    assert bool(files) == text.endswith(", in the file")


# What is said of requests, rules and members.


def request(text: str, **more: Any) -> Job:
    generation = GenerationRequest(
        prompt=text,
        negative_prompt=text,
        model=text[:300],
        width=512,
        height=512,
        num_inference_steps=10,
        guidance_scale=5.0,
        seed=2**32 - 5,
        num_images_per_prompt=4,
        loras=((text[:200], 0.7), (text[:200], 0.5)),
    )
    job = Job(created_at=time.time(), idea=text, request=generation.to_json(), input_name=text[:200], **more)
    job.id, job.parent_id, job.channel_id = 10**15, 10**15 - 1, 10**18
    job.expansion = Expansion(f"{text}, {text}", text, (), text[:80], 0.1, note=text[:200]).to_json()
    job.prompt, job.style, job.reason, job.seconds = f"{text}, {text}", text[:200], text[:1000], 1234.5
    return job


@given(words(2000), st.sampled_from(["paint", "describe", "finish"]))
def test_what_a_request_says_fits(text: str, kind: str) -> None:
    for status in JobStatus:
        job = request(text, status=status, kind=kind, step=3, steps=10)
        suffixes = ("", job_messages.NO_ATTACHING, job_messages.TOO_LARGE, job_messages.FILES_GONE)
        assert_taken(
            *(f"<@{10**18}>\n{job_messages.ended(job, STYLES, says_ai=True)}\n{suffix}" for suffix in suffixes)
        )
        why = job_messages.not_permitted(["View Channels", "Send Messages in Threads", "Attach Files"])
        assert_taken(job_messages.elsewhere(job, why), job_messages.painting(job), job_messages.held(job))
        assert_taken(job_messages.queued(job, Position(10**6, 10**6)), job_messages.quarantined(job))
        assert_taken(job_messages.named(job), embeds=[details(job, STYLES)])
        assert length(describe(job, says_ai=True)) <= limits.ALT_TEXT


def rule(text: str) -> RuleRow:
    scope = {name: [str(10**18 + i) for i in range(40)] for name in ("only_channels", "exempt_roles", "only_roles")}
    made = RuleRow(
        guild_id=1, pattern=text[:260], normal_form=text[:400], created_by=10**18, created_at=1.0, scope=scope
    )
    made.id, made.reason, made.replacement, made.expires_at = 10**15, text[:200], text[:100], 10**10
    return made


@given(words(300))
def test_what_is_said_of_rules_fits(text: str) -> None:
    one = rule(text)
    notes = [rule_texts.TWICE.format(id=10**15)] * 60
    card = rule_texts.card(one, notes)
    assert_taken(embeds=[card])
    assert "more" in str(card.description)
    as_json: dict[str, Any] = {
        name: getattr(one, name) for name in ("id", "pattern", "kind", "is_allow", "action", "reason", "scope")
    }
    before: dict[str, Any] = as_json | {"pattern": text[:200], "reason": text[1:200], "scope": {}, "is_allow": True}
    change = FilterChange(
        guild_id=1, at=1.0, by=10**18, what="edit", before={"rules": [before]}, after={"rules": [as_json]}
    )
    change.id = 10**15
    listed = make_embed("Log", fit([rule_texts.change(change)] * 10, limits.DESCRIPTION))
    rules = make_embed("Rules", fit([rule_texts.line(one)] * 20, limits.DESCRIPTION))
    assert_taken(embeds=[listed, rules])
    assert length(rule_texts.label(change)) <= CHOICE


@given(words(1000), st.sampled_from(ReviewState), st.booleans())
def test_a_review_card_fits(text: str, state: ReviewState, is_appeal: bool) -> None:
    review = Review(
        created_at=1.0, guild_id=1, user_id=10**18, job_id=10**15, is_appeal=is_appeal, why=HoldReason.FLAGGED
    )
    review.id, review.words, review.state = 10**15, text[:500], state
    review.decided_by, review.decided_at = 10**18, 1.0
    strike = Strike(guild_id=1, user_id=1, created_at=1.0, expires_at=10**10, given_by=1, why=text)
    suspension = Suspension(guild_id=1, user_id=1, strike_id=1, created_at=1.0, until=10**10)
    strike.id = 10**15
    rules, _ = first_lines([rule_texts.line(rule(text))] * 20, limits.FIELD)
    record = Record(10**9, 10**9, 10**9, 10**9)
    given, nearest = GivenStrike(strike, 99, suspension), text[: 2 * LONGEST_REMARK]
    assert_taken(embeds=[card_embed(review, request(text), rules, nearest, record, 99, given)])


@given(words(CONTENT))
def test_words_of_people_are_made_harmless_within_their_length(text: str) -> None:
    shown = job_messages.plain(text, 100)
    assert length(shown) <= 100
    assert "\n" not in shown
