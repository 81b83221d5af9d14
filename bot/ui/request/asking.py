"""From what a member asks for to placeholders in the channel; many requests at once are confirmed first."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import discord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import Decided, RulesNotAccepted
from limner.bot.limits import CONTENT, first_lines
from limner.bot.options.ask import Ask
from limner.bot.options.several import read_each
from limner.bot.posted_pictures import LINK, NAMED
from limner.bot.queue.enqueue import NewJob
from limner.bot.storage.tables.asking_tables import PendingAsk
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _, ngettext
from limner.bot.ui.controls import NUMBER, ForAnyone
from limner.bot.ui.interactions import SILENT, tell, where_to_post
from limner.bot.ui.job import job_messages
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.given_pictures import linked, with_picture
from limner.bot.ui.picture.linked_references import as_private, with_linked_references

Interaction = discord.Interaction[Any]

ROOM = CONTENT - 300
DONE = N_("That was answered already.")
LEFT = N_("Nothing is painted.")
LABELS = {
    "go": (N_("Paint them"), discord.ButtonStyle.success),
    "leave": (N_("Leave it"), discord.ButtonStyle.secondary),
}


class GoButton(ForAnyone[discord.ui.Button[Any]], template=rf"limner:several:(?P<verb>go|leave):(?P<pending>{NUMBER})"):
    """Submits or forgets the requests of a prompt; the row says whose they are."""

    def __init__(self, verb: str, pending: int) -> None:
        label, style = LABELS[verb]
        custom_id = f"limner:several:{verb}:{pending}"
        super().__init__(discord.ui.Button(label=_(label), style=style, custom_id=custom_id))
        self.verb = verb
        self.pending = pending

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["pending"]))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit all requests once, or none."""
        async with used_once(app, self.pending, interaction.user.id) as row:
            jobs = await submit_pending(interaction, app, row) if self.verb == "go" else []
        await _say(interaction, on_their_way(jobs) if jobs else _(LEFT))
        await post_placeholders(interaction, app, jobs)


async def submit_pending(interaction: Interaction, app: App, row: PendingAsk) -> list[Job]:
    """Submit all requests of a pending one where its member is now."""
    ask = Ask.from_json(row.ask, user_id=interaction.user.id, where=where_to_post(interaction))
    return await submit.submit_all(app, await submit.requests(app, ask))


@asynccontextmanager
async def used_once(app: App, number: int, user_id: int) -> AsyncGenerator[PendingAsk]:
    """A member's pending request, deleted when the block succeeds and free again when it fails; raises Decided."""
    row = await app.pending.take(number, user_id)
    if row is None:
        raise Decided(_(DONE))
    try:
        yield row
    except Exception as error:
        await app.pending.give_back(row.id)
        if isinstance(error, RulesNotAccepted):
            error.pending = row.id
        raise
    await app.pending.drop(row.id, user_id)


async def with_link(interaction: Interaction, app: App, ask: Ask, *, is_private: bool = False) -> Ask:
    """What is asked with the picture of the message that its option link names, if any; raises UserError."""
    link = ask.options.get("link")
    if not link:
        return ask
    picture = await linked(interaction, app, link)
    unread = ask.saying(image=submit.NOT_YET)
    ask = await with_picture(interaction, app, ask, picture, lambda: submit.check(app, unread), is_private=is_private)
    return as_private(ask, picture)


async def ask_to_paint(interaction: Interaction, app: App, ask: Ask, read: Sequence[NewJob] = ()) -> None:
    """Submit the requests that a prompt makes, or ask first if they paint more pictures than one request may.

    `read` has these requests if they were read already.
    """
    if LINK.search(ask.text):
        check = partial(submit.check, app, ask)
        ask, read = await with_linked_references(interaction, app, ask, read or read_each(app, ask), check), ()
    found = submit.checked(app, read) if read else await submit.requests(app, ask)
    if len(found) == 1 or sum(new.request.count for new in found) <= app.settings.max_count:
        try:
            jobs = await submit.submit_all(app, found)
        except RulesNotAccepted as error:
            error.pending = await _keep(app, ask, found)
            raise
        return await post_placeholders(interaction, app, jobs)
    await submit.check_asker(app, ask)
    number = await _keep(app, ask, found)
    view = discord.ui.View(timeout=None)
    for verb in LABELS:
        view.add_item(GoButton(verb, number))
    await tell(interaction, question(found), view=view)


async def _keep(app: App, ask: Ask, found: Sequence[NewJob]) -> int:
    """Keep what is asked, with its pictures; the number of its row."""
    files = [file for one in found[0].request.references for file in one.files]
    hashes = [file for file in files if not NAMED.fullmatch(file)]
    return await app.pending.keep(ask.user_id, ask.to_json(), ask.options.get("image"), hashes)


async def post_placeholders(interaction: Interaction, app: App, jobs: Sequence[Job]) -> None:
    """Post the placeholder of each request, in order."""
    for job in jobs:
        await post_placeholder(interaction, app, job)


def question(found: Sequence[NewJob]) -> str:
    """The requests of a prompt, line by line, for the member to confirm."""
    asked = ngettext("{number} request, go?", "{number} requests, go?", len(found))
    lines = [
        f"{number}. {job_messages.plain(new.idea, job_messages.NAME_LENGTH)}" for number, new in enumerate(found, 1)
    ]
    return f"**{asked}**\n{first_lines(lines, ROOM)[0]}"


def on_their_way(jobs: Sequence[Job]) -> str:
    """The answer to "go"."""
    return ngettext("{number} request is on its way.", "{number} requests are on their way.", len(jobs))


async def _say(interaction: Interaction, text: str) -> None:
    await interaction.response.edit_message(content=text, view=None, allowed_mentions=SILENT)
