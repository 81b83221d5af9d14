"""Packs of a server, and its filter settings."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Self, cast

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.cards import view
from limner.bot.errors import BadOption
from limner.bot.filters.rulebook import packs
from limner.bot.filters.rulebook.entries import PACK, Entry
from limner.bot.guild_settings import GuildSettings
from limner.bot.limits import DESCRIPTION, fit
from limner.bot.translation import N_, _, ngettext
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.controls import NOT_OFFERED, ForManagers, ForModerators
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.interactions import SILENT, bound_roles, tell

Interaction = discord.Interaction[Any]
Option = discord.SelectOption

PACKS = N_(
    "Choose a language, then the packs that count here; /filter edit says what a pack does, /filter exempt where."
)
FIRST_LANGUAGE = "English"
NEGATIVES = {
    "free": N_("Words that are not wanted may be anything"),
    "checked": N_("Words that are not wanted obey the rules too"),
}
PUBLIC = N_(
    "**Everybody in this server can read the review channel**, with the words and pictures that wait there for a "
    "moderator. Choose a channel that only moderators see."
)
INTEGRATIONS = N_(
    "Discord shows /filter only to members with Manage Server; let the moderators' roles use it under "
    "Server Settings, Integrations."
)


class LanguageSelect(ForModerators[discord.ui.Select[Any]], template=r"limner:packs:language"):
    """Selects the language of the shown packs."""

    @classmethod
    def of(cls, chosen: str) -> Self:
        """A choice among the languages that have packs."""
        languages = sorted({pack.language for pack in packs.every().values()})
        options = [Option(label=_(language), value=language, default=language == chosen) for language in languages]
        return cls(discord.ui.Select(custom_id="limner:packs:language", placeholder=_("Language"), options=options))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Show the packs of the language."""
        await _refresh_packs(interaction, app, guild_id, self.item.values[0])


class PackSelect(ForModerators[discord.ui.Select[Any]], template=r"limner:packs:of:(?P<language>\w+)"):
    """Switches packs of one language on and off."""

    def __init__(self, item: discord.ui.Select[Any], language: str) -> None:
        super().__init__(item)
        self.language = language

    @classmethod
    def of(cls, language: str, on: Collection[str]) -> Self:
        """A choice among the packs of a language."""
        some = [pack for pack in packs.every().values() if pack.language == language]
        options = [
            Option(label=_(pack.title), value=pack.name, description=_words(pack), default=pack.name in on)
            for pack in some
        ]
        select = discord.ui.Select[Any](
            custom_id=f"limner:packs:of:{language}",
            placeholder=_("Packs"),
            min_values=0,
            max_values=len(some),
            options=options,
        )
        return cls(select, language)

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made."""
        return cls(cast("discord.ui.Select[Any]", item), match["language"])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Switch the selected packs on and the others off."""
        rows, by, bound = await app.filters.all(guild_id, PACK), interaction.user.id, bound_roles(interaction)
        for pack in packs.every().values():
            if pack.language == self.language:
                own = [row for row in rows if row.pattern == pack.name]
                is_chosen = pack.name in self.item.values
                if is_chosen and not own:
                    await app.filters.put(guild_id, Entry(pattern=pack.name, kind=PACK), by, bound=bound)
                for row in own:
                    await app.filters.edit(guild_id, row.id, by, bound=bound, is_on=is_chosen)
        await _refresh_packs(interaction, app, guild_id, self.language)


class RolesSelect(ForManagers[discord.ui.RoleSelect[Any]], template=r"limner:settings:roles"):
    """Selects the server's moderator roles."""

    @classmethod
    def of(cls, settings: GuildSettings) -> Self:
        """A choice among the server's roles."""
        kind = discord.SelectDefaultValueType.role
        chosen = [discord.SelectDefaultValue(id=role, type=kind) for role in settings.moderator_role_ids]
        select = discord.ui.RoleSelect[Any](
            custom_id="limner:settings:roles",
            placeholder=_("Moderators' roles"),
            min_values=0,
            max_values=25,
            default_values=chosen,
        )
        return cls(select)

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Make exactly these roles moderators."""
        roles = chosen_roles(interaction, self.item)
        await app.guilds.change(guild_id, interaction.user.id, moderator_role_ids=roles)
        await _refresh_settings(interaction, app, guild_id)


class NegativeSelect(ForManagers[discord.ui.Select[Any]], template=r"limner:settings:negative"):
    """Selects whether the filter checks negative prompts."""

    @classmethod
    def of(cls, settings: GuildSettings) -> Self:
        """A choice between the two."""
        is_now = "checked" if settings.checks_negative_prompts else "free"
        options = [Option(label=_(text), value=value, default=value == is_now) for value, text in NEGATIVES.items()]
        return cls(discord.ui.Select(custom_id="limner:settings:negative", options=options))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Save the choice."""
        is_checked = self.item.values[0] == "checked"
        await app.guilds.change(guild_id, interaction.user.id, checks_negative_prompts=is_checked)
        await _refresh_settings(interaction, app, guild_id)


