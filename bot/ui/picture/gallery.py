"""The pages of /history: nine pictures, a select that opens one, and buttons to older and newer pages."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import discord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import CHOICE, cut, length
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.history.gallery import Filter, Key
from limner.bot.storage.history.meaning import merged
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.models import Image, Job
from limner.bot.styles import Styles
from limner.bot.translation import N_, _, commas
from limner.bot.ui.controls import NUMBER, ForAnyone, ForOwner
from limner.bot.ui.interactions import SILENT, readable, sees, tell, where_to_post
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.job.job_messages import plain
from limner.bot.ui.picture.family import OPEN, FamilyButton
from limner.bot.ui.picture.opened import hidden, is_repeatable, link_to, show_request
from limner.bot.ui.picture.picture_buttons import picture_items

Interaction = discord.Interaction[Any]
Shown = tuple[Job, Image]

PAGE = 9
MOST_FOUND, MOST_ALIKE = 200, 40
"""Most requests that a search finds by their words and by their meaning."""
MOST_SHOWN = 5
"""Most buttons of requests that were made of one."""
IDEA_LENGTH = 80
THUMBNAIL = 320
ROOM = 60
"""Characters of a button's id, of 100, that all filters share."""
BUTTONS = 25
"""Buttons in one message."""

NOTHING_YET = N_("You have no pictures yet; /imagine paints your first one.")
NOTHING_FOUND = N_("None of your pictures is like that; leave out a word or a filter.")
NO_MORE = N_("There are no more pictures in this direction.")
TOO_MUCH = N_("All filters together may have {most} characters; shorten the words.")
FILE_GONE = N_("Its file is gone from the bot's disk; Repeat in its request paints it again.")
LOOKS = {"open": discord.ButtonStyle.secondary, "repeat": discord.ButtonStyle.primary}


@dataclass(frozen=True)
class Browsing:
    """What a page shows: the filters, of which a button's id keeps those that are given, and the order."""

    words: str = ""
    model: str = ""
    style: str = ""
    lora: str = ""
    is_upscaled: bool = False
    is_favourite: bool = False
    is_oldest_first: bool = False

    @property
    def packed(self) -> str:
        """The filters in a button's id."""
        signs = "u" * self.is_upscaled + "f" * self.is_favourite + "o" * self.is_oldest_first
        return "|".join((signs, self.model, self.style, self.lora, self.words))

    def check(self) -> None:
        """Raise BadOption if a button's id has no room for the filters."""
        if length(self.packed) > ROOM:
            raise BadOption(_(TOO_MUCH, most=ROOM - len("ufo||||")))

    @classmethod
    def unpacked(cls, packed: str) -> Self:
        """Read what `packed` wrote; what it did not write finds nothing."""
        signs, model, style, lora, words = [*packed.split("|", 4), "", "", "", ""][:5]
        return cls(words, model, style, lora, *(sign in signs for sign in "ufo"))

    def of(self, user_id: int) -> Filter:
        """These pictures of a member."""
        return Filter(
            user_id=user_id,
            words=self.words,
            model=self.model,
            style=self.style,
            lora=self.lora,
            is_upscaled=self.is_upscaled,
            is_favourite=self.is_favourite,
        )

    def heading(self, styles: Styles) -> str:
        """The heading of its pages."""
        given = [f"**{plain(self.words, 2 * ROOM)}**"] if self.words else []
        given += [plain(name, 2 * ROOM) for name in (self.model, styles.title(self.style), self.lora) if name]
        given += [_("upscaled")] * self.is_upscaled + [_("favourites")] * self.is_favourite
        given += [_("oldest first")] * self.is_oldest_first
        return _("Your pictures: {filters}", filters=commas(given)) if given else _("Your pictures")


