"""What members make of one picture of a request: for whom, after a restart, and by two clicks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import simcord
from sqlalchemy import update

from limner.bot.errors import NotYours
from limner.bot.reasons import JobKind
from limner.bot.storage.models import Job
from tests.simulated_discord import World, labels, text_of

SIZE = (160, 112)
MADE: Mapping[str, Mapping[str, Any]] = {
    "Vary subtle": {"strength": 0.35, "kind": JobKind.PAINT, "action": "vary_subtle", "size": SIZE},
    "Vary strong": {"strength": 0.7, "kind": JobKind.PAINT, "action": "vary_strong", "size": SIZE},
    "Upscale 2x": {"strength": None, "kind": JobKind.FINISH, "action": "upscale", "size": SIZE},
    "Upscale 4x": {"strength": None, "kind": JobKind.FINISH, "action": "upscale", "size": SIZE},
}
"""What a button's request has."""


async def painted(world: World, count: int = 2) -> Job:
    """A posted request of ada's, with several pictures."""
    job = await world.imagine("a red fox --ar 3:2", count=count, seed=5)
    [claimed] = await world.app.jobs.claim("painter", capacity=10**6)
    await world.finish(claimed, count=count, size=SIZE)
    return await world.delivered(job)


async def opened(world: World, job: Job, who: simcord.MemberActor, number: int = 2) -> simcord.InteractionResult:
    """Press a picture's number; its private actions."""
    shown = await who.click(world.message(job), custom_id=f"limner:picture:{job.id}:{number}")
    assert shown.response
    assert shown.ephemeral
    return shown


async def press(shown: simcord.InteractionResult, who: simcord.MemberActor, label: str) -> simcord.InteractionResult:
    assert shown.response
    return await who.click(shown.response, label=label)


async def test_every_action_makes_a_request_of_the_member_who_presses(world: World) -> None:
    first = await painted(world)
    picture = first.images[1]
    for who in (world.ada, world.bob, world.grace):
        shown = await opened(world, first, who)
        await world.restart()
        for label, wanted in MADE.items():
            result = await press(shown, who, label)
            job = await world.newest()
            assert result.response
            assert (result.ephemeral, job.message_id) == (False, result.response.id), label
            assert (job.user_id, job.parent_id, job.parent_picture) == (who.id, first.id, 2), label
            request = job.generation
            assert (job.kind, job.action, request.strength) == (wanted["kind"], wanted["action"], wanted["strength"])
            assert (request.size, request.count, job.idea) == (wanted["size"], 1, "a red fox"), label
            assert request.init_image == (picture.sha256 if job.kind == JobKind.PAINT else None)
            assert (request.seed == picture.seed) == (job.kind == JobKind.FINISH)
            await who.click(world.message(job), label="Cancel")


async def test_two_clicks_are_two_requests_within_the_members_limit(world: World) -> None:
    first = await painted(world)
    shown = await opened(world, first, world.bob)
    most = world.settings.max_jobs_per_user
    for number in range(1, most + 1):
        assert not (await press(shown, world.bob, "Vary subtle")).ephemeral
        assert (await world.newest()).id == first.id + number
    assert (await press(shown, world.bob, "Vary subtle")).ephemeral
    assert (await world.newest()).id == first.id + most


async def test_a_result_says_of_which_picture_it_is_made_and_by_whom(world: World) -> None:
    first = await painted(world)
    await press(await opened(world, first, world.bob), world.bob, "Vary subtle")
    [claimed] = await world.app.jobs.claim("painter", capacity=10**6)
    await world.finish(claimed)
    said = text_of(world.message(await world.delivered(await world.newest())))
    assert f"-# subtle variation of picture 2 of request {first.id} by <@{world.bob.id}>" in said


async def test_a_server_may_leave_pictures_to_their_owners(world: World) -> None:
    first = await painted(world)
    shown = await opened(world, first, world.bob)
    told = await world.grace.slash(world.channel, "pictures sharing", who="owner")
    assert told.response
    assert told.response.content.startswith("Only the member who asked")
    for result in (
        await press(shown, world.bob, "Vary subtle"),
        await world.bob.click(world.message(first), label="1"),
    ):
        assert result.response
        assert (result.ephemeral, result.response.content) == (True, str(NotYours()))
    assert not (await press(await opened(world, first, world.ada), world.ada, "Vary subtle")).ephemeral


async def test_a_picture_that_nobody_sees_any_more_makes_nothing(world: World) -> None:
    first = await painted(world)
    shown = await opened(world, first, world.bob)
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == first.id).values(quarantine="flagged"))
    result = await press(shown, world.bob, "Vary subtle")
    assert result.response
    assert "not posted yet" in result.response.content
    assert (await world.newest()).id == first.id
    await world.app.history.delete(first.id)
    result = await press(shown, world.bob, "Vary subtle")
    assert result.response
    assert "not there any more" in result.response.content
    assert await world.app.history.page(None, every_status=True) == []


async def test_buttons_of_one_picture_stand_under_the_message_of_one(world: World) -> None:
    first = await painted(world, 1)
    assert labels(world.message(first))[0] == "Picture"
    assert not (await press(await opened(world, first, world.ada, 1), world.ada, "Upscale 4x")).ephemeral
    assert (await world.newest()).generation.finish
