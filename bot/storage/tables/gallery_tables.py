"""The table of pictures that a server's gallery channel shows."""

from __future__ import annotations

from sqlalchemy import Double
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, RowId, Snowflake, partial_index

UNPOSTED = "message_id IS NULL"


class GalleryPost(Base, kw_only=True, eq=False):
    """A picture in a gallery channel, from the stars that it needs to the removal of its message.

    It outlives the picture's row, because the message has to be removed then.
    """

    __tablename__ = "gallery_posts"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    image_id: Mapped[int] = mapped_column(RowId, unique=True)
    guild_id: Mapped[int] = mapped_column(Snowflake)
    #: Where it was posted; None until then. In a forum the thread is the channel.
    channel_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    message_id: Mapped[int | None] = mapped_column(Snowflake, default=None)
    #: Not to be posted before this time, in Unix seconds (a retry backs off).
    not_before: Mapped[float] = mapped_column(Double, default=0.0)

    __table_args__ = (
        partial_index("ix_gallery_posts_unposted", "not_before", where=UNPOSTED),
        {"sqlite_autoincrement": True},
    )
