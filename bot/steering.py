"""Use cases: what the owner of a running request changes of it between two steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limner.bot import submit
from limner.bot.errors import BadOption, Decided
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _

if TYPE_CHECKING:
    from limner.bot.app import App

PAINTED = N_("That picture has taken its last step already; Remix paints it with other words.")
NOT_PAINTED = N_("That request is not being painted yet; change it when its message counts steps, or cancel it.")
WHOLE = N_("The model {model} takes no other words while it paints; cancel the request and ask again.")
ANOTHER_CHANGE = N_("Another change of that picture is on its way; make yours after its next step.")


def check_steers(app: App, job: Job) -> None:
    """Raise BadOption if the job is not being painted, or its model cannot be changed between two steps."""
    if job.is_final:
        raise BadOption(_(PAINTED))
    card = app.settings.cards.get(job.request["model"])
    if card and not card.steers:
        raise BadOption(_(WHOLE, model=card.name))
    if not job.is_steerable:
        raise BadOption(_(NOT_PAINTED))


async def steer(app: App, job: Job, text: str) -> None:
    """Paint a running request's remaining steps from the owner's own words, checked like those of a new request.

    Raises:
        UserError: as `submit`; a refusal by the filter is stored as a row, and the running request goes on unchanged.
    """
    check_steers(app, job)
    new = await submit.in_own_words(app, job, text)
    if not await app.steering.ask(job.id, new.idea, new.quarantine):
        await _tell_why_not(app, job)


async def stop_here(app: App, job: Job) -> None:
    """Finish a running request after its next step; raises UserError if it cannot be."""
    check_steers(app, job)
    if not await app.steering.ask_to_stop(job.id):
        await _tell_why_not(app, job)


async def _tell_why_not(app: App, job: Job) -> None:
    check_steers(app, await app.jobs.get(job.id))
    raise Decided(_(ANOTHER_CHANGE))
