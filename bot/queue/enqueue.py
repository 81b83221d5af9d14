"""Makes a request a row: its fields, the limits, and the INSERT that assigns its turn."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Insert,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import lazyload

from limner.bot.place import OUTSIDE, Where
from limner.bot.queue.candidates import next_turn
from limner.bot.queue.quota import Limit, Over, over_limit
from limner.bot.reasons import OPEN, PAINTING, Action, HoldReason, JobKind, JobStatus
from limner.bot.storage.history.lineage import origins
from limner.bot.storage.history.search import facets, index_form
from limner.bot.storage.tables.models import Job, ReferencePicture
from limner.generators.base import Expansion
from limner.generators.requests import GenerationRequest

CLICK_SECONDS = 1.5
"""Two equal requests within this time are one click too many."""
UNANSWERED_SECONDS = 15.0
"""So are two within this time if the first has no answer in Discord yet."""


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A request on acceptance; ``weight`` is the requester's queue weight."""

    idea: str
    request: GenerationRequest
    kind: JobKind = JobKind.PAINT
    user_id: int = 0
    where: Where = OUTSIDE
    message_id: int | None = None
    locale: str = "en-US"
    weight: float = 1.0
    style: str = ""
    expand: str = "on"
    parent_id: int | None = None
    parent_picture: int | None = None
    action: Action | None = None
    #: The input picture's file name.
    input_name: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    prompt: str | None = None
    expansion: Expansion | None = None
    rule_ids: Sequence[int] = ()
    rule_action: str | None = None
    is_spoiler: bool = False
    is_private: bool = False
    quarantine: HoldReason | None = None
    #: Which one it is of the requests that one click makes.
    nth: int = 0

    @property
    def rounds(self) -> int:
        """How often its pictures are painted at most: again for what is missing, or also without the added words."""
        is_explained = self.kind == JobKind.EXPLAIN and self.expansion
        if is_explained and is_explained.left_out(self.prompt or "", self.idea):
            return 2
        return 1 + self.request.refine if self.kind == JobKind.PAINT else 1

    @property
    def paintings(self) -> int:
        """How many pictures the executor paints for it."""
        return self.request.painted * self.rounds if self.kind in PAINTING else 0

    @property
    def click_key(self) -> str | None:
        """Equal for two clicks of a member on one button, which differ in the seed only; None for what is typed."""
        if self.parent_id is None:
            return None
        made_of = (self.user_id, self.parent_id, self.parent_picture, self.action, self.kind, self.nth)
        words = (self.idea, self.style, self.expand, self.is_private)
        said = json.dumps([made_of, words, self.request.to_json() | {"seed": 0}])
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


_GIVEN = [each.name for each in fields(NewJob) if each.name not in ("where", "request", "expansion", "nth")]
_DERIVED = (
    "created_at",
    "guild_id",
    "channel_id",
    "parent_ids",
    "role_ids",
    "is_age_restricted",
    "server_id",
    "request",
    "weights_key",
    "pixels",
    "samples",
    "steps",
    "input_sha256",
    "mask_sha256",
    "expansion",
    "search_facets",
    "search_text",
    "click_key",
)
_FRESH = {
    "status": JobStatus.QUEUED,
    "attempts": 0,
    "not_before": 0.0,
    "charged": False,
    "cancel_requested": False,
    "step": 0,
    "delivery_attempts": 0,
    "deliver_after": 0.0,
}


def row(new: NewJob) -> dict[str, Any]:
    """The request's columns, without its turn."""
    return {name: getattr(new, name) for name in _GIVEN} | {
        **_FRESH,
        "created_at": time.time(),
        "guild_id": new.where.guild_id,
        "channel_id": new.where.channel_id,
        "parent_ids": new.where.parent_ids,
        "role_ids": new.where.role_ids,
        "is_age_restricted": new.where.is_age_restricted,
        "server_id": new.where.guild_id or 0,
        "request": new.request.to_json(),
        "weights_key": new.request.weights_key,
        "pixels": new.request.pixels if new.kind in PAINTING else 1,  # other kinds use no executor capacity
        "samples": new.request.painted * new.rounds,
        "steps": new.request.steps * new.rounds,
        "input_sha256": new.request.init_image,
        "mask_sha256": new.request.mask,
        "expansion": new.expansion.to_json() if new.expansion else None,
        "search_facets": facets(
            user_id=new.user_id,
            guild_id=new.where.guild_id,
            channel_id=new.where.channel_id,
            is_private=new.is_private,
            model=new.request.model,
            style=new.style,
            loras=(name for name, _weight in new.request.loras),
        ),
        "search_text": index_form(new.idea, new.prompt),
        "click_key": new.click_key,
    }


def count_open(condition: ColumnElement[bool]) -> Select[int]:
    """How many of these jobs are queued or running."""
    is_open = or_(*(Job.status == status for status in OPEN))  # IN cannot be part of a statement for many rows
    return select(func.count()).select_from(Job).where(condition, is_open)


