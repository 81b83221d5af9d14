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
from limner.bot.moderation.blocked_images import ListedPicture
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.tables.moderation_tables import BlockedPicture
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
            hashes = await app.decoder.fingerprint(await asyncio.to_thread(read_file, file))
            one = ListedPicture(hashes, hash_lists.remark(file.name))
            await app.blocked.block(guild_id, one, OPERATOR)
        if changes.listed:
            listed = hash_lists.read(await asyncio.to_thread(read_file, changes.listed), changes.listed.name)
            await app.blocked.block_all(guild_id, listed, OPERATOR)
        if changes.allowed is not None:
            await app.blocked.allow(guild_id, changes.allowed, OPERATOR)
        pictures = await app.blocked.every(guild_id)
    if as_json:
        print(json.dumps([_as_json(one) for one in pictures]))
    elif as_hashes:
        print(hash_lists.write(pictures), end="")
    else:
        lines = (f"{one.id:>6}  {one.hashes}  {one.remark}".rstrip() for one in pictures)
        print("\n".join(lines) or _("No picture is blocked."))


def _as_json(one: BlockedPicture) -> dict[str, object]:
    said = {"id": one.id, "phash": one.phash, "pdq": one.pdq, "remark": one.remark}
    return {**said, "job": one.job_id, "by": one.created_by}
