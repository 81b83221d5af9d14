"""The tables. A job's row is the queue's item, the request's record and the result's address."""

from __future__ import annotations

from dataclasses import dataclass
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
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, relationship

from limner.bot.place import Where
from limner.generators.base import Expansion, GenerationRequest

Snowflake = BigInteger
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
List = JSON(none_as_null=True)
RowId = BigInteger().with_variant(Integer, "sqlite")

# A partial index serves only questions that repeat its condition word for word, so each is written once. None but
# partial ones begin with the status: SQLite would take such an index for every question, the whole queue included.
QUEUED = "status = 'queued' AND held_at IS NULL"
RUNNING = "status = 'running'"
PAINTED = "status = 'succeeded'"
REFUSED = "status = 'refused'"
HELD = "held_at IS NOT NULL"
TURNED = "held_at IS NULL AND (charged OR status = 'queued')"
OPEN_REVIEW = "state = 'open'"
UNSHOWN = "(shown IS NULL OR shown != state)"
QUARANTINED = "quarantine IS NOT NULL"
UNLOOKED = "look_after IS NOT NULL"
UNDELIVERED = (
    "delivered_at IS NULL AND channel_id IS NOT NULL AND status NOT IN ('queued', 'running')"
    " AND (quarantine IS NULL OR status != 'succeeded')"
)
WITH_INPUT = "input_sha256 IS NOT NULL"


STALE = "stale"
"""`Review.shown` of a card whose decision is carried out and whose request was deleted since."""


class JobStatus(StrEnum):
    """The status of a job; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class JobKind(StrEnum):
    """What a worker does for a job (`Job.kind`)."""

    PAINT = "paint"
    #: Put the input picture into words.
    DESCRIBE = "describe"
    #: Upscale or restore the parent job's pictures.
    FINISH = "finish"


class ReviewState(StrEnum):
    """The status of a review; all but the first are final."""

    OPEN = "open"
    APPROVED = "approved"
    #: Approved, and the channel is exempted from the rule.
    IGNORED = "ignored"
    REJECTED = "rejected"
    #: Rejected, with a strike.
    STRUCK = "struck"
    #: Not decided in time; counts as rejected.
    EXPIRED = "expired"
    #: Written by old versions when the owner deleted the request.
    WITHDRAWN = "withdrawn"


class TimeOut(StrEnum):
    """The status of Discord's own time-out for a suspended member."""

    NONE = "none"
    WANTED = "wanted"
    SET = "set"
    REFUSED = "refused"
    ENDED = "ended"


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


class Looked(MappedAsDataclass, kw_only=True):
    """The safety classifier's result for a picture; None before it was classified."""

    looked_at: Mapped[float | None] = mapped_column(Double, default=None)
    #: The classifier: the setting `safety_classifier` at that time.
    eyes: Mapped[str | None] = mapped_column(String(200), default=None)
    #: How explicit it is, from 0 to 1; None if the operator has switched the classifier off.
    score: Mapped[float | None] = mapped_column(Double, default=None)
    #: The classifier's score for each label.
    scores: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True), default=None)
    #: Its perceptual hash (see `bot.storage.perceptual_hash`).
    phash: Mapped[str | None] = mapped_column(String(16), default=None)


