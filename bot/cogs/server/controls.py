"""The lists and buttons of /server's pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.settings import channel_select, chosen_roles, chosen_text_channel
from limner.bot.cogs.pictures import checked_gallery
from limner.bot.cogs.server.choices import CHOICES, LONGEST_SUBJECT
from limner.bot.cogs.server.screen import refresh
from limner.bot.errors import BadOption
from limner.bot.guild_settings import GuildSettings
from limner.bot.limits import CHOICE, cut
from limner.bot.limits import CHOICES as MOST
from limner.bot.moderation.access import changed
from limner.bot.server_styles import number_of, removed
from limner.bot.styles import Style
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NOT_OFFERED, ForManagers
from limner.bot.ui.form import open_form
from limner.bot.ui.member_choices import Offered

Interaction = discord.Interaction[Any]
Option = discord.SelectOption

FORMS = {
    "strikes": ("numbers", 0, N_("Days, strikes and hours")),
    "limits": ("numbers", 1, N_("How explicit pictures may be")),
    "keeping": ("numbers", 2, N_("Change")),
    "gallery": ("numbers", 3, N_("Number of stars")),
    "styles": ("serverstyle", 0, N_("Add a style")),
    "rules": ("houserules", 0, N_("Change")),
    "everybody": ("quota", 0, N_("Everybody's quota")),
    "style": ("servername", 0, N_("Change")),
    "model": ("servername", 1, N_("Change")),
}
"""The form that each button opens: its kind, its subject, and what the button says."""
NO_STYLES: Mapping[str, Style] = MappingProxyType({})
TYPED = ("style", "model")
"""Settings that may have more values than a list has room for."""
ON_PAINTING = ("model", "style", "language", "expand", "sharing", "signing", "comparing")
ON_REVIEW = ("blur", "negative", "evasion", "timeout")
"""The choices of two pages."""
PLACES = (
    discord.ChannelType.text,
    discord.ChannelType.news,
    discord.ChannelType.forum,
    discord.ChannelType.voice,
    discord.ChannelType.category,
)


class ServerSelect(ForManagers[discord.ui.Select[Any]], template=rf"limner:server:set:(?P<name>{'|'.join(CHOICES)})"):
    """Changes one setting."""

    def __init__(self, name: str, options: list[Option]) -> None:
        super().__init__(discord.ui.Select(custom_id=f"limner:server:set:{name}", options=options))
        self.name = name

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made."""
        return cls(match["name"], [])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Save the choice."""
        await choose(interaction, app, guild_id, self.name, self.item.values[0])


class SubjectSelect(ForManagers[discord.ui.Select[Any]], template=r"limner:server:subject"):
    """Selects what the page's channels and roles are for."""

    @classmethod
    def of(cls, offered: Sequence[Offered], subject: str) -> Self:
        """A choice among them."""
        options = [
            Option(label=cut(one.label, CHOICE), value=one.value, default=one.value == subject) for one in offered
        ]
        return cls(discord.ui.Select(custom_id="limner:server:subject", options=options[:MOST]))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Show them."""
        await refresh(interaction, app, guild_id, "access", self.item.values[0])


class AccessChannels(
    ForManagers[discord.ui.ChannelSelect[Any]],
    template=rf"limner:server:channels:(?P<subject>(?s:.{{1,{LONGEST_SUBJECT}}}))",
):
    """Selects the channels and categories where something may be asked for."""

    def __init__(self, subject: str, chosen: Sequence[int] = ()) -> None:
        kind = discord.SelectDefaultValueType.channel
        select = discord.ui.ChannelSelect[Any](
            custom_id=f"limner:server:channels:{subject}",
            placeholder=_("Every channel"),
            channel_types=[*PLACES],
            min_values=0,
            max_values=MOST,
            default_values=[discord.SelectDefaultValue(id=one, type=kind) for one in chosen],
        )
        super().__init__(select)
        self.subject = subject

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made."""
        return cls(match["subject"])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Allow it in exactly these channels."""
        channels, guild = [channel.id for channel in self.item.values], interaction.guild
        if not (guild and all(map(guild.get_channel, channels))):
            raise BadOption(_(NOT_OFFERED))
        access = changed(await app.guilds.get(guild_id), self.subject, channels=channels)
        await app.guilds.change(guild_id, interaction.user.id, access=access)
        await refresh(interaction, app, guild_id, "access", self.subject)


class AccessRoles(
    ForManagers[discord.ui.RoleSelect[Any]],
    template=rf"limner:server:roles:(?P<subject>(?s:.{{1,{LONGEST_SUBJECT}}}))",
):
    """Selects the roles whose members may ask for something."""

    def __init__(self, subject: str, chosen: Sequence[int] = ()) -> None:
        super().__init__(_role_select(f"limner:server:roles:{subject}", _("Every role"), chosen))
        self.subject = subject

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made."""
        return cls(match["subject"])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Allow it for exactly these roles."""
        roles = chosen_roles(interaction, self.item)
        access = changed(await app.guilds.get(guild_id), self.subject, roles=roles)
        await app.guilds.change(guild_id, interaction.user.id, access=access)
        await refresh(interaction, app, guild_id, "access", self.subject)


class QuotaRole(ForManagers[discord.ui.RoleSelect[Any]], template=r"limner:server:quota"):
    """Opens the form with a role's quota."""

    @classmethod
    def of(cls) -> Self:
        """A choice among the server's roles."""
        return cls(discord.ui.RoleSelect(custom_id="limner:server:quota", placeholder=_("The quota of a role")))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Open the form."""
        [role] = chosen_roles(interaction, self.item)
        await open_form(interaction, app, "quota", role)


class ModeratorRoles(ForManagers[discord.ui.RoleSelect[Any]], template=r"limner:server:moderators"):
    """Selects the server's moderator roles."""

    @classmethod
    def of(cls, settings: GuildSettings) -> Self:
        """A choice among the server's roles."""
        return cls(_role_select("limner:server:moderators", _("Moderators' roles"), settings.moderator_role_ids))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Make exactly these roles moderators."""
        roles = chosen_roles(interaction, self.item)
        await app.guilds.change(guild_id, interaction.user.id, moderator_role_ids=roles)
        await refresh(interaction, app, guild_id, "review")


class ReviewPlace(ForManagers[discord.ui.ChannelSelect[Any]], template=r"limner:server:review"):
    """Selects the channel for review cards."""

    @classmethod
    def of(cls, settings: GuildSettings) -> Self:
        """A choice among the server's text channels."""
        kinds = [discord.ChannelType.text]
        return cls(channel_select("limner:server:review", _("Review channel"), kinds, settings.review_channel_id))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Post cards there from now on."""
        chosen = chosen_text_channel(interaction, self.item)
        await app.guilds.change(guild_id, interaction.user.id, review_channel_id=chosen)
        await refresh(interaction, app, guild_id, "review")


class GalleryPlace(ForManagers[discord.ui.ChannelSelect[Any]], template=r"limner:server:gallery"):
    """Selects the channel or forum in which starred pictures are posted once more."""

    @classmethod
    def of(cls, settings: GuildSettings) -> Self:
        """A choice among the server's text channels and forums."""
        kinds = [discord.ChannelType.text, discord.ChannelType.forum]
        return cls(channel_select("limner:server:gallery", _("No gallery channel"), kinds, settings.gallery_channel_id))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Post there from now on."""
        chosen = [checked_gallery(interaction.guild, channel.id).id for channel in self.item.values]
        channel_id = chosen[0] if chosen else None
        await app.guilds.change(guild_id, interaction.user.id, gallery_channel_id=channel_id)
        await refresh(interaction, app, guild_id, "gallery")


class StyleSelect(ForManagers[discord.ui.Select[Any]], template=r"limner:server:style:(?P<verb>change|remove)"):
    """Opens the form of one of the server's own styles, or removes it."""

    def __init__(self, verb: str, styles: Mapping[str, Style] = NO_STYLES) -> None:
        options = [Option(label=cut(style.title, CHOICE), value=name) for name, style in styles.items()]
        placeholder = _("Change a style") if verb == "change" else _("Remove a style")
        super().__init__(
            discord.ui.Select(custom_id=f"limner:server:style:{verb}", placeholder=placeholder, options=options)
        )
        self.verb = verb

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made."""
        return cls(match["verb"])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Open the form, or remove the style."""
        settings, name = await app.guilds.get(guild_id), self.item.values[0]
        changes = removed(settings, name)
        if self.verb == "change":
            return await open_form(interaction, app, "serverstyle", number_of(name))
        await app.guilds.change(guild_id, interaction.user.id, **changes)
        await refresh(interaction, app, guild_id, "styles")


