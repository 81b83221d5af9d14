"""What can be done with a request by buttons: the verbs, their looks, and which ones its state allows."""

from __future__ import annotations

import discord

from limner.bot import held_requests
from limner.bot.reasons import JobKind, JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_

LOOKS = {
    "keep": (N_("Keep"), discord.ButtonStyle.success),
    "edit": (N_("Edit"), discord.ButtonStyle.secondary),
    "another": (N_("Again"), discord.ButtonStyle.secondary),
    "reroll": (N_("Reroll"), discord.ButtonStyle.primary),
    "remix": (N_("Remix"), discord.ButtonStyle.secondary),
    "raw": (N_("Raw"), discord.ButtonStyle.secondary),
    "upscale": (N_("Upscale"), discord.ButtonStyle.secondary),
    "enhance": (N_("Enhance"), discord.ButtonStyle.success),
    "paint": (N_("Paint this"), discord.ButtonStyle.primary),
    "details": (N_("Details"), discord.ButtonStyle.secondary),
    "delete": (N_("Delete"), discord.ButtonStyle.danger),
    "erase": (N_("Delete for good"), discord.ButtonStyle.danger),
    "change": (N_("Change"), discord.ButtonStyle.primary),
    "stop": (N_("Stop here"), discord.ButtonStyle.secondary),
    "cancel": (N_("Cancel"), discord.ButtonStyle.secondary),
}
OF_SEVERAL = {"upscale": N_("Upscale all")}
"""Labels of the verbs that act on all pictures of a request where it has several."""
AGAIN = ("reroll", "remix", "paint", "enhance")
"""Verbs that are offered for some requests only."""
STEERING = ("change", "stop")
"""Verbs that are offered while a picture is painted, if its model takes another prompt between two steps."""
CLEANING = ("delete", "erase", "cancel")
"""Verbs that members with Manage Messages may use on others' requests."""


def verbs_of(job: Job) -> tuple[str, ...]:
    """The verbs of a job in its present state, in the order of their buttons."""
    if not job.is_final:
        if job.held_at is not None:
            again = ("another",) if job.more_expansions < held_requests.MOST_EXPANSIONS else ()
            return ("keep", "edit", *again, "raw", "cancel")
        return ("change", "stop", "cancel") if job.is_steerable else ("cancel",)
    if job.status == JobStatus.REFUSED:
        return ("details", "delete")
    is_posted = job.status == JobStatus.SUCCEEDED and job.quarantine is None
    if job.kind == JobKind.DESCRIBE:
        return ("paint", "delete") if is_posted else ("delete",)
    if job.is_of_file or job.kind == JobKind.EXPLAIN:
        return ("details", "delete")
    if job.is_animation:
        has_seeds = bool(job.request["animation"]["seeds"])
        return ("details", "delete") if has_seeds else ("reroll", "details", "delete")
    expansion = job.expanded
    raw = ("raw",) if expansion and expansion.added else ()
    is_draft = job.request.get("quality") == "draft"
    larger = ("enhance" if is_draft else "upscale",) if is_posted else ()
    return ("reroll", "remix", *raw, *larger, "details", "delete")
