"""The tables of jobs and pictures. A job's row is queue item, record of the request and address of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    String,
    Text,
    false,
)
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column, relationship

from limner.bot.place import Where
from limner.bot.reasons import FINAL, JobKind, JobStatus
from limner.bot.storage.tables.base import Base, Json, List, RowId, Snowflake, partial_index
from limner.bot.storage.tables.encrypted import EncryptedBytes, EncryptedJson, EncryptedText, IndexedWords
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.generators.base import Expansion
from limner.generators.requests import GenerationRequest

# None but partial indexes begin with the status: SQLite would take such an index for every question, the whole queue
# included.
QUEUED = "status = 'queued' AND held_at IS NULL"
RUNNING = "status = 'running'"
PAINTED = "status = 'succeeded'"
REFUSED = "status = 'refused'"
HELD = "held_at IS NOT NULL"
TURNED = "held_at IS NULL AND (charged OR status = 'queued')"
QUARANTINED = "quarantine IS NOT NULL"
UNLOOKED = "look_after IS NOT NULL"
UNDELIVERED = (
    "delivered_at IS NULL AND channel_id IS NOT NULL AND status NOT IN ('queued', 'running')"
    " AND (quarantine IS NULL OR status != 'succeeded')"
)
ENDED = "finished_at IS NOT NULL"
UNEMBEDDED = "status = 'succeeded' AND kind != 'describe' AND embedded_by IS NULL AND deleted_at IS NULL"
WITH_INPUT = "input_sha256 IS NOT NULL"
WITH_MASK = "mask_sha256 IS NOT NULL"
UNERASED = "deleted_at IS NOT NULL AND erased_at IS NULL"
WITHOUT_FEATURES = "features_by IS NULL"
CLICKED = "click_key IS NOT NULL"
WITH_PARENT = "parent_id IS NOT NULL"
MARKED = "mark IS NOT NULL"


class Looked(MappedAsDataclass, kw_only=True):
    """The safety classifier's result for a picture; None before it was classified."""

    looked_at: Mapped[float | None] = mapped_column(Double, default=None)
    #: The classifier: the setting `safety_classifier` at that time.
    classifier: Mapped[str | None] = mapped_column(String(200), default=None)
    #: How explicit it is, from 0 to 1; None if the operator has switched the classifier off.
    score: Mapped[float | None] = mapped_column(Double, default=None)
    #: The classifier's score for each label.
    scores: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True), default=None)
    #: Its perceptual hashes (see `bot.storage.tables.picture_hashes`).
    phash: Mapped[str | None] = mapped_column(String(16), default=None)
    pdq: Mapped[str | None] = mapped_column(String(64), default=None)
    #: Those of an animation's other frames, as texts.
    frame_hashes: Mapped[list[str] | None] = mapped_column(List, default=None)

    @property
    def hashes(self) -> list[PictureHashes]:
        """The perceptual hashes of the picture, or of all frames."""
        return [PictureHashes(self.phash, self.pdq), *map(PictureHashes.of_text, self.frame_hashes or ())]


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
    idea: Mapped[str] = mapped_column(EncryptedText)
    style: Mapped[str] = mapped_column(String(64), default="")
    #: on, off or preview.
    expand: Mapped[str] = mapped_column(String(8), default="on")
    #: GenerationRequest as JSON; its prompt is the idea.
    request: Mapped[dict[str, Any]] = mapped_column(EncryptedJson)
    #: From the request, for the queue: the models needed in memory, the pixels of all its pictures together,
    #: the number of pictures, and denoising steps.
    weights_key: Mapped[str] = mapped_column(Text, default="", server_default="")
    pixels: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    samples: Mapped[int] = mapped_column(default=1)
    steps: Mapped[int] = mapped_column(default=1)
    #: The input picture, if any, and its file name.
    input_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    #: The mask of the part of it that is painted.
    mask_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    input_name: Mapped[str] = mapped_column(EncryptedText, default="", server_default="")
    #: The final prompt: the expansion in the style; None until expanded.
    prompt: Mapped[str | None] = mapped_column(EncryptedText, default=None)
    #: Expansion as JSON; kept, so that a retry or a reroll does not expand again.
    expansion: Mapped[dict[str, Any] | None] = mapped_column(EncryptedJson, default=None)
    #: How often its owner has asked for another expansion instead of choosing one.
    more_expansions: Mapped[int] = mapped_column(default=0, server_default="0")
    #: What it was painted with: hashes of files, scheduler, versions (`bot.options.repeats`); None until then.
    made_with: Mapped[dict[str, str] | None] = mapped_column(Json, default=None)
    #: Which of its words have no effect, by the names of `bot.options.notes`.
    notes: Mapped[dict[str, Any]] = mapped_column(EncryptedJson, default_factory=dict[str, Any], server_default="{}")
    #: What the full-text index keeps of it: whose it is and how it is made (`bot.storage.history.search.TermScope`),
    #: and its words (`index_form`).
    search_facets: Mapped[str] = mapped_column(Text, default="", server_default="")
    search_text: Mapped[str] = mapped_column(IndexedWords, default="")
    #: The embedder whose vector of its words is stored (`bot.storage.embedding_tables`); None while there is none.
    embedded_by: Mapped[str | None] = mapped_column(String(64), default=None)
    #: The filter rules that matched without blocking, the strongest of their actions, and whether to post a spoiler.
    rule_ids: Mapped[list[int]] = mapped_column(List, default_factory=list, server_default="[]")
    rule_action: Mapped[str | None] = mapped_column(String(8), default=None)
    #: The blocked picture for which it was refused, and in how many bits it differs (`hash_table.Nearest`).
    blocked_by: Mapped[dict[str, int] | None] = mapped_column(Json, default=None)
    is_spoiler: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: Whether only its member sees the answer.
    is_private: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: Why its pictures must not be posted yet, a `HoldReason`; None if nothing is known against it.
    quarantine: Mapped[str | None] = mapped_column(String(32), default=None)
    #: Rules from which a moderator has exempted this job.
    pardoned_ids: Mapped[list[int] | None] = mapped_column(List, default=None)
    #: The job that this one is made of, the number of its picture (from 1) if it is made of one, and by what `Action`.
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), default=None)
    parent_picture: Mapped[int | None] = mapped_column(default=None)
    action: Mapped[str | None] = mapped_column(String(16), default=None)
    #: Equal for two clicks on one button (see `bot.queue.enqueue`).
    click_key: Mapped[str | None] = mapped_column(String(32), default=None)

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
    #: While it is painted: the prompt for its remaining steps, and whether it ends early; until a worker takes them.
    steer_to: Mapped[str | None] = mapped_column(EncryptedText, default=None)
    stop_requested: Mapped[bool] = mapped_column(default=False, server_default=false())

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
    reason: Mapped[str | None] = mapped_column(EncryptedText, default=None)

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
    #: When its words were erased, which is with or after its deletion.
    erased_at: Mapped[float | None] = mapped_column(Double, default=None)

    images: Mapped[list[Image]] = relationship(
        back_populates="job", order_by="Image.position", lazy="selectin", default_factory=list, repr=False
    )

    __table_args__ = (
        # A covering index: claims in a long queue read no rows.
        partial_index("ix_jobs_waiting", "server_id", "turn", "id", "weights_key", "pixels", "steps", where=QUEUED),
        partial_index("ix_jobs_turn", "user_id", "server_id", "turn", where=TURNED),
        partial_index("ix_jobs_pace", "weights_key", "finished_at", where=PAINTED),
        partial_index("ix_jobs_ended", "finished_at", "id", where=ENDED),
        partial_index("ix_jobs_running", "worker_id", where=RUNNING),
        partial_index("ix_jobs_refused", "user_id", "server_id", "created_at", where=REFUSED),
        partial_index("ix_jobs_held", "held_at", where=HELD),
        partial_index("ix_jobs_undelivered", "id", where=UNDELIVERED),
        partial_index("ix_jobs_quarantined", "id", where=QUARANTINED),
        partial_index("ix_jobs_unseen", "look_after", where=UNLOOKED),
        partial_index("ix_jobs_unembedded", "id", where=UNEMBEDDED),
        partial_index("ix_jobs_input", "input_sha256", where=WITH_INPUT),
        partial_index("ix_jobs_mask", "mask_sha256", where=WITH_MASK),
        partial_index("ix_jobs_unerased", "id", where=UNERASED),
        partial_index("ix_jobs_click", "click_key", where=CLICKED),
        partial_index("ix_jobs_parent", "parent_id", "id", where=WITH_PARENT),
        Index("ix_jobs_created", "created_at"),
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
    def is_steerable(self) -> bool:
        """Whether it is being painted, so that its remaining steps can be changed, if its model can."""
        is_running = self.kind == JobKind.PAINT and self.status == JobStatus.RUNNING
        return is_running and self.prompt is not None and not self.is_animation and not self.request.get("refine")

    @property
    def is_animation(self) -> bool:
        """Whether its picture has several frames."""
        return bool(self.request.get("animation"))

    @property
    def is_of_file(self) -> bool:
        """Whether it finishes a member's own file: nothing was painted that could be painted again."""
        return self.kind == JobKind.FINISH and self.parent_id is None and self.action is None

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL


class Image(Looked, Base, kw_only=True, eq=False):
    """One picture of a job: a file in the store, addressed by its content hash."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), init=False)
    position: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    #: The image-text model's similarity to the idea, from -1 to 1; None where it was not scored.
    nearness: Mapped[float | None] = mapped_column(Double, default=None)
    #: The image-text model's embedding of the picture, one byte for each number, and its name (the setting). A name
    #: without an embedding: the file cannot be read.
    features: Mapped[bytes | None] = mapped_column(EncryptedBytes, default=None, deferred=True, repr=False)
    features_by: Mapped[str | None] = mapped_column(String(200), default=None)
    #: The number in its invisible mark (`bot.provenance.watermark`); None if it has none.
    mark: Mapped[int | None] = mapped_column(BigInteger, default=None)
    #: An `ImageVerdict`; None while there is nothing against the picture.
    verdict: Mapped[str | None] = mapped_column(String(16), default=None)
    __table_args__ = (
        Index("ix_images_job", "job_id", "position"),
        partial_index("ix_images_without_features", "id", where=WITHOUT_FEATURES),
        partial_index("ix_images_mark", "mark", where=MARKED),
    )
    job: Mapped[Job] = relationship(back_populates="images", init=False, repr=False)


class InputPicture(Looked, Base, kw_only=True, eq=False):
    """The classifier's result for an input picture, addressed by its content hash."""

    __tablename__ = "input_pictures"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)


