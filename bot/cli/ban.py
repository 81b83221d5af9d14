"""`limner ban`: members who may not paint with this bot, in any server or direct message."""

from __future__ import annotations

import json
import time

from limner.bot.app import open_app
from limner.bot.guild_settings import EVERYWHERE
from limner.bot.moderation.strikes import DAY
from limner.bot.settings.settings import Settings
from limner.bot.storage import migrate
from limner.bot.translation import N_, _

OPERATOR = 0
MOST = 10_000
"""Bans that are printed."""
NO_REASON = N_("the bot's operator decided so")


async def ban(
    settings: Settings, user_id: int | None, *, days: float | None, why: str, is_lifted: bool, as_json: bool
) -> None:
    """Ban a member, lift their ban, or only print the bans; raises NotFound if there is none to lift."""
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        if user_id is not None and is_lifted:
            await app.bans.lift(EVERYWHERE, user_id, OPERATOR)
        elif user_id is not None:
            until = time.time() + days * DAY if days else None
            await app.bans.ban(EVERYWHERE, user_id, by=OPERATOR, why=why or _(NO_REASON), until=until)
        bans = await app.bans.of_server(EVERYWHERE, limit=MOST)
    listed = [{"member": one.user_id, "until": one.until, "why": one.why} for one in bans]
    if as_json:
        print(json.dumps(listed, ensure_ascii=False))
    else:
        print("\n".join(f"{one['member']:>20}  {one['why']}" for one in listed) or _("Nobody is banned."))
