"""Tables for what members think of their results and prefer, and whether models may be trained with it."""

from __future__ import annotations

from sqlalchemy import Double, ForeignKey, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, RowId, Snowflake


class Rating(Base, kw_only=True, eq=False):
    """What a member thinks of the result of their own request; it goes with the request."""

    __tablename__ = "ratings"

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(Snowflake, index=True)
    is_good: Mapped[bool]
    #: Unix seconds.
    rated_at: Mapped[float] = mapped_column(Double)


class Preference(Base, kw_only=True, eq=False):
    """Which of two pictures of their own request a member likes better; it goes with the request."""

    __tablename__ = "preferences"

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(Snowflake, index=True)
    #: The pictures' numbers, from 1.
    better: Mapped[int]
    worse: Mapped[int]
    #: Unix seconds.
    chosen_at: Mapped[float] = mapped_column(Double)


class TaughtLora(Base, kw_only=True, eq=False):
    """A LoRA that has learnt from what a member liked; it is deleted when the member is erased."""

    __tablename__ = "taught_loras"
    __table_args__ = (UniqueConstraint("trained_in", "user_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    user_id: Mapped[int] = mapped_column(Snowflake, index=True)
    #: Its model and name, as members name it ("doodle/ink").
    lora: Mapped[str] = mapped_column(Text)
    #: The folder of its training.
    trained_in: Mapped[str] = mapped_column(Text)
    #: The file that requests use; empty if there is none.
    installed: Mapped[str] = mapped_column(Text)
    #: Unix seconds.
    taught_at: Mapped[float] = mapped_column(Double)


class RatingSettings(Base, kw_only=True, eq=False):
    """What a member has chosen about ratings; no row: neither."""

    __tablename__ = "rating_settings"

    user_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: Whether their results have the two faces.
    is_shown: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: Whether their ratings and preferences are training data.
    is_training: Mapped[bool] = mapped_column(default=False, server_default=false())
