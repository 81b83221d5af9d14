"""What members have chosen for all their requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select, text

from limner.bot.storage.db import Database
from limner.bot.storage.tables.asking_tables import MemberSettings
from limner.bot.storage.together import Together

_COLUMNS = (MemberSettings.user_id, MemberSettings.expand, MemberSettings.language, MemberSettings.usual)
CHOSEN = select(*_COLUMNS).where(MemberSettings.user_id.in_(bindparam("users", expanding=True)))
KEEP = text("""
INSERT INTO member_settings (user_id, expand) VALUES (:user, :expand)
ON CONFLICT (user_id) DO UPDATE SET expand = excluded.expand
""")
SPEAK = text("""
INSERT INTO member_settings (user_id, language) VALUES (:user, :language)
ON CONFLICT (user_id) DO UPDATE SET language = excluded.language
""")
LEND = text("""
INSERT INTO member_settings (user_id, lends_uploads) VALUES (:user, :lends)
ON CONFLICT (user_id) DO UPDATE SET lends_uploads = excluded.lends_uploads
""")


@dataclass(frozen=True)
class Usual:
    """How a member usually asks."""

    #: on, off or preview; None: not chosen.
    expand: str | None = None
    #: The language of what only the member reads; None: as in Discord.
    language: str | None = None
    #: Other options of /imagine by their names, as they would be typed.
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Members:
    """The settings of members, which hold in all servers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._usual = Together(self._usual_of)

    async def usual(self, user_id: int) -> Usual:
        """How a member usually asks."""
        return await self._usual.ask(user_id)

    async def choose_expand(self, user_id: int, expand: str | None) -> None:
        """Change whether ideas are expanded; None leaves it to the server of each request."""
        async with self.database.begin() as session:
            await session.execute(KEEP, {"user": user_id, "expand": expand})

    async def choose_language(self, user_id: int, language: str | None) -> None:
        """Change the language of what only the member reads; None leaves it to Discord."""
        async with self.database.begin() as session:
            await session.execute(SPEAK, {"user": user_id, "language": language})

    async def choose(self, user_id: int, option: str, value: str) -> None:
        """Change a usual option; an empty value leaves it to the server of each request."""
        async with self.database.begin() as session:
            await self.database.lock(session, f"limner.member.{user_id}")
            row = await session.get(MemberSettings, user_id)
            if row is None:
                row = MemberSettings(user_id=user_id)
                session.add(row)
            others = {name: kept for name, kept in row.usual.items() if name != option}
            row.usual = others | ({option: value} if value else {})

    async def lends_uploads(self, user_id: int) -> bool:
        """Whether others may start from pictures that a member posts; not unless the member allows it."""
        chosen = select(MemberSettings.lends_uploads).where(MemberSettings.user_id == user_id)
        async with self.database.read() as session:
            return bool(await session.scalar(chosen))

    async def choose_to_lend(self, user_id: int, *, lends: bool) -> None:
        """Change it."""
        async with self.database.begin() as session:
            await session.execute(LEND, {"user": user_id, "lends": lends})

    async def _usual_of(self, users: Sequence[int], _patience: float) -> list[Usual]:
        async with self.database.read() as session:
            rows = await session.execute(CHOSEN, {"users": set(users)})
            chosen = {row.user_id: Usual(row.expand, row.language, row.usual) for row in rows}
        return [chosen.get(user, Usual()) for user in users]
