"""Buttons under a request's message. Each carries the job's number, so it survives restarts."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Self

import aiohttp
import discord

from limner.bot import held_requests, submit
from limner.bot.app import App
from limner.bot.errors import BadOption, Decided, UserError
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.options.flags import without_flags
from limner.bot.queue.transitions import InteractionToken
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.after_refusal import appeal_view
from limner.bot.ui.controls import NUMBER, ForOwner, parts_of
from limner.bot.ui.form import Form, open_form, paragraph
from limner.bot.ui.interactions import SILENT, owned, respond, speaking_publicly, tell, where_to_post
from limner.bot.ui.job import job_messages, steering
from limner.bot.ui.job.favourites import star_items
from limner.bot.ui.job.job_details import details
from limner.bot.ui.job.verbs import AGAIN, CLEANING, LOOKS, OF_SEVERAL, STEERING, verbs_of
from limner.generators.base import Expansion

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

BY_ASKER = N_("Cancelled by the member who asked for it.")
BY_MODERATOR = N_("Cancelled by a moderator.")
NOT_NOW = N_("That cannot be done with this request as it is now.")
CHOSEN = N_("That choice has been made already; the request goes on.")
SURE = N_("{which} is deleted with its pictures and its message if you say so. That cannot be undone.")
KEPT = N_("A moderator has yet to decide about it, and sees its words and pictures until then.")
DELETED = N_("{which} is deleted with its pictures.")
NOT_TAKEN_AWAY = N_("Its message is in a channel where I may not write any more; take it away by hand.")
ALREADY_ANSWERED = 40060


class JobButton(ForOwner[discord.ui.Button[Any]], template=rf"limner:(?P<verb>{'|'.join(LOOKS)}):(?P<job>{NUMBER})"):
    """A verb and a job's number; everything else is in the row."""

    def __init__(self, verb: str, job_id: int, label: str = "") -> None:
        usual, style = LOOKS[verb]
        custom_id = f"limner:{verb}:{job_id}"
        super().__init__(discord.ui.Button(label=_(label or usual), style=style, custom_id=custom_id))
        self.verb = verb
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["job"]))

    @property
    def is_for_cleaners(self) -> bool:
        """Moderators may clean up others' requests, and do nothing else to them."""
        return self.verb in CLEANING

    @property
    def is_for_readers(self) -> bool:
        """Everybody who sees the pictures may read how they were made."""
        return self.verb == "details"

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Carry out the verb."""
        if self.verb in AGAIN and self.verb not in verbs_of(job):
            raise BadOption(_(NOT_NOW))
        await _PRESSED[self.verb](interaction, app, job)


def items(job: Job) -> list[JobButton]:
    """The buttons of a job in its present state."""
    labels = OF_SEVERAL if len(job.images) > 1 else {}
    return [JobButton(verb, job.id, labels.get(verb, "")) for verb in verbs_of(job)]


def buttons(job: Job, *, steers: bool = True) -> discord.ui.View:
    """The same under a message of text; ``steers`` is whether the job's model can be changed while it paints."""
    view = discord.ui.View(timeout=None)
    for item in items(job):
        if steers or item.verb not in STEERING:
            view.add_item(item)
    return view


def is_of(message: discord.Message, job_id: int) -> bool:
    """Whether a message's buttons belong to this job."""
    return job_of(message) == job_id


def job_of(message: discord.Message) -> int | None:
    """The number of the job that a message's buttons belong to; None if it has none."""
    names = (getattr(part, "custom_id", None) or "" for part in parts_of(message))
    found = (re.fullmatch(r"limner:[a-z]+:([0-9]+)", name) for name in names)
    return next((int(match[1]) for match in found if match), None)


