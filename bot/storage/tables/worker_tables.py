"""Tables for the processes: workers, the servers' shares of them, and the commands last synced."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, Snowflake


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
    #: What it has done since its start, by the names of `WorkDone`.
    work: Mapped[dict[str, int]] = mapped_column(
        JSON(none_as_null=True), default_factory=dict[str, int], server_default="{}"
    )
    started_at: Mapped[float] = mapped_column(Double)
    #: It is alive while this is less than a lease ago.
    seen_at: Mapped[float] = mapped_column(Double)


class SyncedCommands(Base, kw_only=True, eq=False):
    """The hash of an application's commands at the last sync, so that they are synced only when changed."""

    __tablename__ = "synced_commands"

    application_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
