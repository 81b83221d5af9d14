"""`limner ratings`: rated results as training data, of the members who allow it."""

from __future__ import annotations

import json
from pathlib import Path

from limner.bot.app import App, open_app
from limner.bot.cli.files import check_out, copy_pictures
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.tables.models import Job


async def print_ratings(settings: Settings, out: Path | None) -> None:
    """Print a JSON line for each rated request: its words, options, picture files, and whether it is liked.

    That is what training on single likes and dislikes takes (Li et al. 2024, Diffusion-KTO, arXiv:2404.04465). With
    ``out`` the files are copies there.

    Raises:
        SetupError: the pictures are encrypted, and there is no folder for copies.
        StorageFailed: a copy cannot be written.
    """
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        check_out(app, out)
        for job, is_good in await app.ratings.for_training():
            files = [str(path.resolve()) for path in _files(app, job, out)]
            line = {"id": job.id, "idea": job.idea, "prompt": job.prompt or job.idea, "request": job.request}
            print(json.dumps(line | {"files": files, "good": is_good}, ensure_ascii=False))


def _files(app: App, job: Job, out: Path | None) -> list[Path]:
    images = [image for image in job.images if image.verdict is None]
    if out is None:
        return [app.images.path(image.sha256) for image in images]
    return copy_pictures(app, out, {f"{job.id}-{image.position + 1}.png": image.sha256 for image in images})
