"""`limner filter`: the operator's rules, which hold in every server and in direct messages."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from limner.bot.app import App, open_app
from limner.bot.filters.lines import read_items
from limner.bot.filters.matcher import Matcher
from limner.bot.filters.rulebook import files
from limner.bot.filters.rulebook.rows import entry_of
from limner.bot.guild_settings import EVERYWHERE
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.translation import _

OPERATOR = 0
"""The author of changes made on the command line."""


async def matcher(settings: Settings) -> Matcher:
    """A matcher for the operator's rules."""
    async with _open(settings) as app:
        return await app.filters.matcher(EVERYWHERE)


async def import_rules(settings: Settings, path: Path, *, anyway: bool = False) -> int:
    """Add a file's rules in one change.

    Wrong or doubtful entries are printed on stderr; then nothing is added, unless ``anyway`` leaves out the wrong ones.
    The exit code is 1 if something was left out or nothing was added.
    """
    items = [item.merged() for item in read_items(path)]
    async with _open(settings) as app:
        items = await app.filters.reviewed(EVERYWHERE, items)
        complaints = [f"limner: {path.name}, {item.complaint}" for item in items if item.complaint]
        print("\n".join(complaints), end="\n" * bool(complaints), file=sys.stderr)
        entries = [item.entry for item in items if item.entry]
        if complaints and not anyway:
            print(
                _(
                    "Nothing is added. Change the lines named above, or add the other {number} rules with --anyway.",
                    number=len(entries),
                )
            )
            return 1
        done = await app.filters.put_all(EVERYWHERE, entries, OPERATOR)
    left_out = sum(bool(item.problem) for item in items)
    print(
        _(
            "{added} added, {known} there already, {left_out} not added.",
            added=done.added,
            known=done.known,
            left_out=left_out,
        )
    )
    return 1 if left_out else 0


async def export_rules(settings: Settings) -> None:
    """Print all of them as JSON that `import_rules` reads again."""
    async with _open(settings) as app:
        print(files.write(entry_of(row) for row in await app.filters.all(EVERYWHERE)), end="")


@asynccontextmanager
async def _open(settings: Settings) -> AsyncGenerator[App]:
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        yield app
