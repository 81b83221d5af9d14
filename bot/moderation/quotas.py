"""Quotas: how many pictures, and how many seconds of a GPU, a member may have in a day and in 30 days in a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limner.bot.guild_settings import Guilds, GuildSettings
from limner.bot.place import Where
from limner.bot.queue.quota import Limit, over_limit
from limner.bot.storage.db import Database
from limner.bot.translation import N_

EVERYBODY = "0"
"""The key of the quota of members none of whose roles has one."""
DAY = 86_400.0


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
    """What members may have; the queue counts again when it inserts a request (`bot.queue.quota`)."""

    def __init__(self, database: Database, guilds: Guilds) -> None:
        self.database = database
        self._guilds = guilds

    async def limits(self, where: Where) -> Sequence[Limit]:
        """A member's limits in a server, from their roles there."""
        found = limits_of(await self._guilds.get(where.guild_id), where)
        return [Limit(most, **vars(MEASURES[name])) for name, most in found.items()]

    async def check(self, user_id: int, where: Where, pictures: int) -> None:
        """Raise QuotaUsed if so many more pictures are over one of the member's limits."""
        if limits := await self.limits(where):
            async with self.database.read() as session:
                over = await over_limit(session, user_id, where.guild_id or 0, pictures, limits)
            if over:
                raise over.error()


def changed(settings: GuildSettings, role: str, limits: Mapping[str, int]) -> Mapping[str, Mapping[str, int]]:
    """A server's quotas with other limits for a role; without any the role has none of its own."""
    others = {key: row for key, row in settings.quotas.items() if key != role}
    return others | ({role: dict(limits)} if limits else {})
