"""Details: everything about a request, for its owner and for others who see its pictures."""

from __future__ import annotations

import discord

from limner.bot.limits import DESCRIPTION, fit
from limner.bot.options import repeats
from limner.bot.options.declarations import OPTIONS, values
from limner.bot.options.notes import STATUSES, sentences
from limner.bot.quantities import decimal
from limner.bot.reasons import JobKind, JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.styles import Styles
from limner.bot.translation import _, commas, stored
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.job import job_messages

VALUE_LENGTH = 500
"""Most characters of an option's value under Details."""


def details(job: Job, styles: Styles, *, for_owner: bool = True) -> discord.Embed:
    """Everything about a job; the name of a member's file is for its owner only."""
    request, expansion = job.generation, job.expanded
    texts = {_("Idea"): job.idea, _("Prompt"): job.prompt or "", _("Added"): expansion.added if expansion else ""}
    parts = [f"**{name}**\n{job_messages.plain(text, 700)}" for name, text in texts.items() if text]
    said = values(job, request)
    said["style"] = styles.title(job.style)
    options = {
        _(option.label): job_messages.plain(option.show(said[option.name]), VALUE_LENGTH)
        for option in OPTIONS
        if option.label and option.name in said
    }
    facts = options | {
        _("Size"): _size(job),
        _("Upscaled from"): _("request {job}", job=job.parent_id) if _is_of_parent(job) else "",
        _("Starts from"): job_messages.plain(job.input_name, 100) if for_owner else "",
        _("Part"): job_messages.plain(request.part, 100),
        _("Language model"): expansion.model if expansion else "",
        _("Changes"): job_messages.plain(_changes(job), VALUE_LENGTH),
        _("Seconds"): "" if job.seconds is None else decimal(job.seconds, 1),
        _("Attempts"): job.attempts,
        _("Painted with"): job_messages.plain(repeats.shown(job.made_with or {}), VALUE_LENGTH),
        _("Likeness to the idea"): _likeness(job),
        _("Notes"): job_messages.plain(" · ".join(sentences(job, styles)), 500),
        _("Reason"): stored(job.reason or ""),
    }
    long = (_("Negative prompt"), _("Painted with"), _("Notes"), _("Reason"))
    fields = [(name, str(value), name not in long) for name, value in facts.items()]
    title = _("Request {job}: {status}", job=job.id, status=_(STATUSES[JobStatus(job.status)]))
    return make_embed(title, fit(parts, DESCRIPTION, "\n\n"), fields)


def _size(job: Job) -> str:
    """The size of the pictures, and the painted size if it differs."""
    painted = f"{job.generation.width}x{job.generation.height}"
    sizes = job_messages.sizes(job)
    return _("{sizes}, painted as {painted}", sizes=sizes, painted=painted) if sizes not in ("", painted) else painted


def _is_of_parent(job: Job) -> bool:
    return job.kind == JobKind.FINISH and job.parent_id is not None


def _changes(job: Job) -> str:
    """The prompts that it was given while it was painted, with the steps after which they count."""
    given = job.generation.steering
    return " · ".join(_("After step {step}: {words}", step=step, words=words) for step, words in given)


def _likeness(job: Job) -> str:
    """The image-text model's score of the pictures, and the number of candidates."""
    found = [decimal(image.nearness, 2) for image in job.images if image.nearness is not None]
    if not found:
        return ""
    return _("{likeness} · best of {number}", likeness=commas(found), number=job.generation.num_images_per_prompt)