class TurnButton(
    ForAnyone[discord.ui.Button[Any]],
    template=rf"limner:gallery:(?P<way>[nfb]):(?P<job>{NUMBER}):(?P<place>[0-9]{{1,2}}):(?P<packed>(?s:.*))",
):
    """Turns to the pictures after one (f), before one (b), or to the first (n); survives restarts."""

    def __init__(self, label: str, way: str, key: Key, packed: str) -> None:
        custom_id = f"limner:gallery:{way}:{key.job_id}:{key.position}:{packed}"
        super().__init__(discord.ui.Button(label=label, custom_id=custom_id))
        self.way, self.key, self.packed = way, key, packed

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls("", match["way"], Key(int(match["job"]), int(match["place"])), match["packed"])

    async def act(self, interaction: Interaction, app: App) -> None:
        """Replace the shown page."""
        await interaction.response.defer()
        key = None if self.way == "n" else self.key
        await show_page(interaction, app, Browsing.unpacked(self.packed), key, is_backwards=self.way == "b")


class OpenPicture(ForAnyone[discord.ui.Select[Any]], template=OPEN):
    """Opens a request; a value is its number and its picture's."""

    def __init__(self, options: list[discord.SelectOption]) -> None:
        select = discord.ui.Select[Any](custom_id=OPEN, placeholder=_("Open a picture"), options=options)
        super().__init__(select)

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made, in whichever process it was offered."""
        return cls([])

    async def act(self, interaction: Interaction, app: App) -> None:
        """Show the chosen picture's request, if it is (still) for the member to see."""
        job = await readable(interaction, app, int(self.item.values[0].split(":")[0]))
        await open_request(interaction, app, job)


class HistoryButton(
    ForOwner[discord.ui.Button[Any]],
    template=rf"limner:history:(?P<verb>{'|'.join(LOOKS)}):(?P<job>{NUMBER}):",
):
    """Opens a request, or paints the member's own again; survives restarts."""

    def __init__(self, label: str, verb: str, job_id: int) -> None:
        custom_id = f"limner:history:{verb}:{job_id}:"
        super().__init__(discord.ui.Button(label=label, style=LOOKS[verb], custom_id=custom_id))
        self.verb = verb
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls("", match["verb"], int(match["job"]))

    @property
    def is_for_readers(self) -> bool:
        """Everybody who sees the pictures may open their request."""
        return self.verb == "open"

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the button's verb."""
        if self.verb == "open":
            await open_request(interaction, app, job)
        else:
            again = await submit.repeat(app, job, where=where_to_post(interaction))
            await post_placeholder(interaction, app, again)


async def open_request(interaction: Interaction, app: App, job: Job) -> None:
    """Show a request with the buttons of its pictures, and of those relatives that the member may see."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    may_see = partial(sees, interaction)
    parents = await app.history.lineage.parents(job, may_see)
    children = await app.history.lineage.children(job, may_see, MOST_SHOWN)
    buttons: list[discord.ui.Item[Any]] = [*picture_items(job)]
    is_own = job.user_id == interaction.user.id
    buttons += [HistoryButton(_("Repeat"), "repeat", job.id)] if is_own and is_repeatable(job) else []
    buttons += [FamilyButton(job.id)] if parents or children else []
    buttons += [HistoryButton(_("Made of {job}", job=one.id), "open", one.id) for one in parents]
    buttons += [HistoryButton(_("Became {job}", job=one.id), "open", one.id) for one in children]
    await show_request(interaction, app, job, buttons[:BUTTONS])


async def show_page(
    interaction: Interaction, app: App, browsing: Browsing, after: Key | None = None, *, is_backwards: bool = False
) -> None:
    """Replace the interaction's answer, which is deferred, by the pictures after one, or before it."""
    packed = browsing.packed
    keys = await _keys(app, browsing, interaction.user.id, after, is_backwards=is_backwards)
    has_more, keys = len(keys) > PAGE, keys[:PAGE]
    pictures = await app.history.gallery.load(keys[::-1] if is_backwards else keys)
    if not pictures:
        return await tell(
            interaction, _(NO_MORE if after else NOTHING_FOUND if browsing != Browsing() else NOTHING_YET)
        )
    files = await _thumbnails(app, interaction, pictures)
    box: discord.ui.Container[Any] = discord.ui.Container(discord.ui.TextDisplay(f"### {browsing.heading(app.styles)}"))
    if small := [file for file, _reason in files if file]:
        box.add_item(discord.ui.MediaGallery(*map(discord.MediaGalleryItem, small)))
    lines = [_line(one, reason) for one, (_file, reason) in zip(pictures, files, strict=True)]
    box.add_item(discord.ui.TextDisplay("\n".join(lines)))
    choices: list[discord.ui.Item[Any]] = [OpenPicture([_option(one) for one in pictures])]
    box.add_item(discord.ui.ActionRow(*choices))
    first, last = (Key(job.id, image.position) for job, image in (pictures[0], pictures[-1]))
    buttons: list[discord.ui.Item[Any]] = []
    if after and (has_more or not is_backwards):
        buttons += [TurnButton(_("Back"), "b", first, packed), TurnButton(_("Beginning"), "n", first, packed)]
    if has_more or is_backwards:
        buttons.append(TurnButton(_("Next"), "f", last, packed))
    if buttons:
        box.add_item(discord.ui.ActionRow(*buttons))
    view = discord.ui.LayoutView(timeout=None).add_item(box)
    await interaction.edit_original_response(view=view, attachments=small, allowed_mentions=SILENT)


