"""A server whose moderators look at requests: the review channel, its cards, and pressing their buttons."""

from __future__ import annotations

from typing import Any

import discord
import simcord
from sqlalchemy import update

from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from tests.simulated_discord import World


def moderator(world: World, name: str) -> simcord.MemberActor:
    """One more member with Manage Server."""
    role = world.guild.create_role(f"{name}s", permissions=discord.Permissions(manage_guild=True))
    return world.guild.add_member(world.env.create_user(name), roles=[role])


async def show_to(world: World, role: simcord.RoleHandle, *names: str) -> None:
    """Let a role use commands in the server's own settings, as its owner does under Integrations."""
    for command in await world.bot.tree.fetch_commands():
        if command.name in names:
            world.guild.set_command_permissions(command, {role: True})


async def choose_channel(world: World, **settings: Any) -> simcord.ChannelHandle:
    """Make the channel for review cards, and choose it."""
    channel = world.guild.create_text_channel("reviews")
    await world.app.guilds.change(world.guild.id, world.grace.id, review_channel_id=channel.id, **settings)
    return channel


async def kept_back(world: World, why: str = "flagged", prompt: str = "a red fox", **options: Any) -> Job:
    """A painted request that waits for a moderator."""
    job = await world.imagine(prompt, **options)
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(quarantine=why))
    await world.finish(await world.claim())
    return await world.app.jobs.get(job.id)


async def carded(world: World, job: Job) -> Review:
    """Wait until the newest review of a request is in the review channel; its row then."""

    async def posted() -> Review | None:
        reviews = await world.app.reviews.of_member(world.guild.id, job.user_id)
        return next((one for one in reviews if one.job_id == job.id and one.message_id and one.shown), None)

    review = await world.until(posted, f"the card of request {job.id}")
    assert review
    return review


async def settled(world: World, review: Review) -> Review:
    """Wait until a decision is carried out and the card shows it; the row then."""

    async def shown() -> Review | None:
        row = await world.app.reviews.get(review.id)
        return row if row.shown == row.state != "open" else None

    row = await world.until(shown, f"review {review.id} is settled")
    assert row
    return row


def card(channel: simcord.ChannelHandle, review: Review) -> discord.Message:
    """The card as moderators see it now."""
    return next(message for message in channel.history() if message.id == review.message_id)


async def press(
    channel: simcord.ChannelHandle, review: Review, verb: str, who: simcord.MemberActor
) -> simcord.InteractionResult:
    """Press one of the card's buttons."""
    return await who.click(card(channel, review), custom_id=f"limner:review:{verb}:{review.id}")


def fields(message: discord.Message) -> dict[str | None, str | None]:
    """The parts of a card."""
    [embed] = message.embeds
    return {field.name: field.value for field in embed.fields}


def told(result: simcord.InteractionResult) -> str:
    """The sentence that only the one who pressed sees."""
    answers = [*([result.response] if result.response else []), *result.followups]
    assert answers[-1].ephemeral
    return answers[-1].content
