"""Buttons and selects under messages: each class says for whom it is, which is looked at at every press."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

import discord

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.storage.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.interactions import answer_error, app_of, managers_only, moderated, owned, speak_privately

Interaction = discord.Interaction[Any]
ItemT = TypeVar("ItemT", bound=discord.ui.Item[Any])

NUMBER = "[0-9]{1,18}"
"""The number of a row in an id; more digits than a database counts are no number of anything."""
NOT_OFFERED = N_("That is not offered there; open it again and choose.")


class Control(ABC, discord.ui.DynamicItem[ItemT], template="limner:"):
    """A button or a select whose id says what it is about: it outlives restarts, and nothing is kept of it in memory.

    Discord's own client sends only what a message shows, other programs any number and value. So every control derives
    from one of the classes below, which look at who presses before `act` is called.
    """

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """What was pressed, in whichever process it was sent; one whose id holds numbers reads them itself."""
        return cls(cast(ItemT, item))

    @abstractmethod
    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Look at who presses, then do it; raises UserError if they may not."""

    async def callback(self, interaction: Interaction) -> None:
        """Do it for whom it is for; discord.py would only log an error, so it is answered here."""
        speak_privately(interaction)
        try:
            _check_offered(interaction)
            await self.check_and_act(interaction, app_of(interaction.client))
        except Exception as error:
            await answer_error(interaction, error)


class ForAnyone(Control[ItemT], template="limner:"):
    """Shows whoever presses what is their own; it names nothing of anybody's."""

    @abstractmethod
    async def act(self, interaction: Interaction, app: App) -> None:
        """Do what it is for."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Do it."""
        await self.act(interaction, app)


class ForOwner(Control[ItemT], template="limner:"):
    """About one request, for the one who asked for it."""

    job_id: int

    @property
    def is_for_cleaners(self) -> bool:
        """Whether members with Manage Messages may use it too, in the channel where it was asked for."""
        return False

    @abstractmethod
    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Do what it is for with the request."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Do it for whose it is; raises NotFound or NotYours."""
        await self.act(interaction, app, await owned(interaction, app, self.job_id, or_cleaner=self.is_for_cleaners))


class ForModerators(Control[ItemT], template="limner:"):
    """About what is a server's own, for those who may moderate it at this moment."""

    @abstractmethod
    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Do what it is for in this server."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Do it for moderators; raises NotModerator or NoPrivateMessage."""
        await self.act(interaction, app, await moderated(interaction, app))


class ForManagers(ForModerators[ItemT], template="limner:"):
    """The same for what a role's naming gives nobody."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Do it for who has Manage Server; raises NotModerator or NoPrivateMessage."""
        guild_id = await moderated(interaction, app)
        managers_only(interaction)
        await self.act(interaction, app, guild_id)


def _check_offered(interaction: Interaction) -> None:
    """Raise BadOption for what the message's select does not offer, or for more or less than may be chosen."""
    data = cast("Mapping[str, Any]", interaction.data or {})
    if "values" not in data or interaction.message is None:
        return
    rows = [row for row in interaction.message.components if isinstance(row, discord.ActionRow)]
    parts = (part for row in rows for part in row.children if part.custom_id == data["custom_id"])
    select = next(part for part in parts if isinstance(part, discord.SelectMenu))
    has_list = select.type is discord.ComponentType.string_select
    is_offered = not has_list or {option.value for option in select.options}.issuperset(data["values"])
    if not is_offered or not select.min_values <= len(data["values"]) <= select.max_values:
        raise BadOption(_(NOT_OFFERED))