async def post_placeholder(interaction: Interaction, app: App, job: Job) -> None:
    """Post the placeholder in the channel; delivery later edits it into the pictures."""
    with _accepted(job):
        position = await app.jobs.position(job)
        with speaking_publicly(interaction, is_private=job.is_private):
            message_id = await _answer_once(interaction, job, job_messages.queued(job, position))
        if message_id is None:
            await app.jobs.mark_delivered(job.id, None)
            await app.jobs.cancel(job.id, _(job_messages.ANSWERED_ELSEWHERE))
        else:
            await app.jobs.attach_message(job.id, message_id, _answer(interaction))


async def stop(app: App, job: Job, user_id: int) -> str:
    """Cancel a job if the member may; the sentence names it and says what happens."""
    status = await app.jobs.cancel(job.id, _(BY_ASKER) if user_id == job.user_id else _(BY_MODERATOR))
    which = job_messages.named(job)
    if status == JobStatus.RUNNING:
        return _("{which} stops at its next step.", which=which)
    if status == JobStatus.CANCELLED:
        return _("{which} is cancelled.", which=which)
    return _("{which} is done already, so there is nothing to cancel.", which=which)


class EditPrompt(Form, kind="edit"):
    """An expansion for its owner to edit before it is painted."""

    def __init__(self, app: App, job: Job) -> None:
        super().__init__(_("Edit the prompt"))
        self._job = job
        longest = min(app.settings.max_prompt_length, ANSWER_LENGTH)
        text = (job.expanded.text if job.expanded else job.idea)[:longest]
        self.ask("text", _("What is to be painted"), paragraph(text, longest))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For the owner of a held request."""
        job = await owned(interaction, app, subject)
        if job.held_at is None:
            raise Decided(_(CHOSEN))
        return cls(app, job)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Paint the owner's text if the filter allows it."""
        text = without_flags(
            self.text("text"),
            _("{flag} is a flag, and no flag counts here any more; leave it out, or ask again with it."),
        )
        is_first = await held_requests.choose_edited(app, self._job, text or self._job.idea)
        await _answer_choice(interaction, app, self._job, is_first=is_first)


async def _keep(interaction: Interaction, app: App, job: Job) -> None:
    is_first = await held_requests.choose(app, job, job.expanded or _unexpanded(job))
    await _answer_choice(interaction, app, job, is_first=is_first)


async def _edit(interaction: Interaction, app: App, job: Job) -> None:
    await open_form(interaction, app, "edit", job.id)


async def _reroll(interaction: Interaction, app: App, job: Job) -> None:
    again = await submit.reroll(app, job, user_id=interaction.user.id, where=where_to_post(interaction))
    await post_placeholder(interaction, app, again)


async def _remix(interaction: Interaction, app: App, job: Job) -> None:
    await open_form(interaction, app, "remix", job.id)


async def _raw(interaction: Interaction, app: App, job: Job) -> None:
    if job.is_final:
        again = await submit.repeat_raw(app, job, user_id=interaction.user.id, where=where_to_post(interaction))
        await post_placeholder(interaction, app, again)
    else:
        is_first = await held_requests.choose(app, job, _unexpanded(job))
        await _answer_choice(interaction, app, job, is_first=is_first)


async def _another(interaction: Interaction, app: App, job: Job) -> None:
    is_first = await held_requests.expand_again(app, job)
    await _answer_choice(interaction, app, job, is_first=is_first)


async def _upscale(interaction: Interaction, app: App, job: Job) -> None:
    larger = await submit.upscale(app, job, user_id=interaction.user.id, where=where_to_post(interaction))
    await post_placeholder(interaction, app, larger)


async def _enhance(interaction: Interaction, app: App, job: Job) -> None:
    for larger in await submit.enhance(app, job, user_id=interaction.user.id, where=where_to_post(interaction)):
        await post_placeholder(interaction, app, larger)


async def _paint(interaction: Interaction, app: App, job: Job) -> None:
    painting = await submit.paint_described(app, job, user_id=interaction.user.id, where=where_to_post(interaction))
    await post_placeholder(interaction, app, painting)


