"""Tables for moderators: blocked pictures, reviews, strikes and suspensions."""

from __future__ import annotations

from sqlalchemy import (
    Double,
    ForeignKey,
    Index,
    String,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.reasons import ReviewState, TimeOut
from limner.bot.storage.tables.base import Base, RowId, Snowflake, partial_index
from limner.bot.storage.tables.encrypted import EncryptedText
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.picture_hashes import PictureHashes

OPEN_REVIEW = "state = 'open'"
DECIDED = "decided_at IS NOT NULL"
UNSHOWN = "(shown IS NULL OR shown != state)"


class BlockedPicture(Base, kw_only=True, eq=False):
    """A picture that is blocked, with similar ones, in one server (or everywhere: ``guild_id`` 0)."""

    __tablename__ = "blocked_pictures"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    #: Its perceptual hashes; one of both at least.
    phash: Mapped[str | None] = mapped_column(String(16), default=None)
    pdq: Mapped[str | None] = mapped_column(String(64), default=None)
    #: What its list says of it, or the file's name.
    remark: Mapped[str] = mapped_column(String(100), default="", server_default="")
    #: The request that generated it, if known.
    job_id: Mapped[int | None] = mapped_column(ForeignKey(Job.id, ondelete="SET NULL"), default=None)
    created_by: Mapped[int] = mapped_column(Snowflake)
    created_at: Mapped[float] = mapped_column(Double)

    __table_args__ = (
        Index("uq_blocked_pictures_guild_id", "guild_id", "phash", unique=True),
        Index("uq_blocked_pictures_pdq", "guild_id", "pdq", unique=True),
    )

    @property
    def hashes(self) -> PictureHashes:
        """What its look is compared by."""
        return PictureHashes(self.phash, self.pdq)


class FloorChannel(Base, kw_only=True, eq=False):
    """A channel of the operator's for the floor's hits (`bot.moderation.floor_hits`)."""

    __tablename__ = "floor_channels"

    channel_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: It has every hit up to this time.
    posted_until: Mapped[float] = mapped_column(Double)


class Review(Base, kw_only=True, eq=False):
    """A decision for moderators: whether pictures may be posted, or whether a refusal was wrong (an appeal)."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    created_at: Mapped[float] = mapped_column(Double)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    user_id: Mapped[int] = mapped_column(Snowflake)
    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"))
    is_appeal: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: A `HoldReason`, or the appealed refusal's code.
    why: Mapped[str] = mapped_column(String(32))
    #: The member's reasons for the appeal.
    words: Mapped[str] = mapped_column(EncryptedText, default="", server_default="")

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
    warned_of: Mapped[int | None] = mapped_column("told_of", Snowflake, default=None)

    __table_args__ = (
        Index("uq_reviews_job_id", "job_id", "is_appeal", unique=True),
        Index("ix_reviews_guild_id", "guild_id", "user_id"),
        partial_index("ix_reviews_unshown", "id", where=UNSHOWN),
        partial_index("ix_reviews_open", "guild_id", where=OPEN_REVIEW),
        partial_index("ix_reviews_decided", "decided_at", where=DECIDED),
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
    why: Mapped[str] = mapped_column(EncryptedText)
    review_id: Mapped[int | None] = mapped_column(ForeignKey(Review.id, ondelete="SET NULL"), default=None)
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
    strike_id: Mapped[int] = mapped_column(ForeignKey(Strike.id, ondelete="CASCADE"), index=True)
    created_at: Mapped[float] = mapped_column(Double)
    until: Mapped[float] = mapped_column(Double)
    lifted_at: Mapped[float | None] = mapped_column(Double, default=None)
    time_out: Mapped[str] = mapped_column(String(8), default=TimeOut.NONE, server_default="none")

    __table_args__ = (
        Index("ix_suspensions_guild_id", "guild_id", "user_id"),
        partial_index("ix_suspensions_time_out", "id", where="time_out IN ('wanted', 'set')"),
    )


class Ban(Base, kw_only=True, eq=False):
    """A ban of a member from painting in one server (or everywhere: ``guild_id`` 0)."""

    __tablename__ = "bans"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    user_id: Mapped[int] = mapped_column(Snowflake)
    created_at: Mapped[float] = mapped_column(Double)
    #: 0 is the bot's operator.
    given_by: Mapped[int] = mapped_column(Snowflake)
    why: Mapped[str] = mapped_column(EncryptedText)
    #: None: until it is lifted.
    until: Mapped[float | None] = mapped_column(Double, default=None)
    lifted_at: Mapped[float | None] = mapped_column(Double, default=None)
    lifted_by: Mapped[int | None] = mapped_column(Snowflake, default=None)

    __table_args__ = (Index("ix_bans_user_id", "user_id", "guild_id"), {"sqlite_autoincrement": True})


class MemberReport(Base, kw_only=True, eq=False):
    """A member's report of a posted request to the moderators."""

    __tablename__ = "reports"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    user_id: Mapped[int] = mapped_column(Snowflake)
    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"))
    #: What the member wrote.
    words: Mapped[str] = mapped_column(EncryptedText)
    created_at: Mapped[float] = mapped_column(Double)

    __table_args__ = (
        Index("uq_reports_job_id", "job_id", "user_id", unique=True),
        Index("ix_reports_user_id", "user_id", "guild_id", "created_at"),
        {"sqlite_autoincrement": True},
    )
