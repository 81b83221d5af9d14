"""What members have chosen for all their requests."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, text

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
LEND = text("""
INSERT INTO member_settings (user_id, lends_uploads) VALUES (:user, :lends)
ON CONFLICT (user_id) DO UPDATE SET lends_uploads = excluded.lends_uploads
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
            await session.execute(KEEP, {"user": user_id, "expand": expand})

    async def lends_uploads(self, user_id: int) -> bool:
        """Whether others may start from pictures that a member posts; not unless the member allows it."""
        chosen = select(MemberSettings.lends_uploads).where(MemberSettings.user_id == user_id)
        async with self.database.read() as session:
            return bool(await session.scalar(chosen))

    async def choose_to_lend(self, user_id: int, *, lends: bool) -> None:
        """Change it."""
        async with self.database.begin() as session:
            await session.execute(LEND, {"user": user_id, "lends": lends})

    async def _expands_of(self, users: Sequence[int], _patience: float) -> list[str | None]:
        async with self.database.read() as session:
            chosen = {row.user_id: row.expand for row in await session.execute(CHOSEN, {"users": set(users)})}
        return [chosen.get(user) for user in users]
