"""What all commands and buttons share: the App, and how an error is answered."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from typing import Any, Self, TypeVar, cast

import discord
from discord import app_commands
from discord.ext import commands

from bot.app import App
from bot.appeals import appeal, appealable, may_appeal
from bot.errors import NotModerator, Refused, UserError
from bot.filters.place import Where
from bot.gate import Spot
from bot.models import Job
from generators.base import place_of

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]
SelectT = TypeVar("SelectT", bound=discord.ui.Item[Any])

OUR_FAULT = "That failed on our side, and the operator can see why in the log; nothing of yours is lost."
OWNERS_ONLY = "Only members with Manage Server can change that."
NOT_YOUR_OWN = "That is about yourself; another moderator can do it, or who has Manage Server."
WORDS_LENGTH = 500
"""Characters that a member may write to an appeal."""
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


class LimnerCog(commands.Cog):
    """A group of commands over one App."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def cog_app_command_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """Every error of every command ends here."""
        await answer_error(interaction, error)


async def answer_error(interaction: Interaction, error: Exception) -> None:
    """Tell the one who asked, and nobody else, what went wrong and what to do."""
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    refused = cause.job if isinstance(cause, Refused) else None
    view = await appeal_view(app_of(interaction.client), refused) if refused else None
    await tell(interaction, _sentence(cause), **({"view": view} if view else {}))


async def appeal_view(app: App, job: Job) -> discord.ui.View | None:
    """The button that puts a refusal before a moderator; None where nobody would see it, or at the second time."""
    if not await may_appeal(app, job):
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


class AppealButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"limner:appeal:(?P<job>[0-9]+)"):
    """Stands under a refusal, and carries the number of the request that was refused."""

    def __init__(self, job_id: int) -> None:
        custom_id = f"limner:appeal:{job_id}"
        super().__init__(discord.ui.Button(label="Appeal", custom_id=custom_id))
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["job"]))

    async def callback(self, interaction: Interaction) -> None:
        """Ask what the member wants to say, if this refusal can still be appealed against."""
        app = app_of(interaction.client)
        try:
            job = await appealable(app, self.job_id, interaction.user.id)
            await interaction.response.send_modal(AppealWords(app, job))
        except Exception as error:
            await answer_error(interaction, error)


class AppealWords(discord.ui.Modal, title="Appeal against a refusal"):
    """A word for the moderators, if the member wants to write one."""

    def __init__(self, app: App, job: Job) -> None:
        super().__init__(custom_id=f"limner:appealed:{job.id}")
        self._app = app
        self._job_id = job.id
        self._words: discord.ui.TextInput[Self] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, required=False, max_length=WORDS_LENGTH
        )
        self.add_item(discord.ui.Label(text="What moderators should know (optional)", component=self._words))

    async def on_submit(self, interaction: Interaction, /) -> None:
        """Put the refusal before the moderators."""
        await appeal(self._app, self._job_id, interaction.user.id, self._words.value)
        await tell(interaction, "Your appeal is with the moderators; /me tells you what they decide.")

    async def on_error(self, interaction: Interaction, error: Exception, /) -> None:
        """The same answers as everywhere."""
        await answer_error(interaction, error)


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
        is_age_restricted=isinstance(channel, AGE_RESTRICTABLE) and channel.is_nsfw(),
    )


async def moderated(interaction: Interaction, app: App) -> int:
    """The server that the one who asks may moderate at this moment; raises NotModerator or NoPrivateMessage."""
    if interaction.guild_id is None:
        raise app_commands.NoPrivateMessage
    settings = await app.guilds.get(interaction.guild_id)
    named = set(settings.moderator_role_ids).intersection(role_ids(interaction))
    if not named and not interaction.permissions.manage_guild:
        raise NotModerator
    return interaction.guild_id


class ForModerators(ABC):
    """A button or a select for moderators: whoever may not use it (any more) is told so."""

    @abstractmethod
    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Do what it is for, in this server."""

    async def callback(self, interaction: Interaction) -> None:
        """Do it for whom it is for at this moment; discord.py would only log an error, so it is answered here."""
        try:
            app = app_of(interaction.client)
            await self.act(interaction, app, await moderated(interaction, app))
        except Exception as error:
            await answer_error(interaction, error)


class SelectForModerators(ForModerators, discord.ui.DynamicItem[SelectT], template="limner:"):
    """A select that carries nothing but what is chosen."""

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made, in whichever process the select was sent."""
        return cls(cast(SelectT, item))


def managers_only(interaction: Interaction) -> None:
    """What a role's naming gives nobody; raises NotModerator."""
    if not interaction.permissions.manage_guild:
        raise NotModerator(OWNERS_ONLY)


def forbid_own(interaction: Interaction, user_id: int) -> None:
    """Nobody decides in a matter of their own but who has Manage Server; raises NotModerator."""
    if user_id == interaction.user.id and not interaction.permissions.manage_guild:
        raise NotModerator(NOT_YOUR_OWN)


def spot(guild_id: int | None, channel_id: int | None, channel: object) -> Spot:
    """A place for pictures; a channel that is not known counts as one that is not age-restricted."""
    is_known = isinstance(channel, discord.Thread | discord.TextChannel | discord.VoiceChannel | discord.StageChannel)
    return Spot(guild_id, channel_id, is_known and channel.is_nsfw())


def app_of(client: discord.Client) -> App:
    """The App that `bot.setup` opened for this client."""
    return vars(client)["limner"]


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, app_commands.MissingPermissions):
        return "Only members with the Manage Server permission can do that."
    if isinstance(error, app_commands.NoPrivateMessage):
        return "That works in a server only."
    log.error("command_failed reason=%s", place_of(error))
    return OUR_FAULT
