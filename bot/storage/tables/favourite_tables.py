"""Tables for what members keep of pictures: favourites with notes, and folders."""

from __future__ import annotations

from sqlalchemy import Double, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from limner.bot.storage.tables.base import Base, RowId, Snowflake
from limner.bot.storage.tables.encrypted import EncryptedText


class Folder(Base, kw_only=True, eq=False):
    """A member's folder of favourites; it goes with its last picture."""

    __tablename__ = "folders"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, init=False)
    user_id: Mapped[int] = mapped_column(Snowflake, index=True)
    #: As its member typed it first.
    name: Mapped[str] = mapped_column(EncryptedText)
    #: When a picture was last put into it, in Unix seconds.
    used_at: Mapped[float] = mapped_column(Double)

    __table_args__ = ({"sqlite_autoincrement": True},)


class Favourite(Base, kw_only=True, eq=False):
    """A picture that a member has starred; it goes with the picture."""

    __tablename__ = "favourites"

    user_id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )
    #: Unix seconds.
    starred_at: Mapped[float] = mapped_column(Double)
    folder_id: Mapped[int | None] = mapped_column(
        ForeignKey("folders.id", ondelete="SET NULL"), default=None, index=True
    )
    note: Mapped[str] = mapped_column(EncryptedText, default="")

    __table_args__ = (Index("ix_favourites_user", "user_id", "folder_id", "image_id"),)
