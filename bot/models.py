"""The tables. A job's row is the queue's item, the request's log and the result's address at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, relationship

from generators.base import Expansion, GenerationRequest

Snowflake = BigInteger
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
RowId = BigInteger().with_variant(Integer, "sqlite")

# A partial index serves only questions that repeat its condition word for word, so each is written once. None but
# partial ones begin with the status: SQLite would take such an index for every question, the whole queue included.
QUEUED = "status = 'queued' AND held_at IS NULL"
RUNNING = "status = 'running'"
PAINTED = "status = 'succeeded'"
HELD = "held_at IS NOT NULL"
TURNED = "held_at IS NULL AND (charged OR status = 'queued')"
UNDELIVERED = "delivered_at IS NULL AND channel_id IS NOT NULL AND status NOT IN ('queued', 'running')"


class JobStatus(StrEnum):
    """Where a job is; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)
FINAL = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.REFUSED)


class Base(MappedAsDataclass, DeclarativeBase):
    """Names every constraint, so that migrations can change it later."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Job(Base, kw_only=True, eq=False, repr=False):
    """One request, from the idea to the posted pictures. Times are Unix seconds."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    created_at: Mapped[float] = mapped_column(Double)
    status: Mapped[str] = mapped_column(String(16), default=JobStatus.QUEUED)

    #: Who asked, and where the answer belongs; all 0 or None for `limner imagine`.
    user_id: Mapped[int] = mapped_column(Snowflake, default=0)
    guild_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    channel_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    #: The placeholder that delivery edits; None until Discord has told its id.
    message_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    #: Whose share of the painters it takes: the server's, or that of all requests outside servers (0).
    server_id: Mapped[int] = mapped_column(Snowflake, default=0, server_default="0")
    locale: Mapped[str] = mapped_column(String(16), default="en-US")

    #: The member's own words, without flags.
    idea: Mapped[str] = mapped_column(Text)
    style: Mapped[str] = mapped_column(String(64), default="")
    #: on, off or preview.
    expand: Mapped[str] = mapped_column(String(8), default="on")
    #: GenerationRequest as JSON; its prompt is the idea.
    request: Mapped[dict[str, Any]] = mapped_column(Json)
    #: From the request, for the queue's sums: what must be in memory, what it takes of a device's room (the pixels of
    #: all its pictures together), pictures, and denoising steps.
    weights_key: Mapped[str] = mapped_column(Text, default="", server_default="")
    pixels: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    samples: Mapped[int] = mapped_column(default=1)
    steps: Mapped[int] = mapped_column(default=1)
    #: What the painter reads: the expansion in the style; None until expanded.
    prompt: Mapped[str | None] = mapped_column(Text, default=None)
    #: Expansion as JSON; kept, so that a retry or a reroll does not expand again.
    expansion: Mapped[dict[str, Any] | None] = mapped_column(Json, default=None)
    #: Idea and prompt as the full-text index reads them (`bot.search.searchable`).
    search_text: Mapped[str] = mapped_column(Text, default="")
    #: The job that this one rerolls or repeats.
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)

    #: The place in the queue: lowest first (see `bot.turns`).
    turn: Mapped[float] = mapped_column(Double, default=0.0)
    #: How many turns its asker has while a member of weight 1 has one.
    weight: Mapped[float] = mapped_column(Double, default=1.0, server_default="1")
    #: Whether its server's share has paid for it; once, however often it is tried.
    charged: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: When a worker first took a later job before this one.
    passed_over_at: Mapped[float | None] = mapped_column(Double, default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    #: Not to be claimed before this time (a retry backs off).
    not_before: Mapped[float] = mapped_column(Double, default=0.0)
    #: Since when an expansion waits for its owner's Keep, Edit or Raw.
    held_at: Mapped[float | None] = mapped_column(Double, default=None)
    cancel_requested: Mapped[bool] = mapped_column(default=False)

    worker_id: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[float | None] = mapped_column(Double, default=None)
    started_at: Mapped[float | None] = mapped_column(Double, default=None)
    finished_at: Mapped[float | None] = mapped_column(Double, default=None)
    #: Denoising steps taken.
    step: Mapped[int] = mapped_column(default=0)
    #: Seconds from admission to pictures, and the job's own share of the device in that time.
    seconds: Mapped[float | None] = mapped_column(Double, default=None)
    busy_seconds: Mapped[float | None] = mapped_column(Double, default=None)

    #: Why it failed, was cancelled or was refused: a code for the log and the owner's sentence.
    reason_code: Mapped[str | None] = mapped_column(String(32), default=None)
    reason: Mapped[str | None] = mapped_column(Text, default=None)

    #: When the answer was posted; a final job without it is delivery's work.
    delivered_at: Mapped[float | None] = mapped_column(Double, default=None)
    delivery_attempts: Mapped[int] = mapped_column(default=0)
    deliver_after: Mapped[float] = mapped_column(Double, default=0.0)
    deleted_at: Mapped[float | None] = mapped_column(Double, default=None)

    images: Mapped[list[Image]] = relationship(
        back_populates="job", order_by="Image.position", lazy="selectin", default_factory=list, repr=False
    )

    __table_args__ = (
        # What is asked of a long queue is answered by this one alone; the rows are not read.
        _partial("ix_jobs_waiting", "server_id", "turn", "id", "weights_key", "pixels", "steps", where=QUEUED),
        _partial("ix_jobs_turn", "user_id", "server_id", "turn", where=TURNED),
        _partial("ix_jobs_pace", "weights_key", "finished_at", where=PAINTED),
        _partial("ix_jobs_running", "worker_id", where=RUNNING),
        _partial("ix_jobs_held", "held_at", where=HELD),
        _partial("ix_jobs_undelivered", "id", where=UNDELIVERED),
        Index("ix_jobs_user", "user_id", "id"),
        Index("ix_jobs_user_status", "user_id", "status"),
        Index("ix_jobs_guild_status", "guild_id", "status"),
        # Buttons carry a job's id, so an id is never given twice.
        {"sqlite_autoincrement": True},
    )

    @property
    def generation(self) -> GenerationRequest:
        """The request as the generator reads it: with the final prompt once there is one."""
        return GenerationRequest.from_json({**self.request, "prompt": self.prompt or self.idea})

    @property
    def expanded(self) -> Expansion | None:
        """What the language model made of the idea, once it has."""
        return Expansion.from_json(self.expansion) if self.expansion else None

    @property
    def is_final(self) -> bool:
        """Whether nothing more will be painted for it."""
        return self.status in FINAL


class Image(Base, kw_only=True, eq=False):
    """One picture of a job: a file in the store, known by its content."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True, init=False)
    position: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    job: Mapped[Job] = relationship(back_populates="images", init=False, repr=False)


class Preview(Base, kw_only=True, eq=False):
    """How a job that is being painted looks now: a small JPEG."""

    __tablename__ = "previews"

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    step: Mapped[int]
    image: Mapped[bytes] = mapped_column(LargeBinary, repr=False)


class Share(Base, kw_only=True, eq=False):
    """How much of the painters one server has had; virtual times, see `bot.turns`."""

    __tablename__ = "shares"

    #: 0 is everything outside servers.
    server_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: The turn that its users have come to.
    turn: Mapped[float] = mapped_column(Double, default=0.0)
    #: When what it was given will have been made up for.
    finish: Mapped[float] = mapped_column(Double, default=0.0)
    #: The whole queue's time at its last claim; the largest of all rows is now.
    clock: Mapped[float] = mapped_column(Double, default=0.0, index=True)


class WorkerState(Base, kw_only=True, eq=False):
    """What a worker process last said of itself."""

    __tablename__ = "workers"

    worker_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    device: Mapped[str] = mapped_column(String(64))
    #: The weights keys that are in its memory.
    weights: Mapped[list[str]] = mapped_column(JSON(none_as_null=True))
    #: Pixels that still fit beside what it paints.
    room: Mapped[int] = mapped_column(BigInteger)
    #: The weights key of the batch in progress; None when idle.
    painting: Mapped[str | None] = mapped_column(Text, default=None)
    started_at: Mapped[float] = mapped_column(Double)
    #: It is alive while this is less than a lease ago.
    seen_at: Mapped[float] = mapped_column(Double)


class Rule(Base, kw_only=True, eq=False):
    """A word or phrase that must not be drawn in one server (or anywhere: ``guild_id`` 0)."""

    __tablename__ = "rules"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    #: As the moderator wrote it.
    pattern: Mapped[str] = mapped_column(String(200))
    #: As it is compared; unique in its server.
    normal_form: Mapped[str] = mapped_column(String(400))
    created_by: Mapped[int] = mapped_column(Snowflake)
    created_at: Mapped[float] = mapped_column(Double)

    __table_args__ = (Index("uq_rules_guild_id", "guild_id", "normal_form", unique=True),)


class SyncedCommands(Base, kw_only=True, eq=False):
    """What Discord was last told of an application's commands, so that it is told again only when they change."""

    __tablename__ = "synced_commands"

    application_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
