"""The table of the servers that the bot is or was in."""

from __future__ import annotations

from sqlalchemy import Double
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, Snowflake


class KnownServer(Base, kw_only=True, eq=False):
    """A server that the bot is in, or that it has left and whose rows are yet to be removed."""

    __tablename__ = "servers"

    guild_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    #: When the bot left it (Unix seconds); None while it is in it.
    left_at: Mapped[float | None] = mapped_column(Double, default=None)
