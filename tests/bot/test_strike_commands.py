"""/strike, /me and suspensions, as moderators and members meet them."""

import time

import pytest
import simcord
from sqlalchemy import update

from limner.bot.errors import NotModerator
from limner.bot.storage.tables.moderation_tables import Strike, Suspension
from limner.bot.ui.review import review_poster
from tests.reviewing import carded, choose_channel, kept_back, moderator, press, settled, show_to
from tests.simulated_discord import World


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_poster, "POLL_SECONDS", 0.1)


async def told(world: World, command: str, who: simcord.MemberActor | None = None, **options: object) -> str:
    result = await (who or world.grace).slash(world.channel, f"strike {command}", **options)
    assert result.response
    assert result.ephemeral
    return result.response.content or str(result.response.embeds[0].description)


async def me(world: World, who: simcord.MemberActor) -> dict[str, str]:
    """What a member reads about oneself."""
    result = await who.slash(world.channel, "me")
    assert result.response
    assert result.ephemeral
    [embed] = result.response.embeds
    return {str(field.name): str(field.value) for field in embed.fields}


async def test_strikes_are_given_shown_and_taken_back(world: World) -> None:
    answer = await told(world, "add", member=world.ada, why="spam")
    assert answer.startswith("Strike 1 is given and expires <t:")
    assert "**1** · spam · by <@" in await told(world, "list")
    assert "no strikes" in await told(world, "list", member=world.bob)
    assert (record := await me(world, world.ada))["Strikes"].startswith("1 · spam · expires <t:")
    assert "A member with 3 strikes may not paint for 24 hours, and twice as long each" in record["In this server"]
    await choose_channel(world, evasion="strike")
    assert "in another spelling within 10 minutes brings a strike." in (await me(world, world.ada))["In this server"]
    [choice] = await world.grace.autocomplete(world.channel, "strike remove", "strike", "sp")
    assert (choice["value"], choice["name"]) == (1, "1: spam")
    assert await told(world, "remove", strike=1) == f"Strike 1 of <@{world.ada.id}> (spam) is taken back."
    assert "no such strike" in await told(world, "remove", strike=1)
    assert list(await me(world, world.ada)) == ["Requests", "Expansion", "Your uploads", "In this server"]


async def test_each_suspension_is_twice_as_long_and_ends_with_its_strike(world: World) -> None:
    for _ in range(2):
        await told(world, "add", member=world.ada)
    answer = await told(world, "add", member=world.ada)
    first = await world.app.strikes.suspension(world.guild.id, world.ada.id)
    assert first
    assert first.until - first.created_at == 24 * 3600
    assert f"may not paint until <t:{first.until:.0f}:f>" in answer
    assert (await me(world, world.ada))["Suspended"].startswith(f"until <t:{first.until:.0f}:f>")
    assert f"until <t:{first.until:.0f}:f>" in await world.refused()

    await told(world, "add", member=world.ada)
    second = await world.app.strikes.suspension(world.guild.id, world.ada.id)
    assert second
    assert second.until - second.created_at == 48 * 3600
    await told(world, "remove", strike=4)
    await told(world, "remove", strike=3)
    await world.imagine()


@pytest.mark.slow
async def test_strikes_and_suspensions_end_by_themselves(world: World) -> None:
    for _ in range(3):
        await told(world, "add", member=world.ada)
    async with world.app.database.begin() as session:
        await session.execute(update(Strike).values(expires_at=time.time() - 1))
        await session.execute(update(Suspension).values(until=time.time() - 1))
    await world.imagine()
    assert list(await me(world, world.ada)) == ["Requests", "Expansion", "In this server"]


@pytest.mark.slow
async def test_another_servers_strikes_are_out_of_reach(world: World) -> None:
    settings = await world.app.guilds.get(1)
    for _ in range(3):
        await world.app.strikes.give(1, world.ada.id, by=2, why="there", settings=settings)
    assert "no such strike" in await told(world, "remove", strike=1)
    assert "no strikes" in await told(world, "list")
    await world.imagine()


@pytest.mark.slow
@pytest.mark.parametrize("may", [True, False])
async def test_a_suspended_member_is_timed_out_on_discord_where_that_is_possible(world: World, may: bool) -> None:
    channel = await choose_channel(world, strike_limit=1, times_out=True)
    if not may:
        world.env.inject_error("PATCH", "/guilds/*/members/*", status=403, code=50013)
    review = await carded(world, await kept_back(world))
    await press(channel, review, "strike", world.grace)
    await settled(world, review)
    member = await world.bot.get_guild(world.guild.id).fetch_member(world.ada.id)  # type: ignore[union-attr]
    assert member.is_timed_out() == may
    decision = channel.history()[0].embeds[0].fields[-1].value or ""
    assert ("timed out on Discord too" in decision) == may
    assert ("was not possible" in decision) == (not may)


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["below", "above"])
async def test_the_bot_times_nobody_out_for_who_is_below_them(world: World, rank: str) -> None:
    channel = await choose_channel(world, strike_limit=1, times_out=True)
    high, low = world.guild.create_role("High"), world.guild.create_role("Low")  # a new one is the lowest
    await world.app.guilds.change(world.guild.id, 1, moderator_role_ids=(low.id, high.id))
    helper = world.guild.add_member(world.env.create_user("hal"), roles=[low if rank == "below" else high])
    member = world.guild.add_member(world.env.create_user("eve"), roles=[high if rank == "below" else low])
    review = await carded(world, await kept_back(world, who=member))
    await press(channel, review, "strike", helper)
    await settled(world, review)
    assert await world.app.strikes.suspension(world.guild.id, member.id)
    found = await world.bot.get_guild(world.guild.id).fetch_member(member.id)  # type: ignore[union-attr]
    assert found.is_timed_out() == (rank == "above")
    decision = channel.history()[0].embeds[0].fields[-1].value or ""
    assert ("one of the moderator's above the member's" in decision) == (rank == "below")


async def test_nobody_but_who_has_manage_server_decides_about_oneself(world: World) -> None:
    role = world.guild.create_role("Helpers")
    helper = world.guild.add_member(world.env.create_user("hal"), roles=[role])
    await show_to(world, role, "strike")
    assert str(NotModerator()) == await told(world, "list", helper)
    channel = await choose_channel(world, moderator_role_ids=(role.id,))
    assert "no strikes" in await told(world, "list", helper)
    assert "about yourself" in await told(world, "add", helper, member=helper)
    await told(world, "add", member=helper)
    assert "about yourself" in await told(world, "remove", helper, strike=1)
    review = await carded(world, await kept_back(world, who=helper))
    pressed = await press(channel, review, "approve", helper)
    assert pressed.response
    assert "about yourself" in pressed.response.content
    assert (await world.app.reviews.get(review.id)).state == "open"

    own = await carded(world, await kept_back(world, who=world.grace))
    await press(channel, own, "approve", world.grace)
    assert (await settled(world, own)).state == "approved"


async def test_a_moderator_who_lost_the_role_is_told_so(world: World) -> None:
    channel = await choose_channel(world)
    alan = moderator(world, "alan")
    review = await carded(world, await kept_back(world))
    guild = world.bot.get_guild(world.guild.id)
    assert guild
    member = await guild.fetch_member(alan.id)
    await member.remove_roles(*member.roles[1:])
    pressed = await press(channel, review, "approve", alan)
    assert pressed.response
    assert pressed.response.content == str(NotModerator())
    assert (await world.app.reviews.get(review.id)).state == "open"
