"""What members have chosen for all their requests."""

from __future__ import annotations

from sqlalchemy import delete, select, text

from limner.bot.storage.asking_tables import MemberSettings
from limner.bot.storage.db import Database

KEEP = text("""
INSERT INTO member_settings (user_id, expand) VALUES (:user, :expand)
ON CONFLICT (user_id) DO UPDATE SET expand = excluded.expand
""")


class Members:
    """The settings of members, which hold in all servers."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def expand(self, user_id: int) -> str | None:
        """A member's usual expansion: on, off or preview; None if the member has chosen none."""
        async with self.database.read() as session:
            return await session.scalar(select(MemberSettings.expand).where(MemberSettings.user_id == user_id))

    async def choose_expand(self, user_id: int, expand: str | None) -> None:
        """Change it; None leaves it to the server of each request."""
        async with self.database.begin() as session:
            if expand:
                await session.execute(KEEP, {"user": user_id, "expand": expand})
            else:
                await session.execute(delete(MemberSettings).where(MemberSettings.user_id == user_id))
