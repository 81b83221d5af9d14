"""The buttons of one picture: its number under the message, and the actions that it opens in private."""

from __future__ import annotations

import io
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import discord

from limner.bot import picture_actions
from limner.bot.app import App
from limner.bot.errors import BadOption, BadPicture, FilesGone
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.options.ask import find_card
from limner.bot.picture_actions import Asker, check_masks
from limner.bot.place import Where
from limner.bot.posted_pictures import check_posted, picture_of
from limner.bot.reasons import ABOUT_PICTURES, Action, JobStatus
from limner.bot.reference_actions import OPTION_OF
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, Control, ForOwner, ForViewers
from limner.bot.ui.form import Form, open_form, paragraph
from limner.bot.ui.interactions import SILENT, spot, tell, viewed, where_to_post
from limner.bot.ui.job.favourites import StarButton
from limner.bot.ui.job.job_buttons import ask_to_delete, post_placeholder
from limner.bot.ui.picture.family import FamilyButton
from limner.bot.ui.picture.gallery import AlikeButton
from limner.bot.ui.picture.linked_references import with_links
from limner.bot.ui.picture.moving import ask_where_to, may_move
from limner.generators.cards.model_card import ModelCard

Interaction = discord.Interaction[Any]
Making = Callable[[App, Job, int, Asker], Awaitable[Job]]
Able = Callable[[ModelCard], bool]

PICTURE = "[1-9]"
"""A picture's number in a custom_id, counted from 1."""
OPENED = N_("Picture {number} of request {job}: what is to become of it?")
MAKING: dict[str, tuple[str, Making]] = {
    "subtle": (N_("Vary subtle"), partial(picture_actions.vary, is_strong=False)),
    "strong": (N_("Vary strong"), partial(picture_actions.vary, is_strong=True)),
    "larger2": (N_("Upscale 2x"), partial(picture_actions.upscale, times=2)),
    "larger4": (N_("Upscale 4x"), partial(picture_actions.upscale, times=4)),
    "adjust": (N_("Adjust"), picture_actions.adjust),
    "explain": (N_("Explain"), picture_actions.explain),
    "zoom15": (N_("Zoom out 1.5x"), partial(picture_actions.zoom_out, times=1.5)),
    "zoom2": (N_("Zoom out 2x"), partial(picture_actions.zoom_out, times=2)),
    "left": (N_("Pan left"), partial(picture_actions.pan, action=Action.PAN_LEFT)),
    "right": (N_("Pan right"), partial(picture_actions.pan, action=Action.PAN_RIGHT)),
    "up": (N_("Pan up"), partial(picture_actions.pan, action=Action.PAN_UP)),
    "down": (N_("Pan down"), partial(picture_actions.pan, action=Action.PAN_DOWN)),
}
"""Verbs that make a new request of a picture, with their labels."""
NEEDS: dict[str, Able] = {
    **dict.fromkeys(("subtle", "strong"), picture_actions.varies),
    **dict.fromkeys(("zoom15", "zoom2", "edit"), lambda card: card.masks),
    **dict.fromkeys(("left", "right", "up", "down"), picture_actions.extends),
    "explain": lambda card: card.explains,
    "start": lambda card: card.starts and not card.edits,
    "animate": lambda card: card.animates,
    "refer": lambda card: any(role in card.adapters for role in OPTION_OF),
}
"""What a model must be able to do so that a verb is shown; the other verbs need no model."""
TAKING = {
    "start": N_("Start from this"),
    "refer": N_("Use as reference"),
    "edit": N_("Edit region"),
    "animate": N_("Animate"),
    "region": N_("Choose the part"),
    "instruct": N_("Edit by words"),
    "send": N_("Send to me"),
    "file": N_("Download"),
    "report": N_("Report"),
}
"""Verbs for all who see a picture."""
TENDING = {
    "hide": (N_("Hide"), discord.ButtonStyle.secondary),
    "move": (N_("Move"), discord.ButtonStyle.secondary),
    "drop": (N_("Delete this one"), discord.ButtonStyle.danger),
    "dropped": (N_("Delete for good"), discord.ButtonStyle.danger),
}
"""Verbs for its owner and moderators."""
NUMBERS = 10
"""A form's subject is a request's number times this and the picture's."""
USUAL_STRENGTH = "0.6"
CELLS = N_("Rows are A to D, columns 1 to 4. Choose the cells to paint anew, or give a mask file.")
CELLS_OR_WORDS = N_(
    "Rows are A to D, columns 1 to 4. Choose the cells to paint anew, name the part in words, or give a mask file."
)
SENT = N_("Picture {number} of request {job}.")
IN_MESSAGES = N_("The picture is in your direct messages.")
NO_MESSAGES = N_("Discord does not let me write to you; Download gives you the picture here.")
SMALLER = N_("The picture is too large for Discord here, so this is a copy of less quality.")
NOT_THERE = N_("That picture is not for that place; look at it in its channel.")
HIDDEN = N_("The pictures are hidden behind a click in a moment, and so is what is made of them from now on.")
SURE = N_("Picture {number} of request {job} is deleted if you say so. That cannot be undone.")
DROPPED = N_("Picture {number} of request {job} is deleted.")
WAITS = N_("A moderator has yet to decide about that request, so nothing of it can be deleted alone.")


