"""Helpers for all commands and buttons: the App, the place, rights, private and public answers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any

import discord
from discord import app_commands

from limner.bot import posted_pictures
from limner.bot.app import App
from limner.bot.errors import CannotPost, NotModerator, NotYours, UserError
from limner.bot.place import Where
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _, speak, speaking

Interaction = discord.Interaction[Any]

OWNERS_ONLY = N_("Only members with Manage Server can change that.")
NOT_YOUR_OWN = N_("That is about yourself; another moderator can do it, or a member with Manage Server.")
SILENT = discord.AllowedMentions.none()
"""No mentions: nothing that Limner writes pings anybody."""
THINKING = "limner_thinking"
"""Marks an interaction whose answer still shows "thinking"; true if that is private."""
LANGUAGES = "limner_languages"
"""Keeps Discord's own locales of the member and the server beside those that they have chosen."""
WITHDRAWN = "…"
"""Stands in a deferred answer for the moment before it is deleted."""


AGE_RESTRICTABLE = (
    discord.TextChannel,
    discord.VoiceChannel,
    discord.StageChannel,
    discord.ForumChannel,
    discord.Thread,
)
AGE_RESTRICTED_SERVERS = (discord.NSFWLevel.explicit, discord.NSFWLevel.age_restricted)


async def use_languages(interaction: Interaction, app: App) -> None:
    """Put the languages that the member and the server have chosen in place of Discord's, and speak the member's.

    While the database is busy, Discord's count.
    """
    of_discord = interaction.extras.setdefault(LANGUAGES, (interaction.locale, interaction.guild_locale))
    with suppress(UserError):
        own, server = await app.members.usual(interaction.user.id), await app.guilds.get(interaction.guild_id)
        interaction.locale = locale_of(own.language) or of_discord[0]
        interaction.guild_locale = (locale_of(server.language) if interaction.guild_id else None) or of_discord[1]
    speak_privately(interaction)


def locale_of(language: str | None) -> discord.Locale | None:
    """Discord's locale of a language; None for none."""
    named = (one for one in discord.Locale if language and str(one).replace("-", "_").startswith(language))
    return next(named, None)


def speak_privately(interaction: Interaction) -> None:
    """Translate this task's answers into the member's language from now on."""
    speak(str(interaction.locale))


def speaking_publicly(interaction: Interaction, *, is_private: bool = False) -> AbstractContextManager[None]:
    """Translate public messages into the server's language; what the member alone reads stays in the member's."""
    return nullcontext() if is_private else speaking(str(interaction.guild_locale or interaction.locale))


async def speaking_to_server(app: App, guild: discord.Guild | None, otherwise: str) -> AbstractContextManager[None]:
    """The same for messages without an interaction; ``otherwise`` is the locale where no server is known."""
    if guild is None:
        return speaking(otherwise)
    return speaking((await app.guilds.get(guild.id)).language or str(guild.preferred_locale))


async def tell(interaction: Interaction, text: str, **more: Any) -> None:
    """Send a message that only the interaction's member sees."""
    if interaction.response.is_done():
        if interaction.extras.pop(THINKING, None) is not None:
            await _stop_thinking(interaction)
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=SILENT, **more)
    else:
        await interaction.response.send_message(text, ephemeral=True, allowed_mentions=SILENT, **more)


async def think(interaction: Interaction, *, is_private: bool = False) -> None:
    """Show "thinking" in the channel, or to the member alone, until `respond` or `tell`."""
    await interaction.response.defer(thinking=True, ephemeral=is_private)
    interaction.extras[THINKING] = is_private


async def _stop_thinking(interaction: Interaction) -> None:
    """Take the deferred answer back, so that a follow-up may be private: the first one would only edit it."""
    await interaction.edit_original_response(content=WITHDRAWN)
    await interaction.delete_original_response()


async def respond(
    interaction: Interaction, text: str, view: discord.ui.View, *, is_private: bool = False
) -> int | None:
    """Send the answer, or one more, to the channel or to the member alone; returns its message id."""
    shown_privately = interaction.extras.pop(THINKING, None)
    if shown_privately is not None and shown_privately != is_private:
        await _stop_thinking(interaction)
    elif shown_privately is not None:
        message = await interaction.edit_original_response(content=text, view=view, allowed_mentions=SILENT)
        return message.id
    more: dict[str, Any] = {
        "view": view,
        "ephemeral": is_private,
        "allowed_mentions": SILENT,
        "suppress_embeds": True,
    }
    if interaction.response.is_done():
        return (await interaction.followup.send(text, wait=True, **more)).id
    answer = await interaction.response.send_message(text, **more)
    return answer.message_id


def role_ids(interaction: Interaction) -> list[int]:
    """The member's roles; none outside servers."""
    return [role.id for role in interaction.user.roles] if isinstance(interaction.user, discord.Member) else []


def bound_roles(interaction: Interaction) -> list[int]:
    """Roles that the member may not exempt from rules: their own, except with Manage Server."""
    return [] if interaction.permissions.manage_guild else role_ids(interaction)


def where(interaction: Interaction) -> Where:
    """The place and member of an interaction."""
    channel = interaction.channel
    return Where(
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id,
        parent_ids=parents_of(channel),
        role_ids=tuple(role_ids(interaction)),
        is_age_restricted=not is_guest(interaction) and is_age_restricted(channel),
    )


def parents_of(channel: object) -> tuple[int, ...]:
    """The ids of a thread's channel and of the category, as far as there are any."""
    parents = list[int | None]()
    if isinstance(channel, discord.Thread):
        parents = [channel.parent_id, channel.parent.category_id if channel.parent else None]
    elif isinstance(channel, discord.abc.GuildChannel):
        parents = [channel.category_id]
    return tuple(filter(None, parents))


