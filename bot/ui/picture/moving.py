"""Move: a moderator takes finished pictures with their message to an age-restricted channel of the server."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.errors import BadOption, CannotPost, Decided, NotYours
from limner.bot.place import Where
from limner.bot.posted_pictures import check_posted
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NOT_OFFERED, NUMBER, ForOwner
from limner.bot.ui.interactions import is_age_restricted, lacking, parents_of, tell
from limner.bot.ui.job.job_buttons import take_away

Interaction = discord.Interaction[Any]
Channel = discord.TextChannel | discord.Thread

WHERE_TO = N_("To which age-restricted channel do request {job} and its pictures go?")
NOT_RESTRICTED = N_("#{channel} is not age-restricted; choose a channel that is.")
HERE_ALREADY = N_("The pictures are in that channel already.")
NOT_YOURS_THERE = N_("You may not write in #{channel}; choose a channel in which you may.")
NOT_ALLOWED_THERE = N_("These pictures are not allowed in #{channel} either; Hide or delete them.")
WAITS = N_("A moderator has yet to decide about that request, so it stays where it is.")
ELSEWHERE = N_("These pictures are in another channel by now.")
MOVED = N_("Request {job} goes to <#{channel_id}> with its pictures.")


class MoveChoice(ForOwner[discord.ui.ChannelSelect[Any]], template=rf"limner:move:(?P<job>{NUMBER})"):
    """Selects the channel; for members with Manage Messages where the pictures are. Survives restarts."""

    def __init__(self, job_id: int) -> None:
        select = discord.ui.ChannelSelect[Any](
            custom_id=f"limner:move:{job_id}",
            channel_types=[discord.ChannelType.text, discord.ChannelType.public_thread],
        )
        super().__init__(select)
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made, in whichever process it was offered."""
        return cls(int(match["job"]))

    @property
    def is_for_cleaners(self) -> bool:
        """Moderators move others' pictures."""
        return True

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Move the request's message."""
        await _check(interaction, app, job)
        channel = await _checked(interaction, app, job, self.item.values[0].id)
        await interaction.response.defer()
        place = Where(job.guild_id, channel.id, parents_of(channel), (), is_age_restricted=True)
        if not await app.outbox.move(job.id, job.channel_id or 0, place):
            raise Decided(_(ELSEWHERE))
        app.jobs.changed.hear()
        text = _(MOVED, job=job.id, channel_id=channel.id) + await take_away(interaction, job)
        await interaction.edit_original_response(content=text, view=None)


async def ask_where_to(interaction: Interaction, app: App, job: Job) -> None:
    """Offer the server's channels to a moderator; raises NotYours for others."""
    await _check(interaction, app, job)
    view = discord.ui.View(timeout=None).add_item(MoveChoice(job.id))
    await tell(interaction, _(WHERE_TO, job=job.id), view=view)


def may_move(interaction: Interaction, job: Job) -> bool:
    """Whether a member may move a request: with Manage Messages where it is; private ones are not in a channel."""
    is_here = (job.guild_id, job.channel_id) == (interaction.guild_id, interaction.channel_id)
    return bool(job.guild_id and is_here and not job.is_private and interaction.permissions.manage_messages)


async def _check(interaction: Interaction, app: App, job: Job) -> None:
    if not may_move(interaction, job):
        raise NotYours
    check_posted(job)
    if await app.reviews.waits(job.id):
        raise BadOption(_(WAITS))


async def _checked(interaction: Interaction, app: App, job: Job, channel_id: int) -> Channel:
    """The channel, if the pictures may go there; raises UserError otherwise."""
    guild, member = interaction.guild, interaction.user
    channel = guild.get_channel_or_thread(channel_id) if guild else None
    if guild is None or not isinstance(channel, Channel) or not isinstance(member, discord.Member):
        raise BadOption(_(NOT_OFFERED))
    if not is_age_restricted(channel):
        raise BadOption(_(NOT_RESTRICTED, channel=channel.name))
    if channel.id == job.channel_id:
        raise BadOption(_(HERE_ALREADY))
    rights = channel.permissions_for(member)
    if not (rights.view_channel and rights.send_messages):
        raise BadOption(_(NOT_YOURS_THERE, channel=channel.name))
    if missing := lacking(channel.permissions_for(guild.me), channel):
        raise CannotPost(missing)
    if await app.image_policy.objection(job, Where(job.guild_id, channel.id, is_age_restricted=True)):
        raise BadOption(_(NOT_ALLOWED_THERE, channel=channel.name))
    return channel
