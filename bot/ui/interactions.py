"""Helpers for all commands and buttons: the App, the place, private and public answers, and errors."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from limner.bot.app import App
from limner.bot.errors import BadOption, CannotPost, NotModerator, NotYours, UserError
from limner.bot.limits import CONTENT, cut
from limner.bot.picture_actions import picture_of
from limner.bot.place import Where
from limner.bot.storage.models import Job
from limner.bot.submit import check_posted
from limner.bot.translation import N_, _, speak, speaking, stored
from limner.generators.base import error_site

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

OUR_FAULT = N_(
    "That failed because of an error in the bot; its operator finds the cause in the log. Nothing of yours is lost."
)
OWNERS_ONLY = N_("Only members with Manage Server can change that.")
NOT_YOUR_OWN = N_("That is about yourself; another moderator can do it, or a member with Manage Server.")
NO_SUCH_VALUE = N_("This command does not offer that value for the option {name}; choose another one.")
SILENT = discord.AllowedMentions.none()
"""No mentions: nothing that Limner writes pings anybody."""
THINKING = "limner_thinking"
"""Marks an interaction whose public answer still shows "thinking"."""


AGE_RESTRICTABLE = (
    discord.TextChannel,
    discord.VoiceChannel,
    discord.StageChannel,
    discord.ForumChannel,
    discord.Thread,
)
AGE_RESTRICTED_SERVERS = (discord.NSFWLevel.explicit, discord.NSFWLevel.age_restricted)


class NotOffered(BadOption, app_commands.CheckFailure):
    """An option has a value that its command does not offer; choose another one."""


class LimnerCog(commands.Cog):
    """A group of commands over one App."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Check a command's options again, because any program can send values that Discord's client would not.

        Raises:
            NotOffered: a value, a length or a choice is not offered by the command.
        """
        speak_privately(interaction)
        given = dict(iter(interaction.namespace))
        if isinstance(interaction.command, app_commands.Command):
            for option in interaction.command.parameters:
                if option.display_name in given and not _is_offered(option, given[option.display_name]):
                    raise NotOffered(_(NO_SUCH_VALUE, name=option.display_name))
        return True

    async def cog_app_command_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Handles the errors of every command."""
        await answer_error(interaction, error)


async def answer_error(interaction: Interaction, error: Exception) -> None:
    """Show an error privately with what to do, and return the typed text."""
    from limner.bot.ui.typed import give_back  # imported here: its buttons answer errors too

    speak_privately(interaction)
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    await tell(interaction, cut(_sentence(cause), CONTENT), **await give_back(interaction, cause))


def speak_privately(interaction: Interaction) -> None:
    """Translate this task's answers into the member's Discord language from now on."""
    speak(str(interaction.locale))


def speaking_publicly(interaction: Interaction) -> AbstractContextManager[None]:
    """Translate public messages into the server's language, in a direct message into the member's."""
    return speaking(str(interaction.guild_locale or interaction.locale))


def speaking_to_server(guild: discord.Guild | None, otherwise: str) -> AbstractContextManager[None]:
    """The same for messages without an interaction; ``otherwise`` is the locale where no server is known."""
    return speaking(str(guild.preferred_locale) if guild else otherwise)


async def appeal_view(app: App, job: Job) -> discord.ui.View | None:
    """The Appeal button; None if the refusal cannot be appealed."""
    from limner.bot.ui.appeal import AppealButton  # imported here: it answers errors too

    if not await app.appeals.may_appeal(job):
        return None
    view = discord.ui.View(timeout=None)
    return view.add_item(AppealButton(job.id))


async def tell(interaction: Interaction, text: str, **more: Any) -> None:
    """Send a message that only the interaction's member sees."""
    if interaction.response.is_done():
        if interaction.extras.pop(THINKING, False):
            await (
                interaction.delete_original_response()
            )  # the deferred answer is public, and the first follow-up would be too
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=SILENT, **more)
    else:
        await interaction.response.send_message(text, ephemeral=True, allowed_mentions=SILENT, **more)