class PictureButton(
    ForViewers[discord.ui.Button[Any]], template=rf"limner:picture:(?P<job>{NUMBER}):(?P<number>{PICTURE})"
):
    """Opens a picture's actions for the member who presses it; survives restarts."""

    def __init__(self, label: str, job_id: int, number: int) -> None:
        custom_id = f"limner:picture:{job_id}:{number}"
        super().__init__(discord.ui.Button(label=label, custom_id=custom_id))
        self.job_id = job_id
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls("", int(match["job"]), int(match["number"]))

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Show the actions: those of the picture, and what its owner and moderators may do with it."""
        view = discord.ui.View(timeout=None)
        card = app.settings.offered.get(job.request["model"])
        for verb in [] if job.is_animation else _served(MAKING, card):
            view.add_item(MakeButton(verb, job.id, self.number))
        making = () if job.is_animation else ("start", "refer", "edit", "animate")
        instruct = ("instruct",) if making and picture_actions.editing_cards(app.settings, "") else ()
        for verb in (*instruct, *_served((*making, "send", "file"), card)):
            view.add_item(TakeButton(verb, job.id, self.number))
        view.add_item(StarButton(job.id, self.number))
        view.add_item(FamilyButton(job.id))
        view.add_item(AlikeButton(job.id, self.number))
        if interaction.user.id != job.user_id and job.guild_id:
            view.add_item(TakeButton("report", job.id, self.number))
        if interaction.user.id == job.user_id or interaction.permissions.manage_messages:
            tending = ("hide", "move", "drop") if may_move(interaction, job) else ("hide", "drop")
            for verb in tending:
                view.add_item(TendButton(verb, job.id, self.number))
        await tell(interaction, _(OPENED, number=self.number, job=job.id), view=view)


def _served(verbs: Iterable[str], card: ModelCard | None) -> list[str]:
    """The verbs that a model can serve; without one those that need none."""
    return [verb for verb in verbs if verb not in NEEDS or (card and NEEDS[verb](card))]


class VerbButton(Control[discord.ui.Button[Any]], template="limner:"):
    """A verb and a picture; survives restarts."""

    GROUP: ClassVar[str]
    """Stands before the verb in the custom_id."""
    LABELS: ClassVar[Mapping[str, str]]
    STYLES: ClassVar[Mapping[str, discord.ButtonStyle]] = {}

    def __init__(self, verb: str, job_id: int, number: int, label: str = "") -> None:
        custom_id = f"limner:{self.GROUP}:{verb}:{job_id}:{number}"
        style = self.STYLES.get(verb, discord.ButtonStyle.secondary)
        super().__init__(discord.ui.Button(label=label or _(self.LABELS[verb]), style=style, custom_id=custom_id))
        self.verb = verb
        self.job_id = job_id
        self.number = number

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["job"]), int(match["number"]))


class MakeButton(
    VerbButton,
    ForViewers[discord.ui.Button[Any]],
    template=rf"limner:make:(?P<verb>{'|'.join(MAKING)}):(?P<job>{NUMBER}):(?P<number>{PICTURE})",
):
    """Makes a request of a picture; survives restarts."""

    GROUP = "make"
    LABELS: ClassVar = {verb: label for verb, (label, _making) in MAKING.items()}

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Submit the request for the member who pressed."""
        made = await MAKING[self.verb][1](app, job, self.number, asker(interaction))
        await post_placeholder(interaction, app, made)


