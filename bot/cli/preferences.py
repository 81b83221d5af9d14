"""`limner ratings --pairs`: which of two pictures members prefer, as training data, of those who allow it."""

from __future__ import annotations

import json
from pathlib import Path

from limner.bot.app import open_app
from limner.bot.cli.files import check_out, copy_pictures
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.tables.models import Image


async def print_preferences(settings: Settings, out: Path | None) -> None:
    """Print a JSON line for each preference: the words, the files of both pictures, and a number for its member.

    The numbers tell members apart and say nothing else. Pictures with an objection are left out. With ``out`` the files
    are copies there.

    Raises:
        SetupError: the pictures are encrypted, and there is no folder for copies.
        StorageFailed: a copy cannot be written.
    """
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        check_out(app, out)
        members: dict[int, int] = {}
        for job, preference in await app.preferences.for_training():
            images = {image.position + 1: image for image in job.images if image.verdict is None}
            if not {preference.better, preference.worse} <= images.keys():
                continue
            pair: dict[str, Image] = {
                "better": images[preference.better],
                "worse": images[preference.worse],
            }
            if out is None:
                files = [app.images.path(image.sha256) for image in pair.values()]
            else:
                names = {f"{job.id}-{image.position + 1}.png": image.sha256 for image in pair.values()}
                files = copy_pictures(app, out, names)
            line = {"id": job.id, "idea": job.idea, "prompt": job.prompt or job.idea}
            line["member"] = members.setdefault(job.user_id, len(members) + 1)
            line |= dict(zip(pair, (str(file.resolve()) for file in files), strict=True))
            print(json.dumps(line, ensure_ascii=False))
