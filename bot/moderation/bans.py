"""Bans: members who may not paint in one server, or anywhere, until a time or until the ban is lifted."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from sqlalchemy import Update, bindparam, func, or_, select, update

from limner.bot.errors import NotFound, Suspended
from limner.bot.guild_settings import EVERYWHERE
from limner.bot.storage.db import Database
from limner.bot.storage.tables.moderation_tables import Ban
from limner.bot.storage.together import Together
from limner.bot.translation import N_, _, stored

log = logging.getLogger(__name__)

LISTED = 15
NOT_BANNED = N_("That member is not banned from painting here.")
BANNED = N_("You may not paint in this server until a moderator lifts that: {why}")
BANNED_UNTIL = N_("You may not paint in this server until <t:{until}:f>: {why}")
EVERYWHERE_BANNED = N_("You may not paint with this bot until its operator lifts that: {why}")
EVERYWHERE_UNTIL = N_("You may not paint with this bot until <t:{until}:f>: {why}")

COUNTS = (Ban.lifted_at.is_(None), or_(Ban.until.is_(None), Ban.until > bindparam("now")))
ASKED = select(Ban).where(
    Ban.guild_id.in_(bindparam("guilds", expanding=True)), Ban.user_id.in_(bindparam("users", expanding=True)), *COUNTS
)


class Bans:
    """Bans as rows; a newer ban of a member in a server takes the place of the older one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._asked = Together(self._bans_of)

    async def ban(self, guild_id: int, user_id: int, *, by: int, why: str, until: float | None) -> Ban:
        """Ban a member in a server (0: everywhere) until a time (Unix seconds; None: until it is lifted)."""
        ban = Ban(guild_id=guild_id, user_id=user_id, created_at=time.time(), given_by=by, why=why, until=until)
        async with self.database.begin() as session:
            await self.database.lock(session, f"limner.bans.{guild_id}.{user_id}")
            await session.execute(_lifted(guild_id, user_id, by))
            session.add(ban)
        log.info("member_banned ban=%s guild=%s", ban.id, guild_id)
        return ban

    async def lift(self, guild_id: int, user_id: int, by: int) -> None:
        """Lift a member's ban; raises NotFound if there is none."""
        async with self.database.begin() as session:
            lifted = await session.scalars(_lifted(guild_id, user_id, by).returning(Ban.id))
            if not (numbers := lifted.all()):
                raise NotFound(_(NOT_BANNED))
        log.info("ban_lifted ban=%s guild=%s", numbers[0], guild_id)

    async def of_server(self, guild_id: int, *, skip: int = 0, limit: int = LISTED) -> Sequence[Ban]:
        """The bans that count in a server (0: everywhere), newest first."""
        found = select(Ban).where(Ban.guild_id == guild_id, *COUNTS).order_by(Ban.id.desc()).offset(skip).limit(limit)
        async with self.database.read() as session:
            return (await session.scalars(found, {"now": time.time()})).all()

    async def count(self, guild_id: int) -> int:
        """The number of those."""
        found = select(func.count()).select_from(Ban).where(Ban.guild_id == guild_id, *COUNTS)
        async with self.database.read() as session:
            return await session.scalar(found, {"now": time.time()}) or 0

    async def refuse_banned(self, guild_id: int | None, user_id: int) -> None:
        """Raise Suspended, with why and until when, if a member is banned there or everywhere."""
        if user_id and (ban := await self.of_member(guild_id, user_id)):
            raise Suspended(sentence_of(ban))

    async def of_member(self, guild_id: int | None, user_id: int) -> Ban | None:
        """A member's ban that counts in a server or everywhere, if any."""
        return await self._asked.ask((guild_id or EVERYWHERE, user_id))

    async def _bans_of(self, members: Sequence[tuple[int, int]], _patience: float) -> list[Ban | None]:
        guilds, users = ({*ids} for ids in zip(*members, strict=True))
        asked = {"guilds": guilds | {EVERYWHERE}, "users": users, "now": time.time()}
        async with self.database.read() as session:
            found = {(ban.guild_id, ban.user_id): ban for ban in await session.scalars(ASKED, asked)}
        return [found.get((EVERYWHERE, user)) or found.get((guild, user)) for guild, user in members]


def sentence_of(ban: Ban) -> str:
    """The sentence for the banned member."""
    if ban.until is None:
        return _(BANNED if ban.guild_id else EVERYWHERE_BANNED, why=stored(ban.why))
    return _(BANNED_UNTIL if ban.guild_id else EVERYWHERE_UNTIL, why=stored(ban.why), until=round(ban.until))


def _lifted(guild_id: int, user_id: int, by: int) -> Update:
    mine = (Ban.guild_id == guild_id, Ban.user_id == user_id, Ban.lifted_at.is_(None))
    return update(Ban).where(*mine).values(lifted_at=time.time(), lifted_by=by)
