"""Tables for what members are about to ask for, and for how they usually ask."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double, String, false
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, RowId, Snowflake
from limner.bot.storage.tables.encrypted import EncryptedJson


class PendingAsk(Base, kw_only=True, eq=False):
    """What a member asked for and has yet to confirm or to complete; kept for a day."""

    __tablename__ = "pending_asks"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    user_id: Mapped[int] = mapped_column(Snowflake, index=True)
    created_at: Mapped[float] = mapped_column(Double)
    #: The fields of `bot.options.ask.Ask` that the member chose; an image not stored yet as Discord's attachment.
    ask: Mapped[dict[str, Any]] = mapped_column(EncryptedJson)
    #: The picture to start from.
    input_sha256: Mapped[str | None] = mapped_column(String(64), default=None, index=True)
    #: Since when it is being submitted; None before.
    taken_at: Mapped[float | None] = mapped_column(Double, default=None)

    __table_args__ = ({"sqlite_autoincrement": True},)


class MemberSettings(Base, kw_only=True, eq=False):
    """What a member has chosen for all requests; no row: nothing."""

    __tablename__ = "member_settings"

    user_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: on, off or preview: the expansion of a request that does not say it; None: not chosen.
    expand: Mapped[str | None] = mapped_column(String(8), default=None)
    #: Other usual options of /imagine by their names.
    usual: Mapped[dict[str, Any]] = mapped_column(EncryptedJson, default_factory=dict[str, Any], server_default="{}")
    #: The language of what only the member reads, one of `bot.translation.languages`; None: as in Discord.
    language: Mapped[str | None] = mapped_column(String(16), default=None)
    #: Whether others may start from pictures that the member posts.
    lends_uploads: Mapped[bool] = mapped_column(default=False, server_default=false())
