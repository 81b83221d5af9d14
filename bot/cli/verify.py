"""`limner verify FILE`: where a picture comes from, for the operator, who may know who asked for it."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

from limner.bot import verify
from limner.bot.app import open_app
from limner.bot.cli.files import read_file
from limner.bot.settings import Settings
from limner.bot.storage import migrate

_TIME, _MEMBER = re.compile(r"<t:(\d+):\w>"), re.compile(r"<@(\d+)>")


async def verify_file(settings: Settings, file: Path) -> None:
    """Print what is known of a picture file; raises UserError if it is none."""
    await migrate.check(settings.url)
    data = await asyncio.to_thread(read_file, file)
    async with open_app(settings) as app:
        app.inputs.check_size(len(data))
        found = await verify.verify(app, data)
    for sentence in verify.sentences(found, lambda _job: True):
        print(_plain(sentence))


def _plain(sentence: str) -> str:
    """A sentence for Discord without its marks."""
    dated = _TIME.sub(lambda found: f"{datetime.fromtimestamp(int(found[1]), UTC):%Y-%m-%d %H:%M} UTC", sentence)
    return _MEMBER.sub(r"\1", dated).replace("**", "")
