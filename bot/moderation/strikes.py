"""Strikes: warnings that expire, and the suspensions that follow."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import NotFound, Suspended
from limner.bot.guild_settings import GuildSettings
from limner.bot.moderation.bans import Bans
from limner.bot.reasons import TimeOut
from limner.bot.storage.db import Database
from limner.bot.storage.tables.moderation_tables import Strike, Suspension
from limner.bot.storage.together import Together
from limner.bot.translation import _

log = logging.getLogger(__name__)

DAY = 86_400.0
LONGEST = 28 * DAY
"""Longest suspension; Discord's longest time-out."""
LISTED = 15

SUSPENDED = (
    select(Suspension)
    .where(
        Suspension.guild_id.in_(bindparam("guilds", expanding=True)),
        Suspension.user_id.in_(bindparam("users", expanding=True)),
        Suspension.lifted_at.is_(None),
        Suspension.until > bindparam("now"),
    )
    .order_by(Suspension.until)
)
"""Built once: building it takes longer than running it."""


@dataclass(frozen=True)
class GivenStrike:
    """A strike, the member's number of strikes, and the suspension that it caused, if any."""

    strike: Strike
    active: int
    suspension: Suspension | None


class Strikes:
    """Strikes and suspensions as rows; each counts in one server only."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.bans = Bans(database)
        self._suspensions = Together(self._suspensions_of)

    async def give(
        self, guild_id: int, user_id: int, *, by: int, why: str, settings: GuildSettings, review_id: int | None = None
    ) -> GivenStrike:
        """Give a strike; a review gives at most one.

        A member with ``strike_limit`` strikes is suspended for ``suspension_hours``; the duration doubles each time.
        """
        now = time.time()
        async with self.database.begin() as session:
            await self.database.lock(session, f"limner.strikes.{guild_id}.{user_id}")
            if review_id is not None and (before := await _of_review(session, review_id)):
                return before
            strike = Strike(
                guild_id=guild_id,
                user_id=user_id,
                created_at=now,
                expires_at=now + settings.strike_days * DAY,
                given_by=by,
                why=why,
                review_id=review_id,
            )
            session.add(strike)
            await session.flush()
            active = await session.scalar(select(func.count()).select_from(Strike).where(*_active(guild_id, user_id)))
            suspension = None
            if settings.strike_limit and (active or 0) >= settings.strike_limit:
                suspension = await _suspend(session, strike, settings, now)
        log.info("strike_given strike=%s guild=%s", strike.id, guild_id)
        return GivenStrike(strike, active or 0, suspension)

    async def remove(self, guild_id: int, strike_id: int, by: int) -> Strike:
        """Remove a strike, and the suspension that it caused; raises NotFound."""
        now = time.time()
        mine = (Strike.id == strike_id, Strike.guild_id == guild_id, Strike.removed_at.is_(None))
        removed = update(Strike).where(*mine).values(removed_at=now, removed_by=by).returning(Strike)
        async with self.database.begin() as session:
            strike = await session.scalar(removed)
            if strike is None:
                raise NotFound(_("There is no such strike in this server; /strike list shows them with their numbers."))
            await session.execute(
                update(Suspension)
                .where(Suspension.strike_id == strike_id, Suspension.lifted_at.is_(None))
                .values(lifted_at=now)
            )
        log.info("strike_removed strike=%s guild=%s", strike_id, guild_id)
        return strike

    async def get(self, guild_id: int, strike_id: int) -> Strike:
        """One strike of a server; raises NotFound."""
        async with self.database.read() as session:
            strike = await session.get(Strike, strike_id)
        if strike is None or strike.guild_id != guild_id:
            raise NotFound(_("There is no such strike in this server; /strike list shows them with their numbers."))
        return strike

    async def active(
        self, guild_id: int, user_id: int | None = None, *, skip: int = 0, limit: int = LISTED
    ) -> Sequence[Strike]:
        """A member's current strikes (None: the whole server's), newest first."""
        found = select(Strike).where(*_active(guild_id, user_id)).order_by(Strike.id.desc())
        async with self.database.read() as session:
            return (await session.scalars(found.offset(skip).limit(limit))).all()

    async def count(self, guild_id: int, user_id: int | None = None) -> int:
        """The number of current strikes."""
        found = select(func.count()).select_from(Strike).where(*_active(guild_id, user_id))
        async with self.database.read() as session:
            return await session.scalar(found) or 0

    async def suspension(self, guild_id: int | None, user_id: int) -> Suspension | None:
        """The member's current suspension, if any."""
        return None if guild_id is None else await self._suspensions.ask((guild_id, user_id))

    async def of_review(self, review_id: int) -> GivenStrike | None:
        """The strike that a review gave, and its suspension; None if it gave none."""
        async with self.database.read() as session:
            return await _of_review(session, review_id)

    async def refuse_suspended(self, guild_id: int | None, user_id: int) -> None:
        """Raise Suspended, with the end, if the member is suspended or banned in this server, or banned everywhere."""
        await self.bans.refuse_banned(guild_id, user_id)
        if suspension := await self.suspension(guild_id, user_id):
            raise Suspended.until(suspension.until)

    async def time_outs(self) -> Sequence[Suspension]:
        """Suspensions whose Discord time-out is still to be set or lifted."""
        now = time.time()
        to_set = (Suspension.time_out == TimeOut.WANTED) & Suspension.lifted_at.is_(None) & (Suspension.until > now)
        to_end = (Suspension.time_out == TimeOut.SET) & Suspension.lifted_at.is_not(None)
        async with self.database.read() as session:
            return (await session.scalars(select(Suspension).where(to_set | to_end))).all()

    async def mark_time_out(self, suspension_id: int, time_out: TimeOut) -> None:
        """Record the result of Discord's time-out."""
        async with self.database.begin() as session:
            marked = update(Suspension).where(Suspension.id == suspension_id).values(time_out=time_out)
            await session.execute(marked)
        log.info("time_out_%s suspension=%s", time_out, suspension_id)

    async def _suspensions_of(self, members: Sequence[tuple[int, int]], _patience: float) -> list[Suspension | None]:
        guilds, users = ({*ids} for ids in zip(*members, strict=True))
        async with self.database.read() as session:
            found = await session.scalars(SUSPENDED, {"guilds": guilds, "users": users, "now": time.time()})
            last = {(one.guild_id, one.user_id): one for one in found}
        return [last.get(member) for member in members]


