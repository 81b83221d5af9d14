"""Buttons and selects under messages; each class says which members may use it, checked at every press."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar, cast

import discord

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.interactions import app_of, managers_only, moderated, owned, readable, use_languages, viewed

Interaction = discord.Interaction[Any]
ItemT = TypeVar("ItemT", bound=discord.ui.Item[Any])

NUMBER = "[0-9]{1,18}"
"""A row's number in a custom_id; longer numbers are no row's."""
NOT_OFFERED = N_("That is not offered there; open it again and choose.")


def parts_of(message: discord.Message) -> Iterator[Any]:
    """A message's components with those inside of them, such as the buttons in the rows of a container."""
    parts: list[Any] = [*message.components]
    while parts:
        part = parts.pop(0)
        yield part
        parts[:0] = getattr(part, "children", ())


class Control(ABC, discord.ui.DynamicItem[ItemT], template="limner:"):
    """A button or select described by its custom_id alone, so that it survives restarts without state in memory.

    Discord's client sends only what a message shows; other programs can send any number and value. So every control
    derives from one of the classes below, which check the member before they call `act`.
    """

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The pressed control, in any process; controls with numbers in the id parse them."""
        return cls(cast(ItemT, item))

    @abstractmethod
    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Check the member, then act; raises UserError if the member may not."""

    async def callback(self, interaction: Interaction) -> None:
        """Act for the permitted member; errors are answered here, because discord.py would only log them."""
        app = app_of(interaction.client)
        await use_languages(interaction, app)
        try:
            _check_offered(interaction)
            await self.check_and_act(interaction, app)
        except Exception as error:
            await answer_error(interaction, error)


class ForAnyone(Control[ItemT], template="limner:"):
    """Shows each member their own data; its id refers to nobody else's."""

    @abstractmethod
    async def act(self, interaction: Interaction, app: App) -> None:
        """Carry out the action."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Act without a check."""
        await self.act(interaction, app)


class ForOwner(Control[ItemT], template="limner:"):
    """About one request, for its owner."""

    job_id: int

    @property
    def is_for_readers(self) -> bool:
        """Whether all who see its posted pictures may use it too."""
        return False

    @property
    def is_for_cleaners(self) -> bool:
        """Whether members with Manage Messages in the request's channel may use it too."""
        return False

    @abstractmethod
    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the action on the request."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Act for the permitted member; raises NotFound or NotYours."""
        if self.is_for_readers:
            job = await readable(interaction, app, self.job_id)
        else:
            job = await owned(interaction, app, self.job_id, or_cleaner=self.is_for_cleaners)
        await self.act(interaction, app, job)


class ForViewers(Control[ItemT], template="limner:"):
    """About one picture of a posted request, for all who see it if their server lets them, and for its owner."""

    job_id: int
    number: int

    @abstractmethod
    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the action on the picture."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Act for those who see the picture; raises UserError as `viewed` does."""
        await self.act(interaction, app, await viewed(interaction, app, self.job_id, self.number))


class ForModerators(Control[ItemT], template="limner:"):
    """About a server's own data, for its current moderators."""

    @abstractmethod
    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Carry out the action in this server."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Act for moderators; raises NotModerator or NoPrivateMessage."""
        await self.act(interaction, app, await moderated(interaction, app))


class ForManagers(ForModerators[ItemT], template="limner:"):
    """The same for members with Manage Server, which a moderator role does not replace."""

    async def check_and_act(self, interaction: Interaction, app: App) -> None:
        """Act for members with Manage Server; raises NotModerator or NoPrivateMessage."""
        guild_id = await moderated(interaction, app)
        managers_only(interaction)
        await self.act(interaction, app, guild_id)


def _check_offered(interaction: Interaction) -> None:
    """Raise BadOption for a value that the message's select does not offer, or too many or few of them."""
    data = cast("Mapping[str, Any]", interaction.data or {})
    if "values" not in data or interaction.message is None:
        return
    selects = (part for part in parts_of(interaction.message) if isinstance(part, discord.SelectMenu))
    select = next(select for select in selects if select.custom_id == data["custom_id"])
    has_list = select.type is discord.ComponentType.string_select
    is_offered = not has_list or {option.value for option in select.options}.issuperset(data["values"])
    if not is_offered or not select.min_values <= len(data["values"]) <= select.max_values:
        raise BadOption(_(NOT_OFFERED))
