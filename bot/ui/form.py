"""Forms whose custom_id says kind, server, member and subject, so that any process can rebuild them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

import discord

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.translation import N_, _

Interaction = discord.Interaction[Any]
Field = (
    discord.ui.TextInput[Any]
    | discord.ui.Select[Any]
    | discord.ui.RoleSelect[Any]
    | discord.ui.ChannelSelect[Any]
    | discord.ui.FileUpload[Any]
)

TOO_LONG = N_("“{label}” has {length} characters, and there is room for {most}; shorten it.")
TOO_SHORT = N_("“{label}” must have at least {least} characters.")
FORM_ID = re.compile(
    r"limner:form:(?P<kind>\w+):(?P<guild>[0-9]{1,20}):(?P<user>[0-9]{1,20}):(?P<subject>[0-8]?[0-9]{1,18})"
)
NOT_OFFERED = N_("“{label}” does not offer that any more; open the form again and choose.")


class Form(discord.ui.Modal, ABC):
    """A form for one member, in one server, about one subject.

    discord.py keeps open modals in memory by id: two with one id break each other, and a restart loses the input. These
    are not kept: `of` rebuilds the form when it is opened and when it is sent, and checks rights and state both times.
    """

    kinds: ClassVar[dict[str, type[Form]]] = {}
    """Every class of forms that is imported, by the name in its id; those that are taken back are in `forms`."""
    kind: ClassVar[str]

    def __init_subclass__(cls, *, kind: str) -> None:
        super().__init_subclass__()
        cls.kind = kind
        Form.kinds[kind] = cls

    def __init__(self, title: str) -> None:
        super().__init__(title=title)
        self._fields: dict[str, tuple[str, Field]] = {}
        self._given: dict[str, list[str]] = {}
        self._files: Mapping[str, discord.Attachment] = {}

    @classmethod
    @abstractmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """The form about a subject for the interaction's member; raises UserError if there is none (any more)."""

    @abstractmethod
    async def act(self, interaction: Interaction, app: App) -> None:
        """Carry out the form with its checked values."""

    def ask(self, name: str, label: str, field: Field, description: str | None = None) -> None:
        """Add a field; `text` and `chosen` find it by ``name``."""
        field.custom_id = name
        self._fields[name] = label, field
        self.add_item(discord.ui.Label(text=label, component=field, description=description))

    def text(self, name: str) -> str:
        """A field's text."""
        return self._given[name][0]

    def chosen(self, name: str) -> list[str]:
        """A field's selected values, or ids of roles or channels."""
        return self._given[name]

    def file(self, name: str) -> discord.Attachment | None:
        """The file given in a field, if any."""
        return next((self._files[number] for number in self._given[name] if number in self._files), None)

    def fill(self, given: Mapping[str, str]) -> None:
        """Fill fields by name; a text that is too long stays for the member to shorten."""
        for name, (_label, field) in self._fields.items():
            if name in given and isinstance(field, discord.ui.TextInput):
                field.default = given[name]
                field.max_length = max(field.max_length or 0, len(given[name])) or None
            elif name in given and isinstance(field, discord.ui.Select):
                for option in field.options:
                    option.default = option.value in given[name].split(", ")

    def read(
        self, components: Sequence[Mapping[str, Any]], files: Mapping[str, discord.Attachment] = MappingProxyType({})
    ) -> None:
        """Take the submitted values, and the files by their ids; raises BadOption for values that it does not offer."""
        self._files = files
        parts = [component["component"] for component in components if "component" in component]
        given = {str(part.get("custom_id")): part for part in parts}
        for name, (label, field) in self._fields.items():
            part = given.get(name, {})
            if isinstance(field, discord.ui.TextInput):
                self._given[name] = [_written(label, field, str(part.get("value") or ""))]
            else:
                self._given[name] = _chosen(label, field, [str(value) for value in part.get("values") or ()])


async def open_form(
    interaction: Interaction, app: App, kind: str, subject: int = 0, given: Mapping[str, str] | None = None
) -> None:
    """Show a form about a subject (the number of its row, 0 for none), filled with the given values.

    Raises:
        UserError: raised by its `of`.
    """
    form = await Form.kinds[kind].of(interaction, app, subject)
    form.fill(given or {})
    form.custom_id = f"limner:form:{kind}:{interaction.guild_id or 0}:{interaction.user.id}:{subject}"
    form.stop()  # so that discord.py forgets it
    await interaction.response.send_modal(form)


def _written(label: str, field: discord.ui.TextInput[Any], text: str) -> str:
    if field.max_length is not None and len(text) > field.max_length:
        raise BadOption(_(TOO_LONG, label=label, length=len(text), most=field.max_length))
    least = field.min_length or int(field.required)
    if len(text) < least and (text or field.required):
        raise BadOption(_(TOO_SHORT, label=label, least=least))
    return text


def _chosen(label: str, field: Any, values: list[str]) -> list[str]:
    is_offered = all(re.fullmatch("[0-9]{1,20}", value) for value in values)
    if isinstance(field, discord.ui.Select):
        offered = {option.value for option in cast("discord.ui.Select[Any]", field).options}
        is_offered = offered.issuperset(values)
    least = field.min_values or 0 if field.required or values else 0
    if not is_offered or not least <= len(values) <= (field.max_values or 1):
        raise BadOption(_(NOT_OFFERED, label=label))
    return values


def paragraph(text: str, longest: int, *, required: bool = True) -> discord.ui.TextInput[Any]:
    """A field for several lines, with a text to change."""
    return discord.ui.TextInput(
        style=discord.TextStyle.paragraph,
        default=text,
        required=required,
        min_length=1 if required else None,
        max_length=longest,
    )