def _of_same_click() -> Select[int]:
    """The number of the request that the same click made before."""
    age = func.abs(Job.created_at - bindparam("created_at", type_=Double))  # the clock may have been set back
    is_recent = or_(age < CLICK_SECONDS, and_(Job.message_id.is_(None), age < UNANSWERED_SECONDS))
    is_same = Job.click_key == bindparam("click_key", type_=String)
    return select(Job.id).where(is_same, is_recent, Job.status != JobStatus.CANCELLED)


OF_SAME_CLICK = _of_same_click()


def _enqueue() -> Insert:
    """An INSERT that checks the limits and assigns the turn, so that two requests never take the same last place."""
    table = Job.metadata.tables["jobs"]
    names = ("id", *_GIVEN, *_DERIVED, *_FRESH)
    values: dict[str, ColumnElement[Any]] = {name: bindparam(name, type_=table.c[name].type) for name in names}
    values["turn"] = next_turn(values["user_id"], values["server_id"])
    mine, servers = count_open(Job.user_id == values["user_id"]), count_open(Job.guild_id == values["guild_id"])
    row = select(*(value.label(name) for name, value in values.items())).where(
        mine.scalar_subquery() < bindparam("per_user", type_=Integer),
        servers.scalar_subquery() < bindparam("per_guild", type_=Integer),
        ~OF_SAME_CLICK.exists(),
    )
    return insert(table).from_select(list(values), row)


ENQUEUE = _enqueue()
"""Built once: building it takes longer than running it."""
WRITTEN = select(Job).where(Job.id.in_(bindparam("numbers", expanding=True))).options(lazyload(Job.images))
LAST_NUMBER = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'jobs'")
NEXT_NUMBERS = text("SELECT nextval(pg_get_serial_sequence('jobs', 'id')) FROM generate_series(1, :count)")


@dataclass(frozen=True)
class Asking:
    """A request to accept, with the most open jobs that its member and its server may have, and the member's quota."""

    new: NewJob
    per_user: int
    per_guild: int
    quota: Sequence[Limit] = ()


@dataclass(frozen=True)
class NotTaken:
    """Why a request was not written: the one that the same click made before, a quota, or else a limit."""

    clicked_id: int | None
    over: Over | None
    #: Open requests of its member.
    mine: int


async def insert_rows(session: AsyncSession, asking: Sequence[Asking]) -> list[Job | NotTaken]:
    """Insert each request in order, except those over a limit and those of a second click.

    Ids are assigned first, so that one statement inserts all rows: running it a hundred times takes longer than writing
    a hundred rows. The id of a request that is not written is never used. Those of members with a quota come last, one
    by one, because each counts those before it.
    """
    numbers = await _new_numbers(session, len(asking))
    rows = [
        row(one.new) | {"id": number, "per_user": one.per_user, "per_guild": one.per_guild}
        for number, one in zip(numbers, asking, strict=True)
    ]
    if free := [row for row, one in zip(rows, asking, strict=True) if not one.quota]:
        await session.execute(ENQUEUE, free)
    over: dict[int, Over] = {}
    for number, each, one in zip(numbers, rows, asking, strict=True):
        if one.quota and (found := await _over_quota(session, one)):
            over[number] = found
        elif one.quota:
            await session.execute(ENQUEUE, [each])
    written = await session.scalars(WRITTEN, {"numbers": numbers})
    jobs = {job.id: job for job in written}
    for number, one in zip(numbers, asking, strict=True):
        if number in jobs:
            await keep_references(session, jobs[number], one.new.request)
    return [jobs.get(one["id"]) or await _why_not(session, one, over.get(one["id"])) for one in rows]


async def _over_quota(session: AsyncSession, asking: Asking) -> Over | None:
    new = asking.new
    return await over_limit(session, new.user_id, new.where.guild_id or 0, new.paintings, asking.quota)


async def _why_not(session: AsyncSession, row: Mapping[str, Any], over: Over | None) -> NotTaken:
    clicked = await session.scalar(OF_SAME_CLICK, {name: row[name] for name in ("click_key", "created_at")})
    return NotTaken(clicked, over, await session.scalar(count_open(Job.user_id == row["user_id"])) or 0)


async def keep_references(session: AsyncSession, job: Job, request: GenerationRequest) -> None:
    """Write down which pictures a request refers to, and which requests painted them as far as that may be known."""
    walked = request.animation.pictures if request.animation else ()
    if not (pictures := [*walked, *(file for reference in request.references for file in reference.files)]):
        return
    painted = await origins(session, pictures, job.user_id, job.guild_id)
    rows: list[dict[str, Any]] = []
    for sha256 in pictures:
        job_id, number = painted.get(sha256) or (None, None)
        rows.append({"job_id": job.id, "sha256": sha256, "parent_id": job_id, "parent_picture": number})
    await session.execute(insert(ReferencePicture), rows)


async def _new_numbers(session: AsyncSession, count: int) -> Sequence[int]:
    """Ids that no job has had; on SQLite nobody else writes before this transaction ends."""
    if session.get_bind().dialect.name == "sqlite":
        last = await session.scalar(LAST_NUMBER)
        return range(last + 1, last + 1 + count)
    return (await session.scalars(NEXT_NUMBERS, {"count": count})).all()
