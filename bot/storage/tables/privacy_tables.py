"""Tables for what members ask to be erased, or to be sent, and for the keys that encrypt what is stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, Json, RowId, Snowflake


class Erasure(Base, kw_only=True, eq=False):
    """What a member asked to erase; the row goes when all of it is erased."""

    __tablename__ = "erasures"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    user_id: Mapped[int] = mapped_column(Snowflake, index=True)
    asked_at: Mapped[float] = mapped_column(Double)
    #: Requests made at or after one time and before another (Unix seconds).
    after: Mapped[float] = mapped_column(Double, default=0.0)
    before: Mapped[float] = mapped_column(Double)
    #: Whether everything else of the member goes too: settings, marks, and the rows of the requests themselves.
    is_all: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: Whether the posted messages are deleted.
    takes_messages: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: The language of the receipt.
    locale: Mapped[str] = mapped_column(String(16))
    #: What is done so far; ``kept_messages`` are in channels where the bot may not delete.
    requests: Mapped[int] = mapped_column(default=0, server_default="0")
    pictures: Mapped[int] = mapped_column(default=0, server_default="0")
    messages: Mapped[int] = mapped_column(default=0, server_default="0")
    kept_messages: Mapped[int] = mapped_column(default=0, server_default="0")
    #: When everything was done that could be done then.
    done_at: Mapped[float | None] = mapped_column(Double, default=None)

    __table_args__ = ({"sqlite_autoincrement": True},)


class Export(Base, kw_only=True, eq=False):
    """Everything stored about a member on its way to them; the row goes when the last part is sent."""

    __tablename__ = "exports"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    user_id: Mapped[int] = mapped_column(Snowflake, unique=True)
    asked_at: Mapped[float] = mapped_column(Double)
    #: The language of its messages.
    locale: Mapped[str] = mapped_column(String(16))
    #: The interaction token that can send it where the member takes no direct messages, until it expires.
    token: Mapped[str] = mapped_column(Text, repr=False)
    token_expires_at: Mapped[float] = mapped_column(Double)
    #: The last row that was sent: its section (`bot.storage.member_data.Section`), and its primary key.
    section: Mapped[str] = mapped_column(String(64), default="", server_default="")
    after: Mapped[list[Any] | None] = mapped_column(Json, default=None)
    #: What is sent so far.
    parts: Mapped[int] = mapped_column(default=0, server_default="0")
    pictures: Mapped[int] = mapped_column(default=0, server_default="0")
    #: When its last part was begun, so that several members' exports take turns.
    tried_at: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    #: Since when Discord refuses its messages; None otherwise.
    held_at: Mapped[float | None] = mapped_column(Double, default=None)

    __table_args__ = ({"sqlite_autoincrement": True},)


class EncryptionKey(Base, kw_only=True, eq=False):
    """A key that something is encrypted under, by its id; the key itself is in the environment only."""

    __tablename__ = "encryption_keys"

    #: In hexadecimal digits (see `bot.storage.cipher`).
    key_id: Mapped[str] = mapped_column(String(8), primary_key=True)
    first_used_at: Mapped[float] = mapped_column(Double)
    #: Whether all is encrypted under it, also what was stored before.
    covers_all: Mapped[bool]
