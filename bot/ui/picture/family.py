"""Family: the requests that a picture was made of and that were made of it, drawn as a tree, each to open."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.limits import ALT_TEXT, CHOICE, CONTENT, cut, first_lines
from limner.bot.options.declarations import OPTIONS, values
from limner.bot.storage.history.lineage import RequestFamily
from limner.bot.storage.pictures.family_tree import SIDE, TreeNode, draw_family
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import N_, _, commas
from limner.bot.ui.controls import NUMBER, ForOwner
from limner.bot.ui.interactions import SILENT, sees
from limner.bot.ui.job.job_messages import asked_by, plain
from limner.bot.ui.picture.opened import hidden, opening_select

Interaction = discord.Interaction[Any]

IDEA_LENGTH, CHANGES, CHANGE_LENGTH = 60, 3, 60
ROOM = CONTENT - 300
ALONE = N_("That request was made of no other one that you may see, and nothing was made of it yet.")
MORE = N_("There are more than these {number}; open one to go on from there.")
ALT = N_("A tree of {number} requests; the way to request {job} is {way}.")


class FamilyButton(ForOwner[discord.ui.Button[Any]], template=rf"limner:family:(?P<job>{NUMBER})"):
    """Draws the family of a request; survives restarts."""

    def __init__(self, job_id: int) -> None:
        super().__init__(discord.ui.Button(label=_("Family"), custom_id=f"limner:family:{job_id}"))
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["job"]))

    @property
    def is_for_readers(self) -> bool:
        """Everybody who sees the pictures may see what they may of their family."""
        return True

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Show the drawing to the member alone, with a select that opens each request."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        family = await app.history.lineage.family(job, partial(sees, interaction))
        if len(family.jobs) == 1:
            await interaction.followup.send(_(ALONE), ephemeral=True)
            return
        file = await _drawn(interaction, app, family)
        box: discord.ui.Container[Any] = discord.ui.Container(
            discord.ui.TextDisplay(_("### The family of request {job}", job=job.id)),
            discord.ui.MediaGallery(discord.MediaGalleryItem(file)),
            discord.ui.TextDisplay(first_lines(list(_lines(family)), ROOM)[0]),
            discord.ui.ActionRow(_choice(family)),
        )
        view = discord.ui.LayoutView(timeout=None).add_item(box)
        await interaction.followup.send(view=view, files=[file], ephemeral=True, allowed_mentions=SILENT)


def what_changed(parent: Job, job: Job) -> list[str]:
    """What a request has otherwise than the one that it was made of: words and options."""
    before, after = (values(one, one.generation) for one in (parent, job))
    changes = [] if parent.idea == job.idea else [_("words: {words}", words=plain(job.idea, CHANGE_LENGTH))]
    for option in OPTIONS:
        old, new = (option.show(said[option.name]) if option.name in said else "–" for said in (before, after))
        if option.label and old != new:
            both = {"old": plain(old, CHANGE_LENGTH), "new": plain(new, CHANGE_LENGTH)}
            changes.append(_("{option}: {old} → {new}", option=_(option.label), **both))
    return changes


async def _drawn(interaction: Interaction, app: App, family: RequestFamily) -> discord.File:
    """The drawing, with the pictures that may be shown here."""
    shown = {number: job for number, job in family.jobs.items() if not await hidden(app, interaction, job)}
    pictures = {number: _picture(family, number) for number in shown}
    files = {number: image.sha256 for number, image in pictures.items() if image}
    copies = dict(zip(files, await app.decoder.copies(list(files.values()), SIDE, "WEBP"), strict=True))
    way = family.way
    nodes = {
        number: TreeNode(copies.get(number), _name(family, number), number in way, number == family.job_id)
        for number in family.jobs
    }
    links = sorted({(link.parent_id, link.child_id) for link in family.links})
    alt = _(ALT, number=len(nodes), job=family.job_id, way=" → ".join(map(str, way)))
    return discord.File(
        io.BytesIO(await asyncio.to_thread(draw_family, nodes, links)),
        f"limner-family-{family.job_id}.webp",
        spoiler=any(job.is_spoiler for job in shown.values()),
        description=cut(alt, ALT_TEXT),
    )


def _picture(family: RequestFamily, number: int) -> Image | None:
    """The picture of a request that the way goes through, otherwise one that something was made of, or the first."""
    images = {image.position + 1: image for image in family.jobs[number].images}
    way = family.way
    made = [link for link in family.links if link.parent_id == number]
    made.sort(key=lambda link: link.child_id not in way)
    return next((images[link.number] for link in made if link.number in images), next(iter(images.values()), None))


def _name(family: RequestFamily, number: int) -> str:
    """The number of a request, with that of the picture if it has several."""
    image = _picture(family, number)
    return f"{number}.{image.position + 1}" if image and len(family.jobs[number].images) > 1 else str(number)


def _lines(family: RequestFamily) -> Iterator[str]:
    """The way to the request: what each was made by, and what changed."""
    for number in family.way:
        job = family.jobs[number]
        yield f"**{number}** · {plain(job.idea or job.input_name, IDEA_LENGTH)} · {asked_by(job)}"
        parent = next((family.jobs[link.parent_id] for link in family.made_of(number)), None)
        if parent and (changes := what_changed(parent, job)):
            yield f"-# {commas(changes[:CHANGES])}{' …' if len(changes) > CHANGES else ''}"
    if family.has_more:
        yield f"-# {_(MORE, number=len(family.jobs))}"


def _choice(family: RequestFamily) -> discord.ui.Select[Any]:
    options = [
        discord.SelectOption(
            label=cut(f"{_name(family, number)} {' '.join((job.idea or job.input_name).split())}", CHOICE),
            value=f"{number}:1",
        )
        for number, job in sorted(family.jobs.items())
    ]
    return opening_select(options, _("Open one of them"))