class TakeButton(
    VerbButton,
    ForViewers[discord.ui.Button[Any]],
    template=rf"limner:take:(?P<verb>{'|'.join(TAKING)}):(?P<job>{NUMBER}):(?P<number>{PICTURE})",
):
    """Gives a picture to the member who presses it, or opens a form about it; survives restarts."""

    GROUP = "take"
    LABELS = TAKING

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the verb."""
        await _TAKEN[self.verb](interaction, app, job, self.number)


class TendButton(
    VerbButton,
    ForOwner[discord.ui.Button[Any]],
    template=rf"limner:tend:(?P<verb>{'|'.join(TENDING)}):(?P<job>{NUMBER}):(?P<number>{PICTURE})",
):
    """Hides the pictures behind a click, or deletes one, for the owner and members with Manage Messages."""

    GROUP = "tend"
    LABELS: ClassVar = {verb: label for verb, (label, _style) in TENDING.items()}
    STYLES: ClassVar = {verb: style for verb, (_label, style) in TENDING.items()}

    @property
    def is_for_cleaners(self) -> bool:
        """Moderators may hide and delete others' pictures."""
        return True

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the verb."""
        if self.verb == "move":
            return await ask_where_to(interaction, app, job)
        check_posted(job)
        picture_of(job, self.number)
        await _TENDED[self.verb](interaction, app, job, self.number)


class StartForm(Form, kind="start"):
    """Other words for a picture to start from."""

    def __init__(self, app: App, job: Job, number: int) -> None:
        super().__init__(_("Start from this picture"))
        self._job, self._number = job, number
        longest = min(app.settings.max_prompt_length, ANSWER_LENGTH)
        self.ask("idea", _("What you want to see"), paragraph(job.idea[:longest], longest))
        strength: discord.ui.TextInput[Any] = discord.ui.TextInput(default=USUAL_STRENGTH, max_length=6)
        self.ask("strength", _("How much may change, from 0.05 to 1"), strength)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For those who see the picture."""
        job_id, number = divmod(subject, NUMBERS)
        return cls(app, await viewed(interaction, app, job_id, number), number)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit the request for the member who filled the form."""
        texts = self.text("idea"), self.text("strength")
        ask = picture_actions.starting(app, self._job, self._number, asker(interaction), *texts)
        ask = await with_links(interaction, app, ask)
        job = await picture_actions.start_from(app, self._job, self._number, ask)
        await post_placeholder(interaction, app, job)


async def start(interaction: Interaction, app: App, job: Job, number: int) -> None:
    """Open the form about a picture to start from."""
    await open_form(interaction, app, "start", job.id * NUMBERS + number)


async def _refer(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await open_form(interaction, app, "refer", job.id * NUMBERS + number)


async def _edit(interaction: Interaction, app: App, job: Job, number: int) -> None:
    card = find_card(app.settings, job.request["model"])
    check_masks(app.settings, card)
    await interaction.response.defer(ephemeral=True, thinking=True)
    picture = await _shown(app, job, number, spot(interaction.guild_id, interaction.channel_id, interaction.channel))
    data = await app.decoder.under_grid(picture.sha256)
    if data is None:
        raise FilesGone
    file = discord.File(io.BytesIO(data), f"limner-{job.id}-{number}-cells.jpg", spoiler=job.is_spoiler)
    view = discord.ui.View(timeout=None).add_item(TakeButton("region", job.id, number))
    text = _(CELLS_OR_WORDS) if app.settings.finds_parts(card) else _(CELLS)
    await tell(interaction, text, file=file, view=view)


async def _region(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await open_form(interaction, app, "region", job.id * NUMBERS + number)


async def _instruct(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await open_form(interaction, app, "instruct", job.id * NUMBERS + number)


async def _animate(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await open_form(interaction, app, "animate", job.id * NUMBERS + number)


async def _report(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await open_form(interaction, app, "report", job.id)


async def _send(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    file = await _file(app, job, number, Where(), discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES)
    try:
        await interaction.user.send(_(SENT, number=number, job=job.id), file=file, allowed_mentions=SILENT)
    except discord.Forbidden as error:
        raise BadOption(_(NO_MESSAGES)) from error
    await tell(interaction, _(IN_MESSAGES))


async def _download(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    here = spot(interaction.guild_id, interaction.channel_id, interaction.channel)
    file = await _file(app, job, number, here, interaction.filesize_limit)
    is_whole = job.is_animation or file.filename.endswith(".png")
    await tell(interaction, "" if is_whole else _(SMALLER), file=file)


async def _file(app: App, job: Job, number: int, where: Where, most: int) -> discord.File:
    """A picture's file, at most so large; raises BadPicture if it is gone or may not be shown there."""
    picture = await _shown(app, job, number, where)
    found = await app.decoder.best_file(picture.sha256, most, job.generation.animation)
    if found is None:
        raise FilesGone
    name = f"limner-{job.id}-{number}.{found[0]}"
    return discord.File(
        io.BytesIO(found[1]), name, spoiler=job.is_spoiler, description=describe(job, says_ai=app.settings.says_ai)
    )