class Job(Base, kw_only=True, eq=False, repr=False):
    """One request, from the idea to the posted pictures. Times are Unix seconds."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    created_at: Mapped[float] = mapped_column(Double)
    status: Mapped[str] = mapped_column(String(16), default=JobStatus.QUEUED)

    #: The requester and where the answer belongs; all 0 or None for `limner imagine`.
    user_id: Mapped[int] = mapped_column(Snowflake, default=0)
    guild_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    channel_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    #: The placeholder message that delivery edits; None until its id is known.
    message_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    #: At the time of the request: the channel's parents (a thread's channel, a category), the requester's roles, and
    #: whether the channel is age-restricted; for the checks that are repeated before painting and posting.
    parent_ids: Mapped[list[int]] = mapped_column(List, default_factory=list, server_default="[]")
    role_ids: Mapped[list[int]] = mapped_column(List, default_factory=list, server_default="[]")
    is_age_restricted: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: The server whose queue share it uses; 0 for all requests outside servers.
    server_id: Mapped[int] = mapped_column(Snowflake, default=0, server_default="0")
    locale: Mapped[str] = mapped_column(String(16), default="en-US")

    #: A `JobKind`.
    kind: Mapped[str] = mapped_column(String(16), default=JobKind.PAINT, server_default="paint")
    #: The member's words, without flags; empty for a description.
    idea: Mapped[str] = mapped_column(Text)
    style: Mapped[str] = mapped_column(String(64), default="")
    #: on, off or preview.
    expand: Mapped[str] = mapped_column(String(8), default="on")
    #: GenerationRequest as JSON; its prompt is the idea.
    request: Mapped[dict[str, Any]] = mapped_column(Json)
    #: From the request, for the queue: the models needed in memory, the pixels of all its pictures together,
    #: the number of pictures, and denoising steps.
    weights_key: Mapped[str] = mapped_column(Text, default="", server_default="")
    pixels: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    samples: Mapped[int] = mapped_column(default=1)
    steps: Mapped[int] = mapped_column(default=1)
    #: The input picture, if any, and its file name.
    input_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    input_name: Mapped[str] = mapped_column(String(200), default="", server_default="")
    #: The final prompt: the expansion in the style; None until expanded.
    prompt: Mapped[str | None] = mapped_column(Text, default=None)
    #: Expansion as JSON; kept, so that a retry or a reroll does not expand again.
    expansion: Mapped[dict[str, Any] | None] = mapped_column(Json, default=None)
    #: Which of its words have no effect, by the names of `bot.notes`.
    notes: Mapped[dict[str, Any]] = mapped_column(Json, default_factory=dict[str, Any], server_default="{}")
    #: Idea and prompt in the full-text index's form (`bot.storage.search.searchable`).
    search_text: Mapped[str] = mapped_column(Text, default="")
    #: The filter rules that matched without blocking, the strongest of their actions, and whether to post a spoiler.
    rule_ids: Mapped[list[int]] = mapped_column(List, default_factory=list, server_default="[]")
    rule_action: Mapped[str | None] = mapped_column(String(8), default=None)
    is_spoiler: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: Why its pictures must not be posted yet, a `HoldReason`; None if nothing is known against it.
    quarantine: Mapped[str | None] = mapped_column(String(32), default=None)
    #: Rules from which a moderator has exempted this job.
    pardoned_ids: Mapped[list[int] | None] = mapped_column(List, default=None)
    #: The job that this one rerolls or repeats.
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)

    #: The position in the queue: lowest first (see `bot.queue.fairness`).
    turn: Mapped[float] = mapped_column(Double, default=0.0)
    #: The requester's queue weight: turns per turn of a member of weight 1.
    weight: Mapped[float] = mapped_column(Double, default=1.0, server_default="1")
    #: Whether its server's share was charged for it; once, also for retries.
    charged: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: When a worker first claimed a later job before this one.
    passed_over_at: Mapped[float | None] = mapped_column(Double, default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    #: Not to be claimed before this time (a retry backs off).
    not_before: Mapped[float] = mapped_column(Double, default=0.0)
    #: Since when its expansion waits for the owner's Keep, Edit or Raw.
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

    #: Why it failed, was cancelled or was refused: a code (such as an `EndCode`) and the owner's sentence.
    reason_code: Mapped[str | None] = mapped_column(String(32), default=None)
    reason: Mapped[str | None] = mapped_column(Text, default=None)

    #: When its unclassified pictures are due for the classifier, None if there are none; and the number of attempts.
    look_after: Mapped[float | None] = mapped_column(Double, default=None)
    looks: Mapped[int] = mapped_column(default=0, server_default="0")

    #: When the answer was posted; delivery posts final jobs without it.
    delivered_at: Mapped[float | None] = mapped_column(Double, default=None)
    delivery_attempts: Mapped[int] = mapped_column(default=0)
    deliver_after: Mapped[float] = mapped_column(Double, default=0.0)
    #: Since when its channel refuses the answer (its owner is notified); None otherwise.
    held_back_at: Mapped[float | None] = mapped_column(Double, default=None)
    deleted_at: Mapped[float | None] = mapped_column(Double, default=None)

    images: Mapped[list[Image]] = relationship(
        back_populates="job", order_by="Image.position", lazy="selectin", default_factory=list, repr=False
    )

    __table_args__ = (
        # A covering index: claims in a long queue read no rows.
        _partial("ix_jobs_waiting", "server_id", "turn", "id", "weights_key", "pixels", "steps", where=QUEUED),
        _partial("ix_jobs_turn", "user_id", "server_id", "turn", where=TURNED),
        _partial("ix_jobs_pace", "weights_key", "finished_at", where=PAINTED),
        _partial("ix_jobs_running", "worker_id", where=RUNNING),
        _partial("ix_jobs_refused", "user_id", "server_id", "created_at", where=REFUSED),
        _partial("ix_jobs_held", "held_at", where=HELD),
        _partial("ix_jobs_undelivered", "id", where=UNDELIVERED),
        _partial("ix_jobs_quarantined", "id", where=QUARANTINED),
        _partial("ix_jobs_unseen", "look_after", where=UNLOOKED),
        _partial("ix_jobs_input", "input_sha256", where=WITH_INPUT),
        Index("ix_jobs_user", "user_id", "id"),
        Index("ix_jobs_user_status", "user_id", "status"),
        Index("ix_jobs_guild_status", "guild_id", "status"),
        # Buttons carry a job's id, so ids are never reused.
        {"sqlite_autoincrement": True},
    )

    @property
    def where(self) -> Where:
        """The place and the member of the request."""
        return Where(
            self.guild_id, self.channel_id, tuple(self.parent_ids), tuple(self.role_ids), self.is_age_restricted
        )

    @property
    def generation(self) -> GenerationRequest:
        """The request for the generator: with the final prompt once there is one."""
        return GenerationRequest.from_json({**self.request, "prompt": self.prompt or self.idea})

    @property
    def expanded(self) -> Expansion | None:
        """The language model's expansion of the idea, if there is one."""
        return Expansion.from_json(self.expansion) if self.expansion else None

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL


