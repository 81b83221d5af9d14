"""House rules: a text of a server that each member accepts once before asking for pictures there."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy import text

from limner.bot.errors import RulesNotAccepted
from limner.bot.guild_settings import Guilds
from limner.bot.storage.db import Database
from limner.bot.storage.tables.house_rules_tables import AcceptedRules
from limner.bot.translation import N_, _

MOST = 1500
"""Characters of the text; it is shown in one message."""
DIGEST_LENGTH = 16
ASKED = N_("**The rules of this server**\n{rules}\n\nAccept them once, and you can ask for pictures here.")
ACCEPT = text("""
INSERT INTO accepted_rules (guild_id, user_id, digest, accepted_at) VALUES (:guild, :user, :digest, :now)
ON CONFLICT (guild_id, user_id) DO UPDATE SET digest = excluded.digest, accepted_at = excluded.accepted_at
""")


class HouseRules:
    """The rows of accepted house rules."""

    def __init__(self, database: Database, guilds: Guilds) -> None:
        self._database = database
        self._guilds = guilds

    async def check(self, guild_id: int | None, user_id: int) -> None:
        """Raise RulesNotAccepted if the server has house rules and the member has not accepted this text of them."""
        rules = (await self._guilds.get(guild_id)).house_rules if guild_id else ""
        if not (guild_id and rules):
            return
        async with self._database.read() as session:
            row = await session.get(AcceptedRules, (guild_id, user_id))
        if row is None or row.digest != digest(rules):
            raise RulesNotAccepted(_(ASKED, rules=rules), digest(rules))

    async def accept(self, guild_id: int, user_id: int, accepted: str) -> None:
        """Record that a member accepts the text with that digest; raises like `check` if the server has another now."""
        rules = (await self._guilds.get(guild_id)).house_rules
        if digest(rules) == accepted:
            async with self._database.begin() as session:
                values = {"guild": guild_id, "user": user_id, "digest": accepted, "now": time.time()}
                await session.execute(ACCEPT, values)
        await self.check(guild_id, user_id)


def digest(rules: str) -> str:
    """Equal for equal texts."""
    return hashlib.sha256(rules.encode()).hexdigest()[:DIGEST_LENGTH]
