"""House rules: members accept a server's text once, and what they typed goes on."""

from __future__ import annotations

from sqlalchemy import func, select

from limner.bot.storage import audit_log, member_data
from limner.bot.storage.tables.house_rules_tables import AcceptedRules
from tests.bot.test_server_settings import message, turn
from tests.other_clients import told
from tests.simulated_discord import World, labels, png, text_of

RULES = "Be kind.\nNo pictures of members without asking."


async def set_rules(world: World, text: str) -> None:
    """As a moderator does with /server."""
    shown = await turn(world, "rules")
    form = await world.grace.click(message(shown), custom_id="limner:server:form:rules")
    shown = await world.grace.submit_modal(form, {"house_rules": text})
    assert (text or "has no house rules") in text_of(message(shown))


async def test_a_request_waits_for_its_member_to_accept_and_goes_on(world: World) -> None:
    await set_rules(world, RULES)
    asked = await world.ada.slash(world.channel, "imagine", prompt="a red fox", image=("fox.png", png()))
    assert asked.ephemeral
    assert RULES in told(asked)
    assert labels(message(asked)) == ["Accept"]
    kept = await world.app.pending.get(1, world.ada.id)
    assert kept
    assert await world.app.pending.get(kept.id, world.bob.id) is None
    await world.restart()
    accepted = await world.ada.click(message(asked), label="Accept")
    job = await world.newest()
    assert (job.idea, job.user_id, job.generation.is_from_picture) == ("a red fox", world.ada.id, True)
    assert "is on its way" in message(accepted).content
    assert labels(message(accepted)) == [], "nothing is left to press twice"
    assert (await world.imagine("a blue fox")).idea == "a blue fox"


async def test_a_changed_text_asks_again_and_undo_brings_the_old_one_back(world: World) -> None:
    await set_rules(world, RULES)
    asked = await world.ada.slash(world.channel, "imagine", prompt="a red fox")
    await set_rules(world, "Be kinder.")
    late = await world.ada.click(message(asked), label="Accept")
    assert "Be kinder." in told(late), "the text that was shown is not the server's any more"
    assert await world.app.history.page(None, every_status=True, limit=1) == []
    await world.ada.click(message(late), label="Accept")
    change = (await audit_log.page(world.app.database, world.guild.id)).changes[0]
    await world.app.filters.undo(world.guild.id, change.id, world.grace.id)
    assert RULES in await world.refused("a third fox")
    await set_rules(world, "")
    assert await world.imagine("a fourth fox")


async def test_buttons_ask_too_and_what_a_member_accepted_is_the_members(world: World) -> None:
    job = await world.painted("a red fox")
    await set_rules(world, RULES)
    asked = await world.ada.click(world.message(job), label="Reroll")
    assert RULES in told(asked)
    accepted = await world.ada.click(message(asked), label="Accept")
    assert "You have accepted" in message(accepted).content
    await world.ada.click(world.message(job), label="Reroll")
    assert (await world.newest()).parent_id == job.id
    [section] = [one for one in member_data.sections(world.ada.id) if one.name == "accepted_rules"]
    async with world.app.database.begin() as session:
        assert len((await session.execute(section.rows(None, 10))).all()) == 1
        await member_data.erase_own(session, world.ada.id)
        assert await session.scalar(select(func.count()).select_from(AcceptedRules)) == 0
    again = await world.ada.click(world.message(job), label="Reroll")
    assert RULES in told(again)