def _active(guild_id: int, user_id: int | None) -> list[ColumnElement[bool]]:
    whose = [] if user_id is None else [Strike.user_id == user_id]
    return [Strike.guild_id == guild_id, *whose, Strike.removed_at.is_(None), Strike.expires_at > time.time()]


async def _suspend(session: AsyncSession, strike: Strike, settings: GuildSettings, now: float) -> Suspension:
    mine = (Suspension.guild_id == strike.guild_id, Suspension.user_id == strike.user_id)
    earlier = select(func.count()).select_from(Suspension).where(*mine, Suspension.lifted_at.is_(None))
    times = min(await session.scalar(earlier) or 0, 16)
    suspension = Suspension(
        guild_id=strike.guild_id,
        user_id=strike.user_id,
        strike_id=strike.id,
        created_at=now,
        until=now + min(settings.suspension_hours * 3600.0 * 2**times, LONGEST),
        time_out=TimeOut.WANTED if settings.times_out else TimeOut.NONE,
    )
    session.add(suspension)
    await session.flush()
    return suspension


async def _of_review(session: AsyncSession, review_id: int) -> GivenStrike | None:
    strike = await session.scalar(select(Strike).where(Strike.review_id == review_id))
    if strike is None:
        return None
    active = select(func.count()).select_from(Strike).where(*_active(strike.guild_id, strike.user_id))
    suspension = await session.scalar(select(Suspension).where(Suspension.strike_id == strike.id))
    return GivenStrike(strike, await session.scalar(active) or 0, suspension)
