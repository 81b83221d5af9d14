"""`limner animate`: an animation in a terminal."""

from __future__ import annotations

from pathlib import Path

from limner.bot.animations import ONE_KIND, Movement, animate_pictures, animate_prompts, named_pictures
from limner.bot.app import App, open_app
from limner.bot.cli.files import check_out, write_files
from limner.bot.cli.imagine import OPERATOR, painted, report, shown
from limner.bot.errors import BadOption
from limner.bot.options.ask import Ask
from limner.bot.picture_actions import Asker
from limner.bot.place import OUTSIDE
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.tables.models import Job
from limner.bot.translation import _

MOST_BYTES = 2**30
"""Most bytes of a file in a folder: as many as it takes."""


async def animate(
    settings: Settings, prompts: str, wanted: Movement, *, pictures: str, out: Path | None, as_json: bool
) -> int:
    """Paint an animation of prompts or pictures and print the result; the exit code is 1 if it was not painted.

    Without ``out`` the file is the stored PNG of all frames; a folder gets it with a WebP and an MP4 file.
    """
    if bool(prompts.strip()) == bool(pictures):
        raise BadOption(_(ONE_KIND))
    await migrate.upgrade(settings.url)
    async with open_app(settings) as app:
        check_out(app, out)
        if pictures:
            asker = Asker(OPERATOR, Ask.locale, OUTSIDE)
            job = await animate_pictures(app, await named_pictures(app, pictures, asker), asker, wanted)
        else:
            job = await animate_prompts(app, Ask(text=prompts), wanted)
        [job] = await painted(app, [job])
        paths = shown(app, job, out)
        return report(app, [job], [[*paths, *await _clips(app, job, paths, out)]], as_json=as_json)


async def _clips(app: App, job: Job, paths: list[Path], out: Path | None) -> list[Path]:
    """An animation's WebP and MP4 files beside its PNG file in a folder."""
    animation = job.generation.animation
    if not out or not paths or not animation:
        return []
    found = await app.decoder.clips(job.images[0].sha256, MOST_BYTES, animation)
    return write_files({paths[0].with_suffix(f".{kind}"): data for kind, data in filter(None, found)}, out)
