"""How a request becomes a row: what is known of it, the limits, and the INSERT that gives it its turn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from sqlalchemy import ColumnElement, Integer, Select, bindparam, func, insert, select
from sqlalchemy.orm import lazyload
from sqlalchemy.sql.selectable import TypedReturnsRows

from limner.bot.place import OUTSIDE, Where
from limner.bot.queue.candidates import next_turn
from limner.bot.reasons import HoldReason
from limner.bot.storage.models import OPEN, Job, JobKind, JobStatus
from limner.bot.storage.search import searchable
from limner.generators.base import Expansion, GenerationRequest


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What is known of a request when it is accepted; ``weight`` is how many turns its asker has for another's one."""

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
    #: What the file of the picture to start from was called.
    input_name: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    prompt: str | None = None
    expansion: Expansion | None = None
    rule_ids: Sequence[int] = ()
    rule_action: str | None = None
    is_spoiler: bool = False
    quarantine: HoldReason | None = None


_GIVEN = [each.name for each in fields(NewJob) if each.name not in ("where", "request", "expansion")]
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
    "expansion",
    "search_text",
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
    """The request's columns, but for its turn."""
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
        "pixels": new.request.pixels if new.kind == JobKind.PAINT else 1,  # nothing else takes room of the painter
        "samples": new.request.num_images_per_prompt,
        "steps": new.request.num_inference_steps,
        "input_sha256": new.request.init_image,
        "expansion": new.expansion.to_json() if new.expansion else None,
        "search_text": searchable(f"{new.idea}\n{new.prompt or ''}"),
    }


def count_open(condition: ColumnElement[bool]) -> Select[int]:
    """How many of these jobs are queued or running."""
    return select(func.count()).select_from(Job).where(condition, Job.status.in_(OPEN))


def _enqueue() -> TypedReturnsRows[Job]:
    """One INSERT that finds room and a turn, so that no two requests take the same last place."""
    table = Job.metadata.tables["jobs"]
    names = (*_GIVEN, *_DERIVED, *_FRESH)
    values: dict[str, ColumnElement[Any]] = {name: bindparam(name, type_=table.c[name].type) for name in names}
    values["turn"] = next_turn(values["user_id"], values["server_id"])
    mine, servers = count_open(Job.user_id == values["user_id"]), count_open(Job.guild_id == values["guild_id"])
    row = select(*(value.label(name) for name, value in values.items())).where(
        mine.scalar_subquery() < bindparam("per_user", type_=Integer),
        servers.scalar_subquery() < bindparam("per_guild", type_=Integer),
    )
    inserted = insert(table).from_select(list(values), row).returning(table)
    job = select(Job).from_statement(inserted).options(lazyload(Job.images))
    return cast("TypedReturnsRows[Job]", job)


ENQUEUE = _enqueue()
"""Built once: to build it takes longer than to run it."""