async def show_details(interaction: Interaction, app: App, job: Job) -> None:
    """Tell a member who may read it everything about a job."""
    view = await appeal_view(app, job)
    if star := star_items(job):
        view = discord.ui.View(timeout=None).add_item(*star)
    embed = details(job, app.styles, for_owner=interaction.user.id == job.user_id)
    await tell(interaction, "", embed=embed, **({"view": view} if view else {}))


async def ask_to_delete(interaction: Interaction, app: App, job: Job) -> None:
    """Ask once more before a whole request is deleted."""
    view = discord.ui.View(timeout=None)
    kept = f" {_(KEPT)}" if await app.reviews.waits(job.id) else ""
    sure = _(SURE, which=job_messages.named(job)) + kept
    await tell(interaction, sure, view=view.add_item(JobButton("erase", job.id)))


async def _erase(interaction: Interaction, app: App, job: Job) -> None:
    await interaction.response.defer()
    await app.history.delete(job.id)
    text = _(DELETED, which=job_messages.named(job)) + await take_away(interaction, job)
    await interaction.edit_original_response(content=text, view=None, allowed_mentions=SILENT)


async def take_away(interaction: Interaction, job: Job) -> str:
    """Delete a job's message; a sentence to add if it cannot be deleted, otherwise nothing."""
    try:
        if job.channel_id and job.message_id:
            channel = interaction.client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
            await channel.get_partial_message(job.message_id).delete()
    except discord.NotFound:
        pass
    except discord.Forbidden:
        return f" {_(NOT_TAKEN_AWAY)}"
    return ""


async def _cancel(interaction: Interaction, app: App, job: Job) -> None:
    await tell(interaction, await stop(app, job, interaction.user.id))


_PRESSED: dict[str, Callable[[Interaction, App, Job], Awaitable[None]]] = {
    "keep": _keep,
    "edit": _edit,
    "reroll": _reroll,
    "remix": _remix,
    "raw": _raw,
    "another": _another,
    "upscale": _upscale,
    "enhance": _enhance,
    "paint": _paint,
    "details": show_details,
    "delete": ask_to_delete,
    "erase": _erase,
    "change": steering.change,
    "stop": steering.stop_here,
    "cancel": _cancel,
}


async def _answer_choice(interaction: Interaction, app: App, job: Job, *, is_first: bool) -> None:
    """Show that a held job is queued; a second answer says that one came first."""
    if not is_first:
        return await tell(interaction, _(CHOSEN))
    with _accepted(job):
        job = await app.jobs.get(job.id)
        position = await app.jobs.position(job)
        with speaking_publicly(interaction, is_private=job.is_private):
            text, view = job_messages.queued(job, position), buttons(job)
        await interaction.response.edit_message(content=text, view=view, allowed_mentions=SILENT)
        if job.message_id:
            await app.jobs.attach_message(job.id, job.message_id, _answer(interaction))


def _unexpanded(job: Job) -> Expansion:
    return Expansion(job.idea, "", (), "", 0.0)


async def _answer_once(interaction: Interaction, job: Job, text: str) -> int | None:
    """The answer's message id; None if another process of this bot has answered (restarts may overlap).

    discord.py retries an answer with a lost receipt, which then counts as already given.
    """
    try:
        return await respond(interaction, text, buttons(job), is_private=job.is_private)
    except discord.HTTPException as error:
        if error.code != ALREADY_ANSWERED:
            raise
    given = await interaction.original_response()
    return given.id if is_of(given, job.id) else None


def _answer(interaction: Interaction) -> InteractionToken:
    return InteractionToken(interaction.token, interaction.expires_at.timestamp())


@contextmanager
def _accepted(job: Job) -> Generator[None]:
    """The row is written, so the request continues whatever happens to its message; delivery repairs that."""
    try:
        yield
    except (discord.HTTPException, aiohttp.ClientError, OSError, UserError) as error:
        log.warning("placeholder_failed job=%s error=%s", job.id, type(error).__name__)