class ServerButton(ForManagers[discord.ui.Button[Any]], template=rf"limner:server:form:(?P<verb>{'|'.join(FORMS)})"):
    """Opens a form."""

    def __init__(self, verb: str) -> None:
        super().__init__(discord.ui.Button(label=_(FORMS[verb][2]), custom_id=f"limner:server:form:{verb}"))
        self.verb = verb

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Open the form."""
        kind, subject, _label = FORMS[self.verb]
        await open_form(interaction, app, kind, subject)


async def choose(interaction: Interaction, app: App, guild_id: int, name: str, value: str) -> None:
    """Save a choice from a list, and show it."""
    choice, settings = CHOICES[name], await app.guilds.get(guild_id)
    if value not in {one.value for one in choice.offered(app, settings)}:
        raise BadOption(_(NOT_OFFERED))
    changes = choice.changes(settings, value)
    await app.guilds.change(guild_id, interaction.user.id, **changes)
    await refresh(interaction, app, guild_id, "review" if name in ON_REVIEW else "painting")


def _role_select(custom_id: str, placeholder: str, chosen: Sequence[int]) -> discord.ui.RoleSelect[Any]:
    kind = discord.SelectDefaultValueType.role
    return discord.ui.RoleSelect(
        custom_id=custom_id,
        placeholder=placeholder,
        min_values=0,
        max_values=MOST,
        default_values=[discord.SelectDefaultValue(id=one, type=kind) for one in chosen],
    )
