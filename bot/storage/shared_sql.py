"""SQL shared by history, queue and reviews: deletion, answer tokens, previews, pending moderation."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, TextClause, and_, case, delete, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import InstrumentedAttribute

from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.storage.tables.models import QUARANTINED, AnswerToken, Job, PreviewRow
from limner.bot.storage.tables.moderation_tables import OPEN_REVIEW, Review


def deleted() -> dict[str, Any]:
    """Column values of a deleted request: it is not painted, found or posted any more."""
    waits = Job.status == JobStatus.QUEUED
    return {
        "deleted_at": time.time(),
        "search_facets": "",
        "search_text": "",
        "cancel_requested": True,
        "held_at": None,
        "status": case((waits, JobStatus.CANCELLED), else_=Job.status),
        "finished_at": case((waits, time.time()), else_=Job.finished_at),
        "delivered_at": func.coalesce(Job.delivered_at, time.time()),
    }


def is_due(
    column: InstrumentedAttribute[float] | InstrumentedAttribute[float | None], longest: ColumnElement[float] | float
) -> ColumnElement[bool]:
    """Whether a pause until then is over; one of more than ``longest`` seconds began before the clock was set back."""
    now = time.time()
    return or_(column <= now, column > now + longest)


async def forget_tokens(session: AsyncSession, which: ColumnElement[bool]) -> None:
    """Delete answer tokens that are not needed any more."""
    await session.execute(delete(AnswerToken).where(which))


async def forget_previews(session: AsyncSession, job_ids: Collection[int]) -> None:
    """Delete the previews of jobs that are not running any more."""
    if job_ids:
        await session.execute(delete(PreviewRow).where(PreviewRow.job_id.in_(job_ids)))


def undecided() -> ColumnElement[bool]:
    """Whether a request or its pictures await a moderator's decision."""
    is_open = select(Review.id).where(Review.job_id == Job.id, text(OPEN_REVIEW)).exists()
    return is_open | and_(*waits_for_moderators())


def waits_for_moderators() -> tuple[ColumnElement[bool] | TextClause, ...]:
    """Whether a finished request's pictures wait for a moderator of its server."""
    is_held = func.coalesce(Job.quarantine, "").in_(FOR_MODERATORS)  # never NULL, so that it can be negated
    return text(QUARANTINED), is_held, Job.status == JobStatus.SUCCEEDED, Job.guild_id.is_not(None)


FOR_MODERATORS = (HoldReason.FLAGGED, HoldReason.EVASION, HoldReason.EXPLICIT)
"""The hold reasons that a moderator's decision ends."""
