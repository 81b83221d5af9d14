"""`limner block`: pictures that must not come back, in every server or in one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.bot.app import open_app
from limner.bot.cli.files import read_file
from limner.bot.cli.filter_rules import OPERATOR
from limner.bot.moderation import hash_lists
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.translation import _


@dataclass(frozen=True)
class BlockChanges:
    """Pictures to block, a list of hashes to block, and the number of a picture to allow again."""

    files: Sequence[Path]
    listed: Path | None
    allowed: int | None


async def block(settings: Settings, guild_id: int, changes: BlockChanges, *, as_json: bool, as_hashes: bool) -> None:
    """Change the operator's list or a server's, and print it."""
    await migrate.upgrade(settings.url)
    async with open_app(settings) as app:
        for file in changes.files:
            phash = await app.decoder.fingerprint(await asyncio.to_thread(read_file, file))
            await app.blocked.block(guild_id, phash, OPERATOR)
        if changes.listed:
            hashes = hash_lists.read(await asyncio.to_thread(read_file, changes.listed))
            await app.blocked.block_all(guild_id, hashes, OPERATOR)
        if changes.allowed is not None:
            await app.blocked.allow(guild_id, changes.allowed, OPERATOR)
        pictures = await app.blocked.every(guild_id)
    listed = [{"id": one.id, "phash": one.phash, "job": one.job_id, "by": one.created_by} for one in pictures]
    if as_json:
        print(json.dumps(listed))
    elif as_hashes:
        print(hash_lists.write(one.phash for one in pictures), end="")
    else:
        print("\n".join(f"{one['id']:>6}  {one['phash']}" for one in listed) or _("No picture is blocked."))