class Image(Looked, Base, kw_only=True, eq=False):
    """One picture of a job: a file in the store, addressed by its content hash."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True, init=False)
    position: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    #: The image-text model's similarity to the idea, from -1 to 1; None where it was not scored.
    nearness: Mapped[float | None] = mapped_column(Double, default=None)
    #: An `ImageVerdict`; None while there is nothing against the picture.
    verdict: Mapped[str | None] = mapped_column(String(16), default=None)
    job: Mapped[Job] = relationship(back_populates="images", init=False, repr=False)


class InputPicture(Looked, Base, kw_only=True, eq=False):
    """The classifier's result for an input picture, addressed by its content hash."""

    __tablename__ = "input_pictures"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)


class BlockedPicture(Base, kw_only=True, eq=False):
    """A picture that is blocked, with similar ones, in one server (or everywhere: ``guild_id`` 0)."""

    __tablename__ = "blocked_pictures"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    phash: Mapped[str] = mapped_column(String(16))
    #: The request that generated it, if known.
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)
    created_by: Mapped[int] = mapped_column(Snowflake)
    created_at: Mapped[float] = mapped_column(Double)

    __table_args__ = (Index("uq_blocked_pictures_guild_id", "guild_id", "phash", unique=True),)


class PreviewRow(Base, kw_only=True, eq=False):
    """The latest preview of a running job: a small JPEG."""

    __tablename__ = "previews"

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    step: Mapped[int]
    image: Mapped[bytes] = mapped_column(LargeBinary, repr=False)
    #: The classifier's result; previews are stored only after classification.
    score: Mapped[float | None] = mapped_column(Double, default=None)
    phash: Mapped[str | None] = mapped_column(String(16), default=None)


class AnswerToken(Base, kw_only=True, eq=False):
    """The interaction token of the command that a job's message answers; it can edit the message until it expires."""

    __tablename__ = "answer_tokens"

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    token: Mapped[str] = mapped_column(Text, repr=False)
    expires_at: Mapped[float] = mapped_column(Double)


