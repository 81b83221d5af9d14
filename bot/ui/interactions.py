"""What all commands and buttons share: the App, and how an error is answered."""

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
from limner.bot.place import Where
from limner.bot.storage.models import Job
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
"""Nothing that Limner writes pings anybody."""
THINKING = "limner_thinking"
"""Marks an interaction whose answer in the channel still says that the bot is thinking."""


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
        """Look at the options of a command again, because not only Discord's own client sends them.

        Raises:
            NotOffered: a value, a length or a choice is none that the command offers.
        """
        speak_privately(interaction)
        given = dict(iter(interaction.namespace))
        if isinstance(interaction.command, app_commands.Command):
            for option in interaction.command.parameters:
                if option.display_name in given and not _is_offered(option, given[option.display_name]):
                    raise NotOffered(_(NO_SUCH_VALUE, name=option.display_name))
        return True

    async def cog_app_command_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Every error of every command ends here."""
        await answer_error(interaction, error)


async def answer_error(interaction: Interaction, error: Exception) -> None:
    """Tell the one who asked, and nobody else, what went wrong and what to do, and give back what they typed."""
    from limner.bot.ui.typed import give_back  # whose button answers errors itself

    speak_privately(interaction)
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    await tell(interaction, cut(_sentence(cause), CONTENT), **await give_back(interaction, cause))


def speak_privately(interaction: Interaction) -> None:
    """Answer from now on in the language that the one who asks has chosen in Discord."""
    speak(str(interaction.locale))


def speaking_publicly(interaction: Interaction) -> AbstractContextManager[None]:
    """Write what everybody reads in the server's language; in a direct message in its one reader's."""
    return speaking(str(interaction.guild_locale or interaction.locale))


def speaking_to_server(guild: discord.Guild | None, otherwise: str) -> AbstractContextManager[None]:
    """The same for messages that no command answers; ``otherwise`` is the locale where no server is known."""
    return speaking(str(guild.preferred_locale) if guild else otherwise)


async def appeal_view(app: App, job: Job) -> discord.ui.View | None:
    """The button that puts a refusal before a moderator; None where nobody would see it, or at the second time."""
    from limner.bot.ui.appeal import AppealButton  # which answers errors itself

    if not await app.appeals.may_appeal(job):
        return None
    view = discord.ui.View(timeout=None)
    return view.add_item(AppealButton(job.id))


async def tell(interaction: Interaction, text: str, **more: Any) -> None:
    """Write a message that only the one who asked can see."""
    if interaction.response.is_done():
        if interaction.extras.pop(THINKING, False):
            await (
                interaction.delete_original_response()
            )  # everybody sees it, and its first successor would be as public
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=SILENT, **more)
    else:
        await interaction.response.send_message(text, ephemeral=True, allowed_mentions=SILENT, **more)


async def think(interaction: Interaction) -> None:
    """Show in the channel that the answer takes longer; `respond` or `tell` ends it."""
    await interaction.response.defer(thinking=True)
    interaction.extras[THINKING] = True


async def respond(interaction: Interaction, text: str, view: discord.ui.View) -> int | None:
    """Give the answer that everybody sees; the number of its message."""
    if interaction.extras.pop(THINKING, False):
        message = await interaction.edit_original_response(content=text, view=view, allowed_mentions=SILENT)
        return message.id
    answer = await interaction.response.send_message(text, view=view, allowed_mentions=SILENT, suppress_embeds=True)
    return answer.message_id


def role_ids(interaction: Interaction) -> list[int]:
    """The roles of the one who asks; none outside servers."""
    return [role.id for role in interaction.user.roles] if isinstance(interaction.user, discord.Member) else []


def bound_roles(interaction: Interaction) -> list[int]:
    """The roles that the one who asks may free from no rule: their own, but for members with Manage Server."""
    return [] if interaction.permissions.manage_guild else role_ids(interaction)


def where(interaction: Interaction) -> Where:
    """The place that a command or a click comes from, and whose it is."""
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
    """The same for a request, whose answer is to be posted there; raises CannotPost if it could not be."""
    guild = interaction.client.get_guild(interaction.guild_id or 0)
    missing = lacking(interaction.app_permissions, interaction.channel) if guild else []
    if missing:
        raise CannotPost(missing)
    return where(interaction)


def lacking(permissions: discord.Permissions, channel: object) -> list[str]:
    """What a request's message needs in a channel and is not among these permissions, as Discord names it."""
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
    """Whether only adults see a channel: by itself, or because its whole server is age-restricted.

    One that is not known counts as open to everybody.
    """
    if not isinstance(channel, AGE_RESTRICTABLE):
        return False
    return channel.is_nsfw() or channel.guild.nsfw_level in AGE_RESTRICTED_SERVERS


async def moderated(interaction: Interaction, app: App) -> int:
    """The server that the one who asks may moderate at this moment; raises NotModerator or NoPrivateMessage."""
    if interaction.guild_id is None:
        raise app_commands.NoPrivateMessage
    settings = await app.guilds.get(interaction.guild_id)
    named = set(settings.moderator_role_ids).intersection(role_ids(interaction))
    if not named and not interaction.permissions.manage_guild:
        raise NotModerator
    return interaction.guild_id


async def owned(interaction: Interaction, app: App, job_id: int, *, or_cleaner: bool = False) -> Job:
    """A request, for those who may act on it; with ``or_cleaner`` also who has Manage Messages where it was asked for.

    Raises:
        NotFound: it was deleted.
        NotYours: they may not.
    """
    job = await app.jobs.get(job_id)
    is_here = (job.guild_id, job.channel_id) == (interaction.guild_id, interaction.channel_id)
    cleans = or_cleaner and is_here and job.guild_id is not None and interaction.permissions.manage_messages
    if interaction.user.id != job.user_id and not cleans:
        raise NotYours
    return job


def managers_only(interaction: Interaction) -> None:
    """What a role's naming gives nobody; raises NotModerator."""
    if not interaction.permissions.manage_guild:
        raise NotModerator(_(OWNERS_ONLY))


def forbid_own(interaction: Interaction, user_id: int) -> None:
    """Nobody decides in a matter of their own but who has Manage Server; raises NotModerator."""
    if user_id == interaction.user.id and not interaction.permissions.manage_guild:
        raise NotModerator(_(NOT_YOUR_OWN))


def spot(guild_id: int | None, channel_id: int | None, channel: object) -> Where:
    """A place for pictures."""
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
