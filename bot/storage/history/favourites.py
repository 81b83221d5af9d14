"""Favourites: the pictures that a member has starred, their notes, and the folders that they are in."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import BadOption, BadPicture
from limner.bot.storage.db import Database
from limner.bot.storage.tables.favourite_tables import Favourite, Folder
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import N_, _

FOLDER_LENGTH = 50
"""Most characters of a folder's name."""
NOTE_LENGTH = 500
"""Most characters of a note."""
MOST_FOLDERS = 200
"""Most folders of one member."""
GONE = N_("That picture was deleted, so it cannot be a favourite.")
NO_NAME = N_("A folder's name needs a letter, a digit or an emoji; write one.")
TOO_MANY = N_("You have {most} folders, which is the most; choose one of them, or take all pictures out of one.")
NO_STAR = N_("That picture is not among your favourites any more; star it first.")

_INVISIBLE = ("Cc", "Cf", "Mn", "Zl", "Zp", "Zs")
"""Unicode's categories of controls, joiners, variation selectors and spaces."""
_STAR = text("""
INSERT INTO favourites (user_id, image_id, starred_at, note) VALUES (:user, :image, :now, '')
ON CONFLICT (user_id, image_id) DO NOTHING
""")


@dataclass(frozen=True)
class Kept:
    """One of a member's favourites, with the place of its picture."""

    image_id: int
    job_id: int
    #: Counted from 1.
    number: int
    folder: str
    note: str


class Favourites:
    """The favourites and folders of members, each member's own."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def star(self, user_id: int, image_id: int) -> Kept:
        """Put a picture among a member's favourites; once more changes nothing.

        Raises:
            BadPicture: the picture is deleted.
        """
        is_there = select(Image.id).join(Job, Job.id == Image.job_id).where(Image.id == image_id)
        is_there = is_there.where(Job.deleted_at.is_(None)).with_for_update(read=True)
        async with self.database.begin() as session:
            if await session.scalar(is_there) is None:
                raise BadPicture(_(GONE))
            await session.execute(_STAR, {"user": user_id, "image": image_id, "now": time.time()})
            return await _kept_still(session, user_id, image_id)

    async def unstar(self, user_id: int, image_id: int) -> None:
        """Take a picture from a member's favourites, with its note."""
        async with self.database.begin() as session:
            await session.execute(delete(Favourite).where(*_one(user_id, image_id)))
            await _drop_empty(session, user_id)

    async def get(self, user_id: int, image_id: int) -> Kept:
        """A favourite; raises BadOption if it is none."""
        async with self.database.read() as session:
            return await _kept_still(session, user_id, image_id)

    async def keep(self, user_id: int, image_id: int, folder: str, note: str) -> Kept:
        """Put a favourite into the folder of that name (empty: none), which is made if there is none, with a note.

        Raises:
            BadOption: the name has nothing to read, there are too many folders, or the picture is no favourite.
        """
        name = " ".join(folder.split())
        if name and not key_of(name):
            raise BadOption(_(NO_NAME))
        async with self.database.begin() as session:
            await self.database.lock(session, f"folders {user_id}")
            folder_id = await _opened(session, user_id, name) if name else None
            changed = update(Favourite).where(*_one(user_id, image_id)).values(folder_id=folder_id, note=note.strip())
            await session.execute(changed)
            await _drop_empty(session, user_id)
            return await _kept_still(session, user_id, image_id)

    async def folders(self, user_id: int, most: int = MOST_FOLDERS) -> Mapping[int, str]:
        """A member's folders by id, the last used ones first."""
        found = select(Folder.id, Folder.name).where(Folder.user_id == user_id, _is_used())
        found = found.order_by(Folder.used_at.desc(), Folder.id).limit(most)
        async with self.database.read() as session:
            return {row.id: row.name for row in await session.execute(found)}

    async def stars(self, image_ids: Collection[int]) -> Mapping[int, int]:
        """How many members have starred each of the pictures; those that nobody has are left out."""
        found = select(Favourite.image_id, func.count().label("stars")).where(Favourite.image_id.in_(image_ids))
        async with self.database.read() as session:
            return {row.image_id: row.stars for row in await session.execute(found.group_by(Favourite.image_id))}


def key_of(name: str) -> str:
    """What makes two names one folder: without case, width and what cannot be seen."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in plain if unicodedata.category(letter) not in _INVISIBLE)


async def forget(session: AsyncSession, which: ColumnElement[bool]) -> None:
    """Delete all favourites of the pictures of these jobs."""
    pictures = select(Image.id).join(Job, Job.id == Image.job_id).where(which)
    await session.execute(delete(Favourite).where(Favourite.image_id.in_(pictures)))


def _one(user_id: int, image_id: int) -> Sequence[ColumnElement[bool]]:
    return Favourite.user_id == user_id, Favourite.image_id == image_id


def _is_used() -> ColumnElement[bool]:
    return select(Favourite.image_id).where(Favourite.folder_id == Folder.id).exists()


async def _kept_still(session: AsyncSession, user_id: int, image_id: int) -> Kept:
    found = select(Image.job_id, Image.position, Folder.name, Favourite.note).join_from(Favourite, Image)
    row = (await session.execute(found.outerjoin(Folder).where(*_one(user_id, image_id)))).first()
    if row is None:
        raise BadOption(_(NO_STAR))
    return Kept(image_id, row[0], row[1] + 1, row[2] or "", row[3])


async def _opened(session: AsyncSession, user_id: int, name: str) -> int:
    """The id of the member's folder of that name, new or not; raises BadOption if it would be one too many."""
    folders = (await session.scalars(select(Folder).where(Folder.user_id == user_id))).all()
    folder = next((one for one in folders if key_of(one.name) == key_of(name)), None)
    if folder is None:
        if len(folders) >= MOST_FOLDERS:
            raise BadOption(_(TOO_MANY, most=MOST_FOLDERS))
        folder = Folder(user_id=user_id, name=name, used_at=0.0)
        session.add(folder)
    folder.used_at = time.time()
    await session.flush()
    return folder.id


async def _drop_empty(session: AsyncSession, user_id: int) -> None:
    await session.execute(delete(Folder).where(Folder.user_id == user_id, ~_is_used()))
