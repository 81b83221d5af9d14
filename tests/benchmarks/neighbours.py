"""How long /imagine takes in one server while another one tests texts against 20,000 rules."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.filters.rulebook.entries import Entry
from limner.bot.options.ask import Ask
from limner.bot.place import Where
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from tests.benchmarks.figures import show, spread

RULES, ALLOWED, TESTS, TIMES = 19_900, 100, 30, 10
TEXT = " ".join(f"th1ng{number:x}qs" for number in range(100))


def main() -> None:
    """Print the table."""
    rows = asyncio.run(_measure())
    show(
        f"/imagine in a server, milliseconds, while another one asks for {TESTS} times /filter test at once",
        ("the other server", "until the row is written"),
        rows,
        f"{RULES:,} rules and {ALLOWED} allowed texts there; median (lowest to highest) of {TIMES} commands.",
    )


async def _measure() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data=Path(folder), expander="off", safety_classifier="off", workers=0, max_jobs_per_user=10_000
        )
        await migrate.upgrade(settings.url)
        async with open_app(settings) as app:
            entries = [Entry(pattern=f"thing{number:x}q*") for number in range(RULES)]
            entries += [Entry(pattern=f"thing{number:x}qs", is_allow=True) for number in range(ALLOWED)]
            rows = [("is quiet", spread(await _ask(app), "{:.0f}"))]
            await app.filters.put_all(1, entries, 7)
            rows.append(("has its rules built, and its texts checked", spread(await _beside_tests(app), "{:.0f}")))
            rows.append(("has its texts checked", spread(await _beside_tests(app), "{:.0f}")))
    return rows


async def _beside_tests(app: App) -> list[float]:
    tests = [asyncio.create_task(app.filters.explain(Where(1), TEXT)) for _ in range(TESTS)]
    milliseconds = await _ask(app)
    await asyncio.gather(*tests)
    return milliseconds


async def _ask(app: App) -> list[float]:
    milliseconds: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await submit.imagine(app, Ask(text="a red fox in the snow", user_id=5, where=Where(2)))
        milliseconds.append(1000 * (time.perf_counter() - began))
    return milliseconds


if __name__ == "__main__":
    main()
