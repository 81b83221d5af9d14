"""Lists of several pages; each page is read anew when it is opened."""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import discord

from limner.bot.app import App
from limner.bot.limits import CONTENT, DESCRIPTION, first_lines, fit
from limner.bot.translation import N_, _
from limner.bot.ui.controls import ForAnyone
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.interactions import SILENT, tell

Interaction = discord.Interaction[Any]
ValueT = TypeVar("ValueT", str, int)

PAGE = 10
FILE_BYTES = 2**20
IN_FILE = N_("… and {number} more, in the file")


@dataclass(frozen=True)
class Listing:
    """One page of a list; the last page if the number is too large."""

    title: str
    lines: Sequence[str]
    number: int = 1
    pages: int = 1
    note: str = ""

    def embed(self) -> discord.Embed:
        """The page, on which no line is missing."""
        place = _("Page {number} of {pages}", number=self.number, pages=self.pages) if self.pages > 1 else ""
        footer = "\n".join(filter(None, (self.note, place)))
        return make_embed(self.title, fit(self.lines, DESCRIPTION), footer=footer)


Maker = Callable[[Interaction, App, int, int], Awaitable[Listing]]
KINDS = ("queue", "reviews", "refused", "strikes", "bans", "mine", "help", "models")
LISTS: dict[str, Maker] = {}
"""What makes a page of each kind of list for the one who asks, about a subject (such as a member's id, or 0)."""


def listed(kind: str) -> Callable[[Maker], Maker]:
    """Register the pages of a kind of list; the function must check the member's rights each time."""

    def register(make: Maker) -> Maker:
        LISTS[kind] = make
        return make

    return register


def page_of(total: int, number: int, size: int = PAGE) -> tuple[int, int]:
    """The existing page (counted from 1), and the number of pages."""
    pages = max(1, -(-total // size))
    return min(max(1, number), pages), pages


class ListingButton(
    ForAnyone[discord.ui.Button[Any]],
    template=rf"limner:list:(?P<verb>{'|'.join(KINDS)}):(?P<subject>[0-8]?[0-9]{{1,18}}):(?P<number>[0-9]{{1,9}})",
):
    """Turns to a page of a list; survives restarts."""

    def __init__(self, label: str, kind: str, subject: int, number: int) -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"limner:list:{kind}:{subject}:{number}"))
        self.kind = kind
        self.subject = subject
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls("", match["verb"], int(match["subject"]), int(match["number"]))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Replace the shown page."""
        page = await LISTS[self.kind](interaction, app, self.subject, self.number)
        buttons = _buttons(page, self.kind, self.subject)
        await interaction.response.edit_message(embed=page.embed(), view=buttons, allowed_mentions=SILENT)


async def show_list(interaction: Interaction, app: App, kind: str, subject: int = 0) -> None:
    """Answer with the first page of a list."""
    page = await LISTS[kind](interaction, app, subject, 1)
    await tell(interaction, "", embed=page.embed(), view=_buttons(page, kind, subject))


def with_file(
    head: Sequence[str], lines: Sequence[str], name: str, show: Callable[[str], str] = str
) -> tuple[str, list[discord.File]]:
    """Lines under a heading in one message; all of them in a file if they do not fit."""
    text, left = first_lines([*head, *map(show, lines)], CONTENT, _(IN_FILE))
    data = "\n".join(lines).encode()[:FILE_BYTES]
    return text, [discord.File(io.BytesIO(data), name)] if left else []


def _buttons(page: Listing, kind: str, subject: int) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    if page.number > 1:
        view.add_item(ListingButton(_("Previous"), kind, subject, page.number - 1))
    if page.number < page.pages:
        view.add_item(ListingButton(_("Next"), kind, subject, page.number + 1))
    return view
