"""The same idea, re-spelled: found, and an honest change left alone."""

import re
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import insert, update

from limner.bot.filters.disguises import respelled
from limner.bot.filters.work import Work
from limner.bot.moderation import refusals
from limner.bot.options.ask import read
from limner.bot.queue.enqueue import row
from limner.bot.storage.tables.models import Job
from tests.reviewing import choose_channel
from tests.rows import asked
from tests.simulated_discord import World

REFUSED = "a naked woman on the beach at sunset"


def is_respelled(idea: str, refused: str, forbidden: Sequence[str]) -> bool:
    """With the forbidden parts by their words, wherever these stand."""
    spans = [match.span() for part in forbidden for match in re.finditer(re.escape(part), refused)]
    return respelled.is_respelled(idea, refused, spans, Work.of([idea, refused]))


@pytest.mark.parametrize(
    "idea",
    [
        "a nekkid woman on the beach at sunset",
        "a nkd woman on the beach at sunset",
        "A NAQUED woman on the beach at sunset, 4k",
        "a naaakkked woman on a beach at sunset",
        "a n a k e d woman on the beach at sunset",
        "a na-ked woman at the beach, sunset",
        "a n4k3d woman on the beach at sunset",
        "a nak3dd woman on the beach",
        "a nakedwoman on the beach at sunset",
        "a N4k3dW0man on the beach at sunset",
        "anakedwomanonthebeachatsunset",
        "a n a k e d w o m a n o n t h e b e a c h a t s u n s e t",
        "a ηαked woman on the beach at sunset",
    ],
)
def test_the_forbidden_word_spelled_another_way(idea: str) -> None:
    assert is_respelled(idea, REFUSED, ["naked"])


@pytest.mark.parametrize(
    "idea",
    [
        "a woman on the beach at sunset",
        "a clothed woman on the beach at sunset",
        "a baked woman on the beach at sunset",
        "a woman standing on the beach at sunset",
        "a happy woman in a bikini on the beach at sunset",
        "a nekkid mole rat in a laboratory",
        "a red fox",
        REFUSED,
    ],
)
def test_an_honest_change_or_another_idea(idea: str) -> None:
    assert not is_respelled(idea, REFUSED, ["naked"])


def test_an_idea_of_the_one_word_and_one_without_a_forbidden_part() -> None:
    assert is_respelled("gorre", "gore", ["gore"])
    assert not is_respelled("core", "gore", ["gore"])
    assert not is_respelled("gorre", "gore", [])


@pytest.mark.parametrize(
    ("idea", "is_evasion"),
    [
        ("一个锣体女人在海滩上，日落", True),
        ("一个luoti女人在海滩上，日落", True),
        ("一个女人在海滩上，日落", False),
        ("一个快乐女人在海滩上，日落", False),
        ("一只红狐狸", False),
    ],
)
def test_a_script_without_spaces(idea: str, is_evasion: bool) -> None:
    assert is_respelled(idea, "一个裸体女人在海滩上，日落", ["裸体"]) == is_evasion


def test_what_is_allowed_by_now_or_has_no_letters_is_no_spelling() -> None:
    assert not is_respelled("a qoqo in the snow", "a qoqo in the snow", ["qoqo"])
    assert not is_respelled("a 🎈 in the snow", "a 🔫 in the snow", ["🔫"])


def test_a_phrase() -> None:
    assert is_respelled("a severedhead in the snow", "a severed head in the snow", ["severed head"])
    assert is_respelled("a sev3red hedd in the snow", "a severed head in the snow", ["severed head"])
    assert not is_respelled("a proud head in the snow", "a severed head in the snow", ["severed head"])


# What is remembered of a member's refusals.

BEACH, NEKKID = "a naked woman on the beach at sunset", "a nekkid woman on the beach at sunset"


async def refused(world: World, count: int, *, minutes_ago: float = 0.0) -> None:
    """So many other refusals, as rows."""
    new = read(world.app, asked(text="a naked mole rat", user_id=world.ada.id, guild_id=world.guild.id))
    async with world.app.database.begin() as session:
        at = {"created_at": time.time() - 60 * minutes_ago, "status": "refused", "reason_code": "filter:idea"}
        await session.execute(insert(Job), [row(new) | at | {"turn": 0.0} for _ in range(count)])


async def strict(world: World, **settings: Any) -> None:
    await choose_channel(world, **settings)
    await world.app.filters.add(world.guild.id, "naked", world.grace.id)


async def test_other_refusals_do_not_make_one_forgotten(world: World) -> None:
    await strict(world)
    await world.refused(BEACH)
    await refused(world, 28)
    assert (await world.imagine(NEKKID)).quarantine == "evasion"


async def test_a_refusal_that_is_deleted_is_not_forgotten(world: World) -> None:
    await strict(world)
    await world.refused(BEACH)
    await world.app.history.delete((await world.newest()).id)
    assert (await world.imagine(NEKKID)).quarantine == "evasion"


async def test_who_tries_out_the_rules_has_to_wait_and_leaves_no_more_rows(world: World) -> None:
    await strict(world)
    await refused(world, refusals.MOST - 1)
    assert "filter:idea" in await world.refused(BEACH)
    newest = (await world.newest()).id
    assert "too many" in (await world.refused(BEACH)).casefold()
    assert (await world.newest()).id == newest
    assert "filter:idea" in await world.refused(BEACH, world.bob)
    await world.imagine("a fox")
    async with world.app.database.begin() as session:
        await session.execute(update(Job).values(created_at=time.time() - refusals.MOST_SECONDS - 1))
    assert "filter:idea" in await world.refused(BEACH)


async def test_more_refusals_than_can_be_compared_keep_everything_back(world: World) -> None:
    await strict(world, evasion_minutes=1440)
    await refused(world, refusals.REMEMBERED, minutes_ago=30)
    await world.imagine("a fox")
    await refused(world, 1, minutes_ago=20)
    assert "too many" in (await world.refused("a fox")).casefold()
    await world.imagine("a fox", world.bob)
    await world.app.guilds.change(world.guild.id, 1, evasion_minutes=15)
    await world.imagine("a fox")
