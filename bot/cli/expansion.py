"""`limner evaluate --expansion`: how near expansions stay to their ideas, by model and server."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from limner.bot.app import open_app
from limner.bot.errors import SetupError, UserError
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.history.meaning import load_embedder
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.generators.embedders import TextEmbedder
from limner.generators.training.evaluation.drift import Drift, Expanded, drift

NO_EMBEDDER = N_("Similarities need an embedder; the setting `embedder` must name one that is installed.")
NONE_YET = N_("No request has been expanded yet, or none of that model.")

Place = tuple[str, int | None]
"""A model, and a server; None for requests outside of servers."""


async def print_drift(settings: Settings, model: str, newest: int, *, as_json: bool) -> None:
    """Print the figures of the newest requests; of one model if it is named.

    Raises:
        SetupError: there is no embedder.
        UserError: no request has been expanded.
    """
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        jobs = await app.history.expanded(newest)
    found = by_place([job for job in jobs if model in ("", job.request["model"])], _embedder(settings))
    if not found:
        raise UserError(_(NONE_YET))
    if as_json:
        lines = [{"model": name, "server": server} | _numbers(one) for (name, server), one in found.items()]
        print(json.dumps(lines, indent=2))
    else:
        Console().print(_table(found))


def by_place(jobs: Sequence[Job], embedder: TextEmbedder) -> dict[Place, Drift]:
    """The figures of each model and server; ideas that were to be painted as they are do not count."""
    places: dict[Place, list[Expanded]] = defaultdict(list)
    for job in jobs:
        if (said := job.expanded) and (said.model or said.note):
            places[job.request["model"], job.guild_id].append(Expanded(job.idea, said, job.locale))
    return {place: drift(asked, embedder) for place, asked in places.items()}


def _embedder(settings: Settings) -> TextEmbedder:
    try:
        return load_embedder(settings.embedder)
    except ImportError as error:
        raise SetupError(_(NO_EMBEDDER)) from error


def _numbers(figures: Drift) -> dict[str, float | None]:
    """The figures as JSON has them, which knows no "not a number"."""
    return {name: None if math.isnan(value) else value for name, value in asdict(figures).items()}


def _table(found: Mapping[Place, Drift]) -> Table:
    table = Table(title=_("Expansions of the newest requests"))
    for heading in (_("model"), _("server")):
        table.add_column(heading, no_wrap=True)
    headings = (_("ideas"), _("expanded"), _("words kept"), _("similarity"), _("of the lowest tenth"), _("words added"))
    for heading in headings:
        table.add_column(heading, justify="right")
    for (model, server), one in found.items():
        shares = (f"{value:.3f}" for value in (one.expanded, one.kept, one.similarity, one.lowest_tenth))
        table.add_row(model, str(server or ""), str(one.ideas), *shares, f"{one.added:.0f}")
    return table
