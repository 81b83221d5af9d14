"""What erasing leaves of a deleted request, and when it may: times, numbers and codes, no words and no pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, TextClause, delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.reasons import FINAL, EndCode, JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.shared_sql import undecided
from limner.bot.storage.tables.models import UNERASED, Image, Job, ReferencePicture
from limner.bot.storage.tables.moderation_tables import UNSHOWN, MemberReport, Review

LATELY = 86_400.0
"""Seconds for which a server's refusals keep their words: evasion is looked for in at most a day."""
MERGED_PAGES = 500
"""Pages of the full-text index that one transaction rewrites; about 10 ms."""


def erasable() -> tuple[ColumnElement[bool] | TextClause, ...]:
    """Deleted requests that hold words which nobody needs any more.

    Moderators need those of a request that they have yet to decide about, until its card shows the decision, and those
    that a server's filter refused within a day, because a member may try them again in another spelling.
    """
    is_shown = ~select(Review.id).where(Review.job_id == Job.id, text(UNSHOWN)).exists()
    is_refused = (Job.status == JobStatus.REFUSED) & Job.reason_code.startswith(EndCode.FILTER.prefix)
    is_compared = is_refused & Job.guild_id.is_not(None) & (Job.created_at > time.time() - LATELY)
    return text(UNERASED), Job.status.in_(FINAL), ~undecided(), is_shown, ~is_compared


async def erase_rows(session: AsyncSession, ids: Sequence[int]) -> None:
    """Reduce these requests to their times, numbers and codes; the rows of their pictures go."""
    for pictures in (Image, ReferencePicture):
        await session.execute(delete(pictures).where(pictures.job_id.in_(ids)))
    await session.execute(delete(MemberReport).where(MemberReport.job_id.in_(ids)))
    await session.execute(update(Review).where(Review.job_id.in_(ids)).values(words=""))
    await session.execute(update(Job).where(Job.id.in_(ids)).values(**_nothing()))


def _nothing() -> dict[str, Any]:
    """Columns that held a member's words, choices or places, without them."""
    empty: dict[str, Any] = {
        "idea": "",
        "style": "",
        "request": {},
        "input_name": "",
        "notes": {},
        "search_text": "",
        "locale": "",
    }
    gone = (
        *("input_sha256", "mask_sha256", "prompt", "expansion", "reason", "steer_to", "channel_id", "message_id"),
        *("made_with", "click_key", "blocked_by"),
    )
    unplaced: dict[str, Any] = {"parent_ids": [], "role_ids": []}
    unclassified = {"quarantine": None, "look_after": None}
    return empty | unplaced | unclassified | dict.fromkeys(gone) | {"erased_at": time.time()}


async def forget_leftovers(database: Database) -> None:
    """Remove what SQLite still has of erased words, in its index and its log.

    The log holds pages as they were before; if somebody reads it now, its next round removes them.
    """
    await merge_index(database)
    if database.is_sqlite:
        async with database.read() as session:
            await session.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


async def merge_index(database: Database) -> None:
    """Rewrite SQLite's full-text index without the erased words, a part at a time so that nobody waits long.

    FTS5 notes that a word is gone, and drops it when it merges (https://www.sqlite.org/fts5.html, 6.8).
    A negative number of pages first makes everything one part of such a merge. Postgres's index has no such leftovers.
    """
    if not database.is_sqlite:
        return
    changes, pages = select(text("total_changes()")), -MERGED_PAGES
    merge = text("INSERT INTO jobs_fts (jobs_fts, rank) VALUES ('merge', :pages)")
    while True:
        async with database.begin(survives_power_cut=False) as session:
            before = await session.scalar(changes) or 0
            await session.execute(merge, {"pages": pages})
            after = await session.scalar(changes) or 0
        if after - before < 2:
            return
        pages = MERGED_PAGES
