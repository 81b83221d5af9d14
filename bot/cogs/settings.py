"""/settings: what a member chooses for all their requests, on one private screen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import CHOICE, CHOICES, cut
from limner.bot.translation import N_, _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.controls import NOT_OFFERED, NUMBER, ForAnyone
from limner.bot.ui.form import Form, open_form
from limner.bot.ui.interactions import SILENT, use_languages
from limner.bot.ui.member_choices import CHOICES as SETTINGS
from limner.bot.ui.member_choices import Choice, Offered, find, label_of

Interaction = discord.Interaction[Any]

NAMES = (*SETTINGS,)
TITLE = N_("Your settings")
NOTE = N_(
    "They count in every server where a request does not say otherwise, as far as its model can. The names of commands "
    "and options are in the language that Discord has for you."
)
NOW = N_("**{label}** {value}")


class SettingsCog(LimnerCog, name="Limner settings"):
    """The member's own choices."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    async def settings(self, interaction: Interaction) -> None:
        """Show and change what counts for all your requests."""
        view = await _screen(self.app, interaction.user.id)
        await interaction.response.send_message(view=view, ephemeral=True, allowed_mentions=SILENT)


class SettingSelect(ForAnyone[discord.ui.Select[Any]], template=rf"limner:mine:(?P<name>{'|'.join(NAMES)})"):
    """Changes one of the settings of the member who selects."""

    def __init__(self, name: str, offered: list[discord.SelectOption], label: str = "") -> None:
        super().__init__(discord.ui.Select(custom_id=f"limner:mine:{name}", placeholder=label, options=offered))
        self.name = name

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made, in whichever process it was offered."""
        return cls(match["name"], [])

    async def act(self, interaction: Interaction, app: App) -> None:
        """Change the setting."""
        await _choose(app, interaction.user.id, self.name, self.item.values[0])
        await _refresh(interaction, app)


class SettingButton(ForAnyone[discord.ui.Button[Any]], template=rf"limner:mine:form:(?P<place>{NUMBER})"):
    """Opens the form of a setting that offers more than a list can show."""

    def __init__(self, place: int) -> None:
        super().__init__(discord.ui.Button(label=_("Change"), custom_id=f"limner:mine:form:{place}"))
        self.place = place

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["place"]))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Open the form."""
        await open_form(interaction, app, "mine", self.place)


class SettingForm(Form, kind="mine"):
    """Asks for the name of a model or style."""

    def __init__(self, name: str, value: str) -> None:
        choice = SETTINGS[name]
        super().__init__(_(choice.label))
        self._name = name
        text = discord.ui.TextInput[Any](required=False, max_length=CHOICE, default=value)
        self.ask("text", _(choice.label), text, _("Empty: as the server has it."))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For anybody, about their own; the subject is the setting's place."""
        if subject >= len(NAMES):
            raise BadOption(_(NOT_OFFERED))
        choice = SETTINGS[NAMES[subject]]
        value = await choice.chosen(app, interaction.user.id)
        named = choice.offered(app)[1:]  # the first one leaves it to the server
        return cls(NAMES[subject], next((one.label for one in named if one.value == value), ""))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Change the setting."""
        found = find(SETTINGS[self._name].offered(app), self.text("text"))
        await _choose(app, interaction.user.id, self._name, found.value)
        await _refresh(interaction, app)


async def _choose(app: App, user_id: int, name: str, value: str) -> None:
    if value not in {one.value for one in SETTINGS[name].offered(app)}:
        raise BadOption(_(NOT_OFFERED))
    await SETTINGS[name].choose(app, user_id, value)


async def _refresh(interaction: Interaction, app: App) -> None:
    await use_languages(interaction, app)
    view = await _screen(app, interaction.user.id)
    await interaction.response.edit_message(content=None, embeds=[], view=view, allowed_mentions=SILENT)


async def _screen(app: App, user_id: int) -> discord.ui.LayoutView:
    """All settings with what is chosen now."""
    box: discord.ui.Container[Any] = discord.ui.Container(discord.ui.TextDisplay(f"### {_(TITLE)}\n{_(NOTE)}"))
    for name, choice in SETTINGS.items():
        for item in _items(name, choice, choice.offered(app), await choice.chosen(app, user_id)):
            box.add_item(item)
    return discord.ui.LayoutView(timeout=None).add_item(box)


def _items(name: str, choice: Choice, offered: Sequence[Offered], value: str) -> list[discord.ui.Item[Any]]:
    """A setting's list under its name, or its value beside a button where a list has no room."""
    now, label = label_of(offered, value), _(choice.label)
    if len(offered) > CHOICES:
        text = discord.ui.TextDisplay[Any](_(NOW, label=label, value=now))
        return [discord.ui.Section(text, accessory=SettingButton(NAMES.index(name)))]
    options = [
        discord.SelectOption(label=cut(one.label, CHOICE), value=one.value, default=one.value == value)
        for one in offered
    ]
    items: list[discord.ui.Item[Any]] = [SettingSelect(name, options, now)]
    return [discord.ui.TextDisplay(f"**{label}**"), discord.ui.ActionRow(*items)]
