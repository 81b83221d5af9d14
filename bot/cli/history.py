"""`limner history`: requests in a terminal, with the filters of /history."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from limner.bot.app import App, open_app
from limner.bot.cli.imagine import allowed, result
from limner.bot.errors import BadOption
from limner.bot.options.notes import STATUSES
from limner.bot.quantities import date_and_time
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.history.gallery import Filter
from limner.bot.storage.history.meaning import BY_MEANING, merged
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _

OF_SOMEBODY = N_(
    "--model, --style, --lora, --channel and --upscaled look through the requests of one member or server; add --user "
    "or --server."
)
OF_ONE = N_("Give a member or a server, not both; a server's requests are the public ones of all its members.")


async def show_history(
    settings: Settings,
    wanted: Filter,
    limit: int = 20,
    *,
    number: int | None = None,
    is_oldest_first: bool = False,
    as_json: bool,
) -> None:
    """Print the request with a number, or those that are wanted: of a search what fits best, else in their order.

    Raises:
        BadOption: the filters do not go together.
    """
    _check(wanted)
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        if number is None:
            jobs = await _found(app, wanted, max(1, limit), is_oldest_first=is_oldest_first)
        else:
            jobs = await app.history.some([number])
        results = [result(job, await allowed(app, job), app.styles) for job in jobs]
    if as_json:
        print(json.dumps(results, ensure_ascii=False))
    else:
        Console().print(_table(jobs) if jobs else _("Nothing was found."))


def _check(wanted: Filter) -> None:
    is_of_one = wanted.user_id is not None or wanted.guild_id is not None
    if wanted.user_id is not None and wanted.guild_id is not None:
        raise BadOption(_(OF_ONE))
    if (wanted.model or wanted.style or wanted.lora or wanted.channel_id or wanted.is_upscaled) and not is_of_one:
        raise BadOption(_(OF_SOMEBODY))


async def _found(app: App, wanted: Filter, limit: int, *, is_oldest_first: bool) -> Sequence[Job]:
    gallery = app.history.gallery
    by_words = await gallery.requests(wanted, limit, is_oldest_first=is_oldest_first)
    if not wanted.words.strip() or is_oldest_first:
        return await app.history.some(by_words)
    if app.database.cipher.is_on:
        print(f"limner: {_(BY_MEANING)}", file=sys.stderr)
    by_meaning = await app.meaning.wanted(gallery, wanted, limit)
    return await app.history.some(merged(by_words, by_meaning)[:limit])


def _table(jobs: Sequence[Job]) -> Table:
    table = Table(_("id"), _("when"), _("user"), _("status"), _("idea"), _("seed"), _("model"), box=None)
    for job in jobs:
        when = date_and_time(job.created_at)
        status = _(STATUSES[JobStatus(job.status)])
        cells = (job.id, when, job.user_id, status, job.idea, job.request["seed"], job.request["model"])
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table
