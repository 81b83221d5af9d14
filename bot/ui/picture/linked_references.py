"""Links of messages in the flags of a prompt: their pictures are stored before the request is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import discord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.options.ask import Ask, read
from limner.bot.posted_pictures import LINK
from limner.bot.queue.enqueue import NewJob
from limner.bot.ui.picture.given_pictures import GivenPicture, linked, stored
from limner.bot.ui.uploads import Check

Interaction = discord.Interaction[Any]


async def with_links(interaction: Interaction, app: App, ask: Ask) -> Ask:
    """What a form asks with the pictures of the messages whose links stand in its flags; raises UserError."""
    if not LINK.search(ask.text):
        return ask
    found = [read(app, ask)]
    return await with_linked_references(interaction, app, ask, found, partial(submit.check_each, app, ask, found))


async def with_linked_references(
    interaction: Interaction, app: App, ask: Ask, found: Sequence[NewJob], check: Check
) -> Ask:
    """The same for the requests that a prompt makes, once ``check`` has accepted the rest."""
    is_private = any(new.is_private for new in found)
    named = dict.fromkeys(file for new in found for one in new.request.references for file in one.files)
    for link in filter(LINK.fullmatch, named):
        picture = await linked(interaction, app, link)
        taken = await stored(interaction, app, picture, check, is_private=is_private)
        known = {**ask.linked, link: taken}
        ask = replace(as_private(ask, picture), linked=known, is_spoiler=ask.is_spoiler or picture.is_spoiler)
    return ask


def as_private(ask: Ask, picture: GivenPicture) -> Ask:
    """What is made of a private picture is private."""
    return ask.saying(private="on") if picture.is_private else ask