async def _shown(app: App, job: Job, number: int, where: Where) -> Image:
    """A picture that may be shown there; raises BadPicture otherwise."""
    picture, objection = picture_of(job, number), await app.image_policy.objection(job, where)
    if objection and picture.id in objection.codes:
        raise BadPicture(_(NOT_THERE))
    return picture


async def _hide(interaction: Interaction, app: App, job: Job, number: int) -> None:
    await app.outbox.post_again(job.id, is_spoiler=True)
    app.jobs.changed.hear()
    await tell(interaction, _(HIDDEN))


async def _ask_to_drop(interaction: Interaction, app: App, job: Job, number: int) -> None:
    if len(job.images) == 1:
        return await ask_to_delete(interaction, app, job)
    view = discord.ui.View(timeout=None).add_item(TendButton("dropped", job.id, number))
    await tell(interaction, _(SURE, number=number, job=job.id), view=view)


async def _drop(interaction: Interaction, app: App, job: Job, number: int) -> None:
    if await app.reviews.waits(job.id):
        raise BadOption(_(WAITS))
    await app.history.drop_picture(job.id, number)
    await app.outbox.post_again(job.id)
    app.jobs.changed.hear()
    await interaction.response.edit_message(content=_(DROPPED, number=number, job=job.id), view=None)


_TAKEN = {
    "start": start,
    "refer": _refer,
    "edit": _edit,
    "region": _region,
    "instruct": _instruct,
    "animate": _animate,
    "send": _send,
    "file": _download,
    "report": _report,
}
_TENDED = {"hide": _hide, "drop": _ask_to_drop, "dropped": _drop}


def asker(interaction: Interaction) -> Asker:
    """The member of an interaction, and where."""
    return Asker(interaction.user.id, str(interaction.locale), where_to_post(interaction))


def picture_items(job: Job) -> list[PictureButton]:
    """A button for each posted picture: its number, or one word if there is one picture only."""
    if job.status != JobStatus.SUCCEEDED or job.quarantine or job.kind in ABOUT_PICTURES:
        return []
    numbers = [image.position + 1 for image in job.images]
    return [PictureButton(str(number) if len(numbers) > 1 else _("Picture"), job.id, number) for number in numbers]