class ReferencePicture(Base, kw_only=True, eq=False):
    """A picture that a request, or one that is yet to be confirmed, refers to without starting from it."""

    __tablename__ = "reference_pictures"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), default=None, index=True)
    pending_id: Mapped[int | None] = mapped_column(
        ForeignKey("pending_asks.id", ondelete="CASCADE"), default=None, index=True
    )
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    #: The request that painted it, which may be erased by now, and the number of the picture there (from 1).
    parent_id: Mapped[int | None] = mapped_column(BigInteger, default=None)
    parent_picture: Mapped[int | None] = mapped_column(default=None)

    __table_args__ = (
        partial_index("ix_reference_pictures_parent", "parent_id", "job_id", where=WITH_PARENT),
        {"sqlite_autoincrement": True},
    )


class PreviewRow(Base, kw_only=True, eq=False):
    """The latest preview of a running job: a small JPEG."""

    __tablename__ = "previews"

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    step: Mapped[int]
    image: Mapped[bytes] = mapped_column(EncryptedBytes, repr=False)
    #: The classifier's result; previews are stored only after classification.
    score: Mapped[float | None] = mapped_column(Double, default=None)
    phash: Mapped[str | None] = mapped_column(String(16), default=None)
    pdq: Mapped[str | None] = mapped_column(String(64), default=None)

    @property
    def hashes(self) -> list[PictureHashes]:
        """Its perceptual hashes."""
        return [PictureHashes(self.phash, self.pdq)]


class AnswerToken(Base, kw_only=True, eq=False):
    """The interaction token of the command that a job's message answers; it can edit the message until it expires."""

    __tablename__ = "answer_tokens"

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    token: Mapped[str] = mapped_column(Text, repr=False)
    expires_at: Mapped[float] = mapped_column(Double)


@dataclass(frozen=True)
class Seen:
    """The classifier's result and the perceptual hashes of one picture (`Looked`)."""

    looked_at: float
    classifier: str
    score: float | None
    scores: dict[str, float] | None
    phash: str
    pdq: str | None = None
    frame_hashes: list[str] | None = None

    @property
    def hashes(self) -> PictureHashes:
        """The picture's own, without those of other frames."""
        return PictureHashes(self.phash, self.pdq)