class Share(Base, kw_only=True, eq=False):
    """One server's share of the workers; virtual times, see `bot.queue.fairness`."""

    __tablename__ = "shares"

    #: 0 is everything outside servers.
    server_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: The turn that its users have reached.
    turn: Mapped[float] = mapped_column(Double, default=0.0)
    #: The virtual time at which its served work is paid off.
    finish: Mapped[float] = mapped_column(Double, default=0.0)
    #: The queue's virtual time at its last claim; the largest of all rows is the current one.
    clock: Mapped[float] = mapped_column(Double, default=0.0, index=True)


class WorkerState(Base, kw_only=True, eq=False):
    """A worker process's last report."""

    __tablename__ = "workers"

    worker_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    device: Mapped[str] = mapped_column(String(64))
    #: The weights keys that are in its memory.
    weights: Mapped[list[str]] = mapped_column(JSON(none_as_null=True))
    #: Free capacity in pixels.
    room: Mapped[int] = mapped_column(BigInteger)
    #: The weights key of the batch in progress; None when idle.
    painting: Mapped[str | None] = mapped_column(Text, default=None)
    #: The code of the storage failure that keeps it from claiming jobs; None normally.
    trouble: Mapped[str | None] = mapped_column(String(32), default=None)
    started_at: Mapped[float] = mapped_column(Double)
    #: It is alive while this is less than a lease ago.
    seen_at: Mapped[float] = mapped_column(Double)


class RuleRow(Base, kw_only=True, eq=False):
    """A text that is blocked (or allowed) in one server or everywhere (``guild_id`` 0); or a whole pack of them."""

    __tablename__ = "rules"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    #: `bot.filters.rules.Kind`, or ``pack``.
    kind: Mapped[str] = mapped_column(String(8), default="word")
    #: As the moderator wrote it; of a pack its name.
    pattern: Mapped[str] = mapped_column(String(260))
    #: The compared form; with ``scope_key`` unique in its server.
    normal_form: Mapped[str] = mapped_column(String(400))
    #: An allow rule: it cancels matches of other rules.
    is_allow: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: It is also looked for glued to other words, and split into several.
    is_strict: Mapped[bool] = mapped_column(default=False, server_default=false())
    action: Mapped[str] = mapped_column(String(8), default="block", server_default="block")
    #: Shown to the member beside the reason code.
    reason: Mapped[str] = mapped_column(String(200), default="", server_default="")
    #: The replacement text, for the action `replace`.
    replacement: Mapped[str] = mapped_column(String(100), default="", server_default="")
    #: `bot.filters.rules.Scope` as JSON, and the same for equal scopes.
    scope: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True), default_factory=dict, server_default="{}")
    scope_key: Mapped[str] = mapped_column(String(16), default="", server_default="")
    #: A rule that is off is a draft.
    is_on: Mapped[bool] = mapped_column(default=True, server_default=true())
    expires_at: Mapped[float | None] = mapped_column(Double, default=None)
    created_by: Mapped[int] = mapped_column(Snowflake)
    created_at: Mapped[float] = mapped_column(Double)

    __table_args__ = (
        Index("uq_rules_guild_id", "guild_id", "is_allow", "normal_form", "scope_key", unique=True),
        # Jobs and changes refer to rules by id, so ids are never reused.
        {"sqlite_autoincrement": True},
    )


class GuildSettingsRow(Base, kw_only=True, eq=False):
    """One server's settings (``guild_id`` 0: outside servers), and the revision of its settings and rules."""

    __tablename__ = "guild_settings"

    guild_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: What differs from the defaults of `bot.guild_settings.GuildSettings`.
    settings: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True), default_factory=dict)
    revision: Mapped[int] = mapped_column(BigInteger, default=0)
    changed_at: Mapped[float] = mapped_column(Double)
    changed_by: Mapped[int] = mapped_column(Snowflake)


