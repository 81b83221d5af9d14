"""The table of embeddings, by which requests are found by their meaning."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, RowId, Snowflake
from limner.bot.storage.tables.encrypted import EncryptedBytes


class Embedding(Base, kw_only=True, eq=False):
    """What the words of a painted request mean, as a small vector; it goes with the words."""

    __tablename__ = "embeddings"

    #: Counts up as they are written, also for older requests, so that a reader knows which are new.
    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), unique=True)
    user_id: Mapped[int] = mapped_column(Snowflake)
    guild_id: Mapped[int | None] = mapped_column(Snowflake)
    #: The setting `embedder` at that time; vectors of others are not compared with it.
    embedder: Mapped[str] = mapped_column(String(64))
    #: The signs of the vector's numbers, eight in a byte.
    signs: Mapped[bytes] = mapped_column(EncryptedBytes, repr=False)
    #: The vector as numbers from -127 to 127, one in a byte.
    vector: Mapped[bytes] = mapped_column(EncryptedBytes, repr=False)

    __table_args__ = (
        Index("ix_embeddings_user", "user_id", "id"),
        Index("ix_embeddings_guild", "guild_id", "id"),
        {"sqlite_autoincrement": True},
    )
