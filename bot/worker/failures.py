"""What becomes of a job whose work failed: another attempt, an end, or waiting until pictures can be stored again."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from limner.bot.app import App
from limner.bot.background import patiently
from limner.bot.errors import NotClassified, StorageFailed, UserError
from limner.bot.options.notes import NO_LORA
from limner.bot.queue.faults import WorkerFault
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_
from limner.bot.worker.prepare import settle_negative
from limner.bot.worker.storage_watch import StorageWatch
from limner.generators.errors import GenerationError, NoLora, NoNegative, error_site

log = logging.getLogger(__name__)

T = TypeVar("T")

POSTPONE_SECONDS = 15.0
"""Pause of a request whose servers are down; requests of other models go first meanwhile."""
STUMBLED = N_("Painting this request failed; ask again in a moment.")


async def guarded(app: App, storage: StorageWatch, job: Job, work: Awaitable[T]) -> T | None:
    """Turn any failure of one job into a lost attempt of that job alone.

    A storage failure costs no attempt: the job waits again, and this worker claims nothing until it can store.
    """
    try:
        return await work
    except StorageFailed as error:
        storage.failed(error)
        await patiently(lambda: app.jobs.release(job))
        return None
    except NotClassified as error:
        code, reason = error.code, str(error)
    except UserError as error:
        ending = error
        await patiently(lambda: app.jobs.fail(job, ending.code, str(ending)))
        return None
    except Exception as error:
        log.error("job_stumbled job=%s reason=%s", job.id, error_site(error))
        code, reason = "crashed", STUMBLED
    await patiently(lambda: app.jobs.retry(job, code, reason))
    return None


async def end_failed(app: App, job: Job, error: GenerationError) -> None:
    """Try a job again whose painting failed, without what its model was found not to support; or end it."""
    jobs, code = app.jobs, _code(error)
    if isinstance(error, NoNegative) and await settle_negative(app, job):
        return  # it waits again
    if isinstance(error, NoLora):
        card = app.settings.cards[job.request["model"]]
        app.measured.put(NO_LORA, card.origin, True)  # the next one is not to wait in the queue for it
    if not error.costs_attempt:
        await patiently(lambda: jobs.postpone(job, POSTPONE_SECONDS))
        return
    again = error.retryable and job.attempts < error.most_attempts
    end = jobs.retry if again else jobs.fail
    await patiently(lambda: end(job, code, str(error)))


async def charge(app: App, jobs: Iterable[Job], fault: WorkerFault) -> None:
    """Count a lost attempt for each job of a broken executor: one of them may be the cause."""
    for job in jobs:
        reason = fault.reason(job.attempts)
        await patiently(lambda job=job, reason=reason: app.jobs.retry(job, fault.code, reason))


def _code(error: GenerationError) -> str:
    """OutOfMemory -> out_of_memory, as the row's reason code."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()[:32]