class FilterChange(Base, kw_only=True, eq=False):
    """One change of a server's rules or settings by a moderator, with enough to undo it."""

    __tablename__ = "filter_changes"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    at: Mapped[float] = mapped_column(Double)
    by: Mapped[int] = mapped_column(Snowflake)
    #: add, edit, remove, import, settings, undo ...
    what: Mapped[str] = mapped_column(String(16))
    #: ``{"rules": [rows], "settings": {...}}``, changed parts only.
    before: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True))
    #: The change that this one undoes.
    undoes: Mapped[int | None] = mapped_column(BigInteger, default=None)

    __table_args__ = (Index("ix_filter_changes_guild_id", "guild_id", "id"), {"sqlite_autoincrement": True})


class Review(Base, kw_only=True, eq=False):
    """A decision for moderators: whether pictures may be posted, or whether a refusal was wrong (an appeal)."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    created_at: Mapped[float] = mapped_column(Double)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    user_id: Mapped[int] = mapped_column(Snowflake)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    is_appeal: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: A `HoldReason`, or the appealed refusal's code.
    why: Mapped[str] = mapped_column(String(32))
    #: The member's reasons for the appeal.
    words: Mapped[str] = mapped_column(Text, default="", server_default="")

    state: Mapped[str] = mapped_column(String(16), default=ReviewState.OPEN, server_default="open")
    decided_by: Mapped[int | None] = mapped_column(Snowflake, default=None)
    decided_at: Mapped[float | None] = mapped_column(Double, default=None)

    #: The card; ``tried_at`` is written before posting, so that a restart searches for it.
    channel_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    message_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    tried_at: Mapped[float | None] = mapped_column(Double, default=None)
    #: The state that the card shows and that is carried out (or `STALE`); None until it is posted.
    shown: Mapped[str | None] = mapped_column(String(16), default=None)
    #: Not to be tried before this time.
    post_after: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    #: The channel (0: none chosen) about whose missing permissions the server was notified.
    told_of: Mapped[int | None] = mapped_column(Snowflake, default=None)

    __table_args__ = (
        Index("uq_reviews_job_id", "job_id", "is_appeal", unique=True),
        Index("ix_reviews_guild_id", "guild_id", "user_id"),
        _partial("ix_reviews_unshown", "id", where=UNSHOWN),
        _partial("ix_reviews_open", "guild_id", where=OPEN_REVIEW),
        {"sqlite_autoincrement": True},
    )


class Strike(Base, kw_only=True, eq=False):
    """A warning of a member in one server; counts until it expires or is removed."""

    __tablename__ = "strikes"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    user_id: Mapped[int] = mapped_column(Snowflake)
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)
    #: 0 is the bot itself.
    given_by: Mapped[int] = mapped_column(Snowflake)
    why: Mapped[str] = mapped_column(Text)
    review_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id", ondelete="SET NULL"), default=None)
    removed_at: Mapped[float | None] = mapped_column(Double, default=None)
    removed_by: Mapped[int | None] = mapped_column(Snowflake, default=None)

    __table_args__ = (
        Index("ix_strikes_guild_id", "guild_id", "user_id"),
        Index("uq_strikes_review_id", "review_id", unique=True),
        {"sqlite_autoincrement": True},
    )


class Suspension(Base, kw_only=True, eq=False):
    """A member's suspension in one server, and the strike that caused it."""

    __tablename__ = "suspensions"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    user_id: Mapped[int] = mapped_column(Snowflake)
    strike_id: Mapped[int] = mapped_column(ForeignKey("strikes.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[float] = mapped_column(Double)
    until: Mapped[float] = mapped_column(Double)
    lifted_at: Mapped[float | None] = mapped_column(Double, default=None)
    time_out: Mapped[str] = mapped_column(String(8), default=TimeOut.NONE, server_default="none")

    __table_args__ = (
        Index("ix_suspensions_guild_id", "guild_id", "user_id"),
        _partial("ix_suspensions_time_out", "id", where="time_out IN ('wanted', 'set')"),
    )


class SyncedCommands(Base, kw_only=True, eq=False):
    """The hash of an application's commands at the last sync, so that they are synced only when changed."""

    __tablename__ = "synced_commands"

    application_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True)
class Seen:
    """The classifier's result and the perceptual hash of one picture (`bot.storage.models.Looked`)."""

    looked_at: float
    eyes: str
    score: float | None
    scores: dict[str, float] | None
    phash: str