async def think(interaction: Interaction) -> None:
    """Show "thinking" in the channel until `respond` or `tell`."""
    await interaction.response.defer(thinking=True)
    interaction.extras[THINKING] = True


async def respond(interaction: Interaction, text: str, view: discord.ui.View) -> int | None:
    """Send the public answer; returns its message id."""
    if interaction.extras.pop(THINKING, False):
        message = await interaction.edit_original_response(content=text, view=view, allowed_mentions=SILENT)
        return message.id
    answer = await interaction.response.send_message(text, view=view, allowed_mentions=SILENT, suppress_embeds=True)
    return answer.message_id


def role_ids(interaction: Interaction) -> list[int]:
    """The member's roles; none outside servers."""
    return [role.id for role in interaction.user.roles] if isinstance(interaction.user, discord.Member) else []


def bound_roles(interaction: Interaction) -> list[int]:
    """Roles that the member may not exempt from rules: their own, except with Manage Server."""
    return [] if interaction.permissions.manage_guild else role_ids(interaction)


def where(interaction: Interaction) -> Where:
    """The place and member of an interaction."""
    channel, parents = interaction.channel, list[int | None]()
    if isinstance(channel, discord.Thread):
        parents = [channel.parent_id, channel.parent.category_id if channel.parent else None]
    elif isinstance(channel, discord.abc.GuildChannel):
        parents = [channel.category_id]
    return Where(
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id,
        parent_ids=tuple(filter(None, parents)),
        role_ids=tuple(role_ids(interaction)),
        is_age_restricted=is_age_restricted(channel),
    )


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
    settings = await app.guilds.get(interaction.guild_id)
    named = set(settings.moderator_role_ids).intersection(role_ids(interaction))
    if not named and not interaction.permissions.manage_guild:
        raise NotModerator
    return interaction.guild_id


async def owned(interaction: Interaction, app: App, job_id: int, *, or_cleaner: bool = False) -> Job:
    """A request, for members who may act on it; with ``or_cleaner`` also with Manage Messages in its channel.

    Raises:
        NotFound: it was deleted.
        NotYours: the member may not.
    """
    job = await app.jobs.get(job_id)
    is_here = (job.guild_id, job.channel_id) == (interaction.guild_id, interaction.channel_id)
    cleans = or_cleaner and is_here and job.guild_id is not None and interaction.permissions.manage_messages
    if interaction.user.id != job.user_id and not cleans:
        raise NotYours
    return job


async def viewed(interaction: Interaction, app: App, job_id: int, number: int) -> Job:
    """A request whose posted picture ``number`` the member sees: its owner anywhere, others in its channel.

    Raises:
        NotFound: the request was deleted.
        NotYours: the member sees it nowhere, or the server leaves a picture to its owner.
        BadOption: the pictures are not posted.
        BadPicture: this one was deleted.
    """
    job = await app.jobs.get(job_id)
    if interaction.user.id != job.user_id:
        is_here = (job.guild_id, job.channel_id) == (interaction.guild_id, interaction.channel_id)
        if job.guild_id is None or not is_here or not (await app.guilds.get(job.guild_id)).shares_pictures:
            raise NotYours
    check_posted(job)
    picture_of(job, number)
    return job


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


def _is_offered(option: app_commands.Parameter, value: Any) -> bool:
    size = len(value) if isinstance(value, str) else value
    if option.choices and value not in [choice.value for choice in option.choices]:
        return False
    return (option.min_value is None or size >= option.min_value) and (
        option.max_value is None or size <= option.max_value
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return stored(str(error))
    if isinstance(error, app_commands.MissingPermissions):
        return _("Only members with the Manage Server permission can do that.")
    if isinstance(error, app_commands.NoPrivateMessage):
        return _("That works in a server only.")
    log.error("command_failed reason=%s", error_site(error))
    return _(OUR_FAULT)
