"""SQL updates for each job state transition."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Double, String, Update, bindparam, case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import lazyload
from sqlalchemy.sql.selectable import TypedReturnsRows

from limner.bot.reasons import EndCode, HoldReason, JobStatus
from limner.bot.storage.history.search import index_form, index_form_of
from limner.bot.storage.tables.models import QUEUED, RUNNING, Job
from limner.generators.base import Expansion


@dataclass(frozen=True)
class InteractionToken:
    """The interaction token that can edit a command's answer, and its expiry (Unix seconds)."""

    token: str = field(repr=False)
    expires_at: float


def _claim() -> TypedReturnsRows[Job]:
    chosen = bindparam("chosen", type_=Job.id.type, expanding=True)
    claimed = (
        update(Job)
        .where(Job.id.in_(chosen), text(QUEUED))
        .values(
            status=JobStatus.RUNNING,
            worker_id=bindparam("worker", type_=String),
            lease_until=bindparam("until", type_=Double),
            started_at=bindparam("now", type_=Double),
            attempts=Job.attempts + 1,
            charged=True,
            step=0,
        )
    )
    claimed = claimed.execution_options(synchronize_session=False)
    return claimed.returning(Job).options(lazyload(Job.images))


CLAIM = _claim()
"""Built once: building it takes longer than running it."""

COUNT_WAITING = (
    select(func.count())
    .select_from(Job)
    .where(Job.id.in_(bindparam("jobs", type_=Job.id.type, expanding=True)), text(QUEUED))
)
ATTACH = text("UPDATE jobs SET message_id = :message WHERE id = :job")
KEEP_TOKEN = text("""
INSERT INTO answer_tokens (job_id, token, expires_at) VALUES (:job, :token, :expires_at)
ON CONFLICT (job_id) DO UPDATE SET token = excluded.token, expires_at = excluded.expires_at
""")


def ours(job: Job) -> Update:
    """Update of the job, guarded by worker and attempt."""
    return running(job.worker_id).where(Job.id == job.id, Job.attempts == job.attempts)


def running(worker_id: str | None) -> Update:
    """Update of all running jobs of a worker."""
    return update(Job).where(text(RUNNING), Job.worker_id == worker_id)


def unclaimed() -> dict[str, Any]:
    """Values of a job that waits again; cancelled if its owner has cancelled it meanwhile."""
    stopped = Job.cancel_requested
    return {
        "status": case((stopped, JobStatus.CANCELLED), else_=JobStatus.QUEUED),
        "reason_code": case((stopped, EndCode.CANCELLED), else_=Job.reason_code),
        "finished_at": case((stopped, time.time()), else_=None),
        "worker_id": None,
        "lease_until": None,
        "started_at": None,
        "step": 0,
    }


def reopened() -> dict[str, Any]:
    """Values of a job that waits again as if just requested."""
    fresh = {"created_at": time.time(), "attempts": 0, "not_before": 0.0, "passed_over_at": None}
    unposted = {"delivered_at": None, "delivery_attempts": 0, "deliver_after": 0.0, "held_back_at": None}
    unclaimed = {"status": JobStatus.QUEUED, "worker_id": None, "lease_until": None, "started_at": None, "step": 0}
    return fresh | unposted | unclaimed | {"finished_at": None, "reason_code": None, "reason": None}


def unseen(pause: float = 0.0) -> dict[str, Any]:
    """Values of a job with unclassified pictures: quarantined, and due for the classifier after some seconds."""
    kept = case((Job.quarantine.is_(None), HoldReason.UNSEEN), else_=Job.quarantine)
    return {"quarantine": kept, "look_after": time.time() + pause, "looks": 0}


def ended() -> dict[str, Any]:
    """Values of a job that ends."""
    return {"finished_at": time.time(), "lease_until": None, "held_at": None}


def cancelled() -> dict[str, Any]:
    """Values of a cancelled job."""
    return {"status": JobStatus.CANCELLED, "reason_code": EndCode.CANCELLED, **ended()}


def expanded(idea: str, expansion: Expansion, prompt: str) -> dict[str, Any]:
    """Values of a job whose final prompt is known."""
    return {"expansion": expansion.to_json(), "prompt": prompt, "search_text": index_form(idea, prompt)}


def steered(job: Job) -> dict[str, Any]:
    """Values of a job that was painted; a search finds the words too that it got meanwhile."""
    words = [prompt for _step, prompt in job.generation.steering]
    return {"search_text": index_form_of(job.idea, job.prompt, words)} if words else {}


def spared(job: Job, paintings: int) -> dict[str, Any]:
    """Values of a job that was painted less often than it may be: only that counts for its member's turn and quota."""
    most = job.samples // job.generation.painted
    if paintings >= most:
        return {}
    return {"weight": job.weight * most / paintings, "samples": job.samples * paintings // most}


def unexpanded(idea: str) -> dict[str, Any]:
    """Values of a job that gets another expansion."""
    values: dict[str, Any] = {"expansion": None, "prompt": None, "search_text": index_form(idea)}
    return values | {"more_expansions": Job.more_expansions + 1}


def without_words(job: Job) -> dict[str, Any]:
    """Values of a row that keeps who asked, when, where and how it ended, but no word."""
    empty = dict.fromkeys(("idea", "input_name", "style", "search_text"), "")
    gone = dict.fromkeys(("expansion", "prompt", "steer_to"))
    return {**empty, **gone, "request": job.generation.without_words.to_json(), "notes": dict[str, Any]()}


def ruled(job: Job) -> dict[str, Any]:
    """Values that the filter may have changed."""
    names = ("idea", "request", "input_name", "rule_ids", "rule_action", "is_spoiler", "quarantine", "notes")
    return {name: getattr(job, name) for name in names}


async def keep_tokens(session: AsyncSession, answers: Mapping[int, InteractionToken]) -> None:
    """Remember how jobs' messages may be written without any permission, and until when."""
    if answers:
        rows = [{"job": job_id, **vars(answer)} for job_id, answer in answers.items()]
        await session.execute(KEEP_TOKEN, rows)
