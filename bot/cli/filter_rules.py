"""`limner filter`: the operator's own rules, which hold in every server and in direct messages."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from limner.bot.app import App, open_app
from limner.bot.filters import files
from limner.bot.filters.lines import read_items
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rulebook import entry_of
from limner.bot.guild_settings import EVERYWHERE
from limner.bot.settings import Settings
from limner.bot.storage import migrate

OPERATOR = 0
"""Who changes rules on the command line."""


async def matcher(settings: Settings) -> Matcher:
    """The operator's rules, ready to be used."""
    async with _open(settings) as app:
        return await app.filters.matcher(EVERYWHERE)


async def import_rules(settings: Settings, path: Path) -> int:
    """Add a JSON file's rules in one change; what cannot be a rule is told on stderr, and makes the exit code 1."""
    items = [item.merged() for item in read_items(path)]
    async with _open(settings) as app:
        done = await app.filters.put_all(EVERYWHERE, [item.entry for item in items if item.entry], OPERATOR)
    problems = [f"limner: rule {item.label} is not added. {item.problem}" for item in items if item.entry is None]
    print(f"{done.added} added, {done.known} there already, {len(problems)} not added.")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


async def export_rules(settings: Settings) -> None:
    """Print all of them as JSON that `import_rules` reads again."""
    async with _open(settings) as app:
        print(files.write(entry_of(row) for row in await app.filters.all(EVERYWHERE)), end="")


@asynccontextmanager
async def _open(settings: Settings) -> AsyncGenerator[App]:
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        yield app