def is_guest(interaction: Interaction) -> bool:
    """Whether a member brought the bot along to a server that it is not in; strict limits hold there."""
    return interaction.guild_id is not None and interaction.client.get_guild(interaction.guild_id) is None


def where_to_post(interaction: Interaction) -> Where:
    """The same for a request that will be posted there; raises CannotPost if it could not be."""
    guild = interaction.client.get_guild(interaction.guild_id or 0)
    missing = lacking(interaction.app_permissions, interaction.channel) if guild else []
    if missing:
        raise CannotPost(missing)
    return where(interaction)


def lacking(permissions: discord.Permissions, channel: object) -> list[str]:
    """The permissions that a request's message lacks in a channel, by Discord's names."""
    if not permissions.view_channel:
        return [_("View Channels")]
    in_thread = isinstance(channel, discord.Thread)
    needed = {
        N_("Send Messages in Threads") if in_thread else N_("Send Messages"): (
            permissions.send_messages_in_threads if in_thread else permissions.send_messages
        ),
        _("Attach Files"): permissions.attach_files,
    }
    return [_(name) for name, is_given in needed.items() if not is_given]


def is_age_restricted(channel: object) -> bool:
    """Whether a channel is for adults only: by itself, or through its age-restricted server.

    An unknown channel counts as unrestricted.
    """
    if not isinstance(channel, AGE_RESTRICTABLE):
        return False
    return channel.is_nsfw() or channel.guild.nsfw_level in AGE_RESTRICTED_SERVERS


async def moderated(interaction: Interaction, app: App) -> int:
    """The server that the member may moderate now; raises NotModerator or NoPrivateMessage."""
    if interaction.guild_id is None:
        raise app_commands.NoPrivateMessage
    if not await moderates(interaction, app):
        raise NotModerator
    return interaction.guild_id


async def moderates(interaction: Interaction, app: App) -> bool:
    """Whether the member is a moderator of the server that they are in."""
    if interaction.guild_id is None:
        return False
    settings = await app.guilds.get(interaction.guild_id)
    named = set(settings.moderator_role_ids).intersection(role_ids(interaction))
    return bool(named) or interaction.permissions.manage_guild


async def owned(interaction: Interaction, app: App, job_id: int, *, or_cleaner: bool = False) -> Job:
    """A request, for members who may act on it; with ``or_cleaner`` also with Manage Messages in its channel.

    Raises:
        NotFound: it was deleted.
        NotYours: the member may not.
    """
    job = await app.jobs.get(job_id)
    is_here = (job.guild_id, job.channel_id) == (interaction.guild_id, interaction.channel_id)
    cleans = or_cleaner and is_here and job.guild_id is not None and interaction.permissions.manage_messages
    if interaction.user.id != job.user_id and (job.is_private or not cleans):
        raise NotYours
    return job


async def readable(interaction: Interaction, app: App, job_id: int) -> Job:
    """A request whose words and settings the member may read: its owner any, others what is posted where they read.

    Raises:
        NotFound: it was deleted.
        NotYours: the member may not.
    """
    job = await app.jobs.get(job_id)
    if not sees(interaction, job):
        raise NotYours
    return job


def sees(interaction: Interaction, job: Job) -> bool:
    """Whether the member may see a request: their own, or one that is public in a channel here which they read."""
    if interaction.user.id == job.user_id:
        return True
    is_posted = job.status == JobStatus.SUCCEEDED and not job.quarantine and not job.is_private
    is_here = job.guild_id is not None and job.guild_id == interaction.guild_id
    return is_posted and is_here and reads(interaction, job.channel_id)


def reads(interaction: Interaction, channel_id: int | None) -> bool:
    """Whether the member reads a channel of this server; of private threads only the one where they are."""
    if channel_id is None or channel_id == interaction.channel_id:
        return channel_id is not None
    guild, member = interaction.guild, interaction.user
    channel = guild.get_channel_or_thread(channel_id) if guild else None
    if channel is None or not isinstance(member, discord.Member):
        return False
    rights = channel.permissions_for(member)
    is_closed = isinstance(channel, discord.Thread) and channel.is_private() and not rights.manage_threads
    return rights.view_channel and rights.read_message_history and not is_closed


async def viewed(interaction: Interaction, app: App, job_id: int, number: int, channel_id: int | None = None) -> Job:
    """A request whose posted picture ``number`` the interaction's member sees; raises as `posted_pictures.viewed`.

    ``channel_id`` is a channel of the server that the member reads, None for any.
    """
    place = where(interaction)
    if channel_id is None:
        posted_in = (await app.jobs.get(job_id)).channel_id
        channel_id = posted_in if reads(interaction, posted_in) else None
    if channel_id:
        place = replace(place, channel_id=channel_id)
    return await posted_pictures.viewed(app, job_id, number, interaction.user.id, place)


def managers_only(interaction: Interaction) -> None:
    """Check for Manage Server, which a moderator role does not replace; raises NotModerator."""
    if not interaction.permissions.manage_guild:
        raise NotModerator(_(OWNERS_ONLY))


def forbid_own(interaction: Interaction, user_id: int) -> None:
    """Nobody decides about their own request, except with Manage Server; raises NotModerator."""
    if user_id == interaction.user.id and not interaction.permissions.manage_guild:
        raise NotModerator(_(NOT_YOUR_OWN))


def spot(guild_id: int | None, channel_id: int | None, channel: object) -> Where:
    """A place for the image policy."""
    return Where(guild_id, channel_id, is_age_restricted=is_age_restricted(channel))


def app_of(client: discord.Client) -> App:
    """The App that `bot.setup` opened for this client."""
    return vars(client)["limner"]
