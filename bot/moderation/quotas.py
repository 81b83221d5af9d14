"""Quotas: how many pictures, and how many seconds of a GPU, a member may have in a day and in 30 days in a server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import case, func, select

from limner.bot.errors import QuotaUsed
from limner.bot.guild_settings import Guilds, GuildSettings
from limner.bot.place import Where
from limner.bot.reasons import JobKind, JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _

EVERYBODY = "0"
"""The key of the quota of members none of whose roles has one."""
DAY = 86_400.0
COUNTED = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED)


TOO_MUCH = N_("That alone is more than this server allows you; ask for fewer pictures.")


@dataclass(frozen=True)
class Measure:
    """One limit of a quota: its sentence, the seconds that it looks back, and whether it counts pictures."""

    sentence: str
    seconds: float
    is_of_pictures: bool


MEASURES = {
    "pictures_day": Measure(
        N_("You have had {used} of {most} pictures in 24 hours here; the next one can be asked for <t:{free}:R>."),
        DAY,
        True,
    ),
    "pictures_month": Measure(
        N_("You have had {used} of {most} pictures in 30 days here; the next one can be asked for <t:{free}:R>."),
        30 * DAY,
        True,
    ),
    "seconds_day": Measure(
        N_("You have used {used} of {most} seconds of painting in 24 hours here; more are free <t:{free}:R>."),
        DAY,
        False,
    ),
    "seconds_month": Measure(
        N_("You have used {used} of {most} seconds of painting in 30 days here; more are free <t:{free}:R>."),
        30 * DAY,
        False,
    ),
}
"""Every limit by its name in a server's settings."""


def limits_of(settings: GuildSettings, where: Where) -> dict[str, int]:
    """A member's limits: of their roles that have a quota the most generous, otherwise those of everybody."""
    rows = [settings.quotas[key] for key in map(str, where.role_ids) if key in settings.quotas]
    rows = rows or [settings.quotas.get(EVERYBODY, {})]
    return {name: max(row[name] for row in rows) for name in MEASURES if all(name in row for row in rows)}


class Quotas:
    """Counts what members had; requests that are asked for in the same moment may go over a quota together."""

    def __init__(self, database: Database, guilds: Guilds) -> None:
        self.database = database
        self._guilds = guilds

    async def check(self, user_id: int, where: Where, pictures: int) -> None:
        """Raise QuotaUsed if so many more pictures are over one of the member's limits."""
        limits = limits_of(await self._guilds.get(where.guild_id), where)
        for name, most in limits.items():
            measure = MEASURES[name]
            used, oldest = await self._used(user_id, where.guild_id or 0, measure)
            if used + (pictures if measure.is_of_pictures else 1) > most:
                if oldest is None:
                    raise QuotaUsed(_(TOO_MUCH))
                free = round(oldest + measure.seconds)
                raise QuotaUsed(_(measure.sentence, used=round(used), most=most, free=free))

    async def _used(self, user_id: int, guild_id: int, measure: Measure) -> tuple[float, float | None]:
        """What a member had lately, and when the oldest of it was asked for; deleted requests count too."""
        since = time.time() - measure.seconds
        # Ids rise with time, and the index of a member's requests has ids and no times.
        last_before = select(Job.id).where(Job.created_at <= since).order_by(Job.created_at.desc()).limit(1)
        mine = (Job.user_id == user_id, Job.id > func.coalesce(last_before.scalar_subquery(), 0))
        lately = (Job.guild_id == guild_id, Job.created_at > since, Job.status.in_(COUNTED))
        pictures = case((Job.kind == JobKind.PAINT, Job.samples), else_=0)
        amount = func.coalesce(func.sum(pictures if measure.is_of_pictures else Job.busy_seconds), 0)
        async with self.database.read() as session:
            row = (await session.execute(select(amount, func.min(Job.created_at)).where(*mine, *lately))).one()
        return float(row[0]), row[1]


def changed(settings: GuildSettings, role: str, limits: Mapping[str, int]) -> Mapping[str, Mapping[str, int]]:
    """A server's quotas with other limits for a role; without any the role has none of its own."""
    others = {key: row for key, row in settings.quotas.items() if key != role}
    return others | ({role: dict(limits)} if limits else {})