class ReviewChannelSelect(ForManagers[discord.ui.ChannelSelect[Any]], template=r"limner:settings:review"):
    """Selects the channel for review cards."""

    @classmethod
    def of(cls, settings: GuildSettings) -> Self:
        """A choice among the server's text channels."""
        kinds = [discord.ChannelType.text]
        return cls(channel_select("limner:settings:review", _("Review channel"), kinds, settings.review_channel_id))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Post cards there from now on; without a channel the action flag refuses."""
        chosen = chosen_text_channel(interaction, self.item)
        await app.guilds.change(guild_id, interaction.user.id, review_channel_id=chosen)
        await _refresh_settings(interaction, app, guild_id)


def chosen_roles(interaction: Interaction, select: discord.ui.RoleSelect[Any]) -> tuple[int, ...]:
    """The roles that were selected; raises BadOption for one of another server."""
    roles = tuple(sorted(role.id for role in select.values))
    if not (interaction.guild and all(map(interaction.guild.get_role, roles))):
        raise BadOption(_(NOT_OFFERED))
    return roles


def channel_select(
    custom_id: str, placeholder: str, kinds: list[discord.ChannelType], chosen: int | None
) -> discord.ui.ChannelSelect[Any]:
    """A select of one channel of these kinds, or none."""
    kind = discord.SelectDefaultValueType.channel
    return discord.ui.ChannelSelect[Any](
        custom_id=custom_id,
        placeholder=placeholder,
        channel_types=kinds,
        min_values=0,
        default_values=[discord.SelectDefaultValue(id=chosen, type=kind)] if chosen else [],
    )


def chosen_text_channel(interaction: Interaction, select: discord.ui.ChannelSelect[Any]) -> int | None:
    """The text channel that was selected, if any; raises BadOption for another one."""
    chosen, guild = next((channel.id for channel in select.values), None), interaction.guild
    if chosen and not (guild and isinstance(guild.get_channel(chosen), discord.TextChannel)):
        raise BadOption(_(NOT_OFFERED))
    return chosen


async def show_packs(interaction: Interaction, app: App, guild_id: int) -> None:
    """Show the English packs first."""
    embed, buttons = await _packs(app, guild_id, _(FIRST_LANGUAGE))
    await tell(interaction, _(PACKS), embed=embed, view=buttons)


async def show_settings(interaction: Interaction, app: App, guild_id: int) -> None:
    """Show the server's settings, with selects to change them."""
    embed, buttons = _settings(await app.guilds.get(guild_id), interaction.guild)
    await tell(interaction, "", embed=embed, view=buttons)


async def _refresh_packs(interaction: Interaction, app: App, guild_id: int, language: str) -> None:
    embed, buttons = await _packs(app, guild_id, language)
    await interaction.response.edit_message(embed=embed, view=buttons, allowed_mentions=SILENT)


async def _refresh_settings(interaction: Interaction, app: App, guild_id: int) -> None:
    embed, buttons = _settings(await app.guilds.get(guild_id), interaction.guild)
    await interaction.response.edit_message(embed=embed, view=buttons, allowed_mentions=SILENT)


async def _packs(app: App, guild_id: int, language: str) -> tuple[discord.Embed, discord.ui.View]:
    rows = [row for row in await app.filters.all(guild_id, PACK) if row.is_on]
    lines = [f"**{row.id}** {texts.pack_name(row.pattern)} · {texts.action(row.action)}" for row in rows]
    embed = make_embed(_("Packs that are on"), fit(lines, DESCRIPTION) or _("None yet."))
    on = {row.pattern for row in rows}
    return embed, view([LanguageSelect.of(language), PackSelect.of(language, on)])


def _settings(settings: GuildSettings, guild: discord.Guild | None) -> tuple[discord.Embed, discord.ui.View]:
    roles = " ".join(f"<@&{role}>" for role in settings.moderator_role_ids) or _("none but those with Manage Server")
    negative = _(NEGATIVES["checked" if settings.checks_negative_prompts else "free"])
    channel = f"<#{settings.review_channel_id}>" if settings.review_channel_id else _("none, so a flag refuses")
    facts = _(
        "**Moderators** {roles}\n**Negative prompts** {negative}\n**Review channel** {channel}",
        roles=roles,
        negative=negative,
        channel=channel,
    )
    if warning := public_warning(guild, settings):
        facts += f"\n\n{warning}"
    embed = make_embed(_("The filter of this server"), facts, footer=_(INTEGRATIONS))
    return embed, view([RolesSelect.of(settings), ReviewChannelSelect.of(settings), NegativeSelect.of(settings)])


def _words(pack: packs.Pack) -> str:
    return ngettext("1 word", "{number} words", len(pack.terms))


def public_warning(guild: discord.Guild | None, settings: GuildSettings) -> str:
    """A sentence about a review channel that every member of the server can read; empty for any other."""
    channel = guild.get_channel(settings.review_channel_id or 0) if guild else None
    return _(PUBLIC) if channel and channel.permissions_for(channel.guild.default_role).read_messages else ""
