"""A ban from painting, in one server or everywhere, refuses every request of the member and says why."""

from typing import Any

import pytest
import simcord
from sqlalchemy import select, update

from limner.bot import submit
from limner.bot.cli.ban import ban as ban_everywhere
from limner.bot.errors import NotFound, Suspended
from limner.bot.options.ask import Ask
from limner.bot.place import OUTSIDE
from limner.bot.storage.erasures import Period
from limner.bot.storage.tables.moderation_tables import Ban
from tests.other_clients import told
from tests.simulated_discord import World


def embed_of(result: simcord.InteractionResult) -> str:
    assert result.response
    return str(result.response.embeds[0].to_dict())


async def test_a_banned_member_is_told_once_and_refused_everywhere_in_the_server(world: World):
    ada, grace = world.ada, world.grace
    painted = await world.painted("a fox")
    answer = await grace.slash(world.channel, "ban add", member=ada, why="spam", days=2)
    assert f"<@{ada.id}> may not paint here until <t:" in told(answer)
    [letter] = [message.content for message in ada.user.dm_channel.history()]
    assert letter.startswith("You may not paint in this server until <t:")
    assert letter.endswith(": spam")
    await world.restart()
    assert await world.refused("a cow") == letter
    assert told(await ada.click(world.message(painted), label="Reroll")) == letter
    assert letter in embed_of(await ada.slash(world.channel, "me"))
    assert (await submit.imagine(world.app, Ask(text="a cat", user_id=ada.id, where=OUTSIDE))).id
    listed = await grace.slash(world.channel, "ban list")
    assert "spam" in embed_of(listed)

    again = await grace.slash(world.channel, "ban add", member=ada)
    assert "until it is lifted" in told(again)
    assert "a moderator decided so" in await world.refused("a cow")
    assert await world.app.bans.count(world.guild.id) == 1
    assert "may paint here again" in told(await grace.slash(world.channel, "ban remove", member=ada))
    assert "is not banned" in told(await grace.slash(world.channel, "ban remove", member=ada))
    assert (await world.imagine("a cow")).user_id == ada.id


async def test_a_ban_ends_and_survives_erasing_everything(world: World):
    app, ada = world.app, world.ada
    await app.bans.ban(world.guild.id, ada.id, by=2, why="spam", until=None)
    erasure = await app.erasures.ask(Period(ada.id, 0.0, 4e9), is_all=True, takes_messages=False, locale="en-US")

    async def is_done() -> bool:
        found = await app.erasures.get(erasure.id)
        return found is not None and found.done_at is not None

    await world.until(is_done, "everything else is erased")
    assert "Bans from painting stay" in [message.content for message in ada.user.dm_channel.history()][-1]
    assert "spam" in await world.refused("a cow")
    async with app.database.begin() as session:
        await session.execute(update(Ban).values(until=1.0))
    assert (await world.imagine("a cow")).user_id == ada.id
    await app.erasures.finish(erasure)
    async with app.database.read() as session:
        assert (await session.scalars(select(Ban))).all() == []


async def test_an_operator_bans_everywhere(world: World, capsys: pytest.CaptureFixture[str]):
    app, ada = world.app, world.ada
    given: dict[str, Any] = {"days": None, "why": "", "as_json": True}
    await ban_everywhere(world.settings, ada.id, is_lifted=False, **given)
    assert f'"member": {ada.id}' in capsys.readouterr().out
    assert "until its operator lifts that: the bot's operator decided so" in await world.refused("a cow")
    with pytest.raises(Suspended):
        await submit.imagine(app, Ask(text="a cat", user_id=ada.id, where=OUTSIDE))
    await ban_everywhere(world.settings, ada.id, is_lifted=True, **given)
    assert (await world.imagine("a cow")).user_id == ada.id
    with pytest.raises(NotFound):
        await ban_everywhere(world.settings, ada.id, is_lifted=True, **given)
