"""What members have chosen for all their requests."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select, text

from limner.bot.storage.db import Database
from limner.bot.storage.tables.asking_tables import MemberSettings
from limner.bot.storage.together import Together

CHOSEN = select(MemberSettings.user_id, MemberSettings.expand).where(
    MemberSettings.user_id.in_(bindparam("users", expanding=True))
)
KEEP = text("""
INSERT INTO member_settings (user_id, expand) VALUES (:user, :expand)
ON CONFLICT (user_id) DO UPDATE SET expand = excluded.expand
""")


class Members:
    """The settings of members, which hold in all servers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._expands = Together(self._expands_of)

    async def expand(self, user_id: int) -> str | None:
        """A member's usual expansion: on, off or preview; None if the member has chosen none."""
        return await self._expands.ask(user_id)

    async def choose_expand(self, user_id: int, expand: str | None) -> None:
        """Change it; None leaves it to the server of each request."""
        async with self.database.begin() as session:
            if expand:
                await session.execute(KEEP, {"user": user_id, "expand": expand})
            else:
                await session.execute(delete(MemberSettings).where(MemberSettings.user_id == user_id))

    async def _expands_of(self, users: Sequence[int], _patience: float) -> list[str | None]:
        async with self.database.read() as session:
            chosen = {row.user_id: row.expand for row in await session.execute(CHOSEN, {"users": set(users)})}
        return [chosen.get(user) for user in users]
