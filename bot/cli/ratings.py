"""`limner ratings`: rated results as training data, of the members who allow it."""

from __future__ import annotations

import json

from limner.bot.app import open_app
from limner.bot.settings import Settings
from limner.bot.storage import migrate


async def print_ratings(settings: Settings) -> None:
    """Print a JSON line for each rated request: its words, options, picture files, and whether it is liked.

    That is what training on single likes and dislikes takes (Li et al. 2024, Diffusion-KTO, arXiv:2404.04465).
    """
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        for job, is_good in await app.ratings.for_training():
            files = [str(app.images.path(image.sha256).resolve()) for image in job.images if image.verdict is None]
            line = {"id": job.id, "idea": job.idea, "prompt": job.prompt or job.idea, "request": job.request}
            print(json.dumps(line | {"files": files, "good": is_good}, ensure_ascii=False))