async def _keys(app: App, browsing: Browsing, user_id: int, after: Key | None, *, is_backwards: bool) -> list[Key]:
    """The pictures of a page and one more: of a search the nearest first by words and meaning, else in their order."""
    wanted, gallery = browsing.of(user_id), app.history.gallery
    if browsing.words and not browsing.is_oldest_first:
        by_words = await gallery.requests(wanted, MOST_FOUND)
        by_meaning = await app.meaning.nearest(SearchScope(user_id=user_id), browsing.words, MOST_ALIKE)
        ranking = merged(by_words, by_meaning)
        return await gallery.ranked(wanted, ranking, PAGE + 1, after=after, is_backwards=is_backwards)
    order = {"is_oldest_first": browsing.is_oldest_first, "is_backwards": is_backwards}
    return await gallery.keys(wanted, PAGE + 1, after=after, **order)


def _line(one: Shown, reason: str) -> str:
    """A picture's number, words and time, with the way to its message, or why it is not shown."""
    job, image = one
    link, number = link_to(job), f"{job.id}.{image.position + 1}"
    when = discord.utils.format_dt(datetime.fromtimestamp(job.created_at, UTC), "R")
    named = f"[{number}]({link})" if link else number
    return f"{named} · {plain(job.idea or job.input_name, IDEA_LENGTH)} · {when}{reason and f' · {reason}'}"


def _option(one: Shown) -> discord.SelectOption:
    job, image = one
    number = f"{job.id}.{image.position + 1}"
    return discord.SelectOption(
        label=cut(f"{number} {' '.join((job.idea or job.input_name).split())}", CHOICE), value=number.replace(".", ":")
    )


async def _thumbnails(
    app: App, interaction: Interaction, pictures: Sequence[Shown]
) -> list[tuple[discord.File | None, str]]:
    """A small copy of each picture, or why it is not shown here."""
    reasons = {job.id: await hidden(app, interaction, job) or "" for job, _image in pictures}
    seen = [(job, image) for job, image in pictures if not reasons[job.id]]
    copies = await app.decoder.copies([app.images.path(image.sha256) for _job, image in seen], THUMBNAIL, "WEBP")
    data = {image.id: copy for (_job, image), copy in zip(seen, copies, strict=True)}
    return [
        (_file(job, image, copy), "") if (copy := data.get(image.id)) else (None, reasons[job.id] or _(FILE_GONE))
        for job, image in pictures
    ]


def _file(job: Job, image: Image, data: bytes) -> discord.File:
    name = f"limner-{job.id}-{image.position + 1}.webp"
    return discord.File(io.BytesIO(data), name, spoiler=job.is_spoiler, description=describe(job))
