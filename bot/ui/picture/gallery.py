"""The pages of /history and /gallery: nine pictures, a select that opens one, and buttons to other pages."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.limits import CHOICE, cut
from limner.bot.posted_pictures import picture_of
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.history.gallery import Key
from limner.bot.storage.history.meaning import BY_MEANING, merged
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, ForAnyone, ForOwner
from limner.bot.ui.interactions import SILENT, readable, tell
from limner.bot.ui.job.job_messages import plain
from limner.bot.ui.picture.browsing import LIKE, Browsing
from limner.bot.ui.picture.opened import hidden, link_to, opening_select

Interaction = discord.Interaction[Any]
Shown = tuple[Job, Image]

PAGE = 9
MOST_FOUND, MOST_ALIKE = 200, 40
"""Most requests that a search finds by their words and by their meaning."""
IDEA_LENGTH = 80
THUMBNAIL = 320

NOTHING_YET = N_("You have no pictures yet; /imagine paints your first one.")
NOTHING_HERE = N_("This server has no public pictures in channels that you read yet; /imagine paints the first one.")
NOTHING_FOUND = N_("No picture is like that; leave out a word or a filter.")
NO_ORDER = N_("Words are stored encrypted here, so a search goes by meaning, the nearest first; leave out `oldest`.")
NO_SEARCH = N_("Words are stored encrypted here, and this bot has no search by meaning; leave out `search`.")
NO_MORE = N_("There are no more pictures in this direction.")
FILE_GONE = N_("Its file is gone from the bot's disk; Repeat in its request paints it again.")


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


class AlikeButton(ForOwner[discord.ui.Button[Any]], template=rf"limner:alike:(?P<job>{NUMBER}):(?P<number>[1-9])"):
    """Shows pictures that are like one: of the member's own if it is theirs, otherwise of the server's public ones."""

    def __init__(self, job_id: int, number: int) -> None:
        super().__init__(discord.ui.Button(label=_("More like this"), custom_id=f"limner:alike:{job_id}:{number}"))
        self.job_id, self.number = job_id, number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["job"]), int(match["number"]))

    @property
    def is_for_readers(self) -> bool:
        """Everybody who sees a picture may look for others."""
        return True

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Show the first page."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        words, is_others = f"like:{job.id}-{self.number}", job.user_id != interaction.user.id
        await show_page(interaction, app, Browsing(words, is_of_server=is_others))


async def show_page(
    interaction: Interaction, app: App, browsing: Browsing, after: Key | None = None, *, is_backwards: bool = False
) -> None:
    """Replace the interaction's answer, which is deferred, by the pictures after one, or before it."""
    is_search = bool(browsing.words and not LIKE.fullmatch(browsing.words))
    is_by_meaning = is_search and app.database.cipher.is_on
    if is_by_meaning and (browsing.is_oldest_first or app.meaning.is_missing):
        raise BadOption(_(NO_ORDER if browsing.is_oldest_first else NO_SEARCH))
    packed = browsing.packed
    keys = await _keys(interaction, app, browsing, after, is_backwards=is_backwards)
    has_more, keys = len(keys) > PAGE, keys[:PAGE]
    pictures = await app.history.gallery.load(keys[::-1] if is_backwards else keys)
    if not pictures:
        nothing = {Browsing(): NOTHING_YET, Browsing(is_of_server=True): NOTHING_HERE}
        said = _(NO_MORE if after else nothing.get(browsing, NOTHING_FOUND))
        return await tell(interaction, f"{said}\n{_(BY_MEANING)}" if is_by_meaning else said)
    files = await _thumbnails(app, interaction, pictures)
    box: discord.ui.Container[Any] = discord.ui.Container(discord.ui.TextDisplay(f"### {browsing.heading(app.styles)}"))
    if small := [file for file, _reason in files if file]:
        box.add_item(discord.ui.MediaGallery(*map(discord.MediaGalleryItem, small)))
    lines = [_line(one, reason, by=browsing.is_of_server) for one, (_file, reason) in zip(pictures, files, strict=True)]
    lines += [f"-# {_(BY_MEANING)}"] if is_by_meaning else []
    box.add_item(discord.ui.TextDisplay("\n".join(lines)))
    box.add_item(discord.ui.ActionRow(opening_select([_option(one) for one in pictures], _("Open a picture"))))
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


async def _keys(
    interaction: Interaction, app: App, browsing: Browsing, after: Key | None, *, is_backwards: bool
) -> list[Key]:
    """The pictures of a page and one more: of a search the nearest first by words and meaning, else in their order."""
    wanted, gallery = browsing.of(interaction), app.history.gallery
    if like := LIKE.fullmatch(browsing.words):
        job = await readable(interaction, app, int(like["job"]))
        ranking = await _alike(app, browsing.scope(interaction), job, int(like["number"]))
        return await gallery.ranked(wanted, ranking, PAGE + 1, after=after, is_backwards=is_backwards)
    if browsing.words and not browsing.is_oldest_first:
        by_words = await gallery.requests(wanted, MOST_FOUND)
        by_meaning = await app.meaning.wanted(gallery, wanted, MOST_ALIKE)
        ranking = merged(by_words, by_meaning)
        return await gallery.ranked(wanted, ranking, PAGE + 1, after=after, is_backwards=is_backwards)
    order = {"is_oldest_first": browsing.is_oldest_first, "is_backwards": is_backwards}
    return await gallery.keys(wanted, PAGE + 1, after=after, **order)


async def _alike(app: App, scope: SearchScope, job: Job, number: int) -> list[int]:
    """The requests whose pictures look like one, where a model sees that, and whose words mean about the same."""
    picture = picture_of(job, number)
    by_words = await app.meaning.like(scope, job.id, MOST_ALIKE)
    by_looks = await app.alike.nearest(scope, job.id, picture.position, by_words, MOST_ALIKE)
    return merged(by_looks, by_words)


def _line(one: Shown, reason: str, *, by: bool) -> str:
    """A picture's number, words and time, with the way to its message, perhaps by whom, or why it is not shown."""
    job, image = one
    link, number = link_to(job), f"{job.id}.{image.position + 1}"
    when = discord.utils.format_dt(datetime.fromtimestamp(job.created_at, UTC), "R")
    named = f"[{number}]({link})" if link else number
    facts = [named, plain(job.idea or job.input_name, IDEA_LENGTH), when, f"<@{job.user_id}>" if by else "", reason]
    return " · ".join(filter(None, facts))


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
    copies = await app.decoder.copies([image.sha256 for _job, image in seen], THUMBNAIL, "WEBP")
    data = {image.id: copy for (_job, image), copy in zip(seen, copies, strict=True)}
    return [
        (_file(app, job, image, copy), "") if (copy := data.get(image.id)) else (None, reasons[job.id] or _(FILE_GONE))
        for job, image in pictures
    ]


def _file(app: App, job: Job, image: Image, data: bytes) -> discord.File:
    name = f"limner-{job.id}-{image.position + 1}.webp"
    about = describe(job, says_ai=app.settings.says_ai)
    return discord.File(io.BytesIO(data), name, spoiler=job.is_spoiler, description=about)
