"""Use cases: what the owner of a held request chooses to have painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limner.bot import submit
from limner.bot.errors import BadOption
from limner.bot.moderation import apply_verdict
from limner.bot.reasons import HoldReason
from limner.bot.server_styles import styles_at
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.generators.base import Expansion

if TYPE_CHECKING:
    from limner.bot.app import App

MOST_EXPANSIONS = 10
"""How often the owner of a held request may ask for another expansion."""
NO_MORE = N_("The idea has been expanded {most} times anew, which is the most; choose Keep, Edit or Raw.")


async def choose(app: App, job: Job, expansion: Expansion, quarantine: HoldReason | None = None) -> bool:
    """Release a held request with its owner's chosen text; False if one was chosen before.

    Raises:
        Suspended: its owner is suspended in its server.
    """
    await app.strikes.refuse_suspended(job.guild_id, job.user_id)
    prompt = styles_at(app, job.guild_id).apply(job.style, expansion.text)
    return await app.jobs.release_held(job.id, expansion, prompt, quarantine)


async def choose_edited(app: App, job: Job, text: str) -> bool:
    """The same with the owner's own words, checked like those of a new request.

    Raises:
        UserError: as `submit`; a refusal by the filter is stored as a row, and the held request stays held.
    """
    new = await submit.in_own_words(app, job, text)
    expansion = Expansion(new.idea, apply_verdict.added_to(job.idea, new.idea), (), "", 0.0)
    return await choose(app, job, expansion, new.quarantine)


async def expand_again(app: App, job: Job) -> bool:
    """Expand a held request's idea once more, from another seed; False if its owner chose or asked before.

    Raises:
        BadOption: its owner has asked as often as possible.
        Suspended: its owner is suspended in its server.
    """
    await app.strikes.refuse_suspended(job.guild_id, job.user_id)
    if job.more_expansions >= MOST_EXPANSIONS:
        raise BadOption(_(NO_MORE, most=MOST_EXPANSIONS))
    return await app.jobs.expand_again(job)
