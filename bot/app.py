"""The composition root: what the cogs, the worker and the command line need, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
import contextvars
import signal
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bot.db import Database
from bot.filters.store import ContentFilter
from bot.history import History
from bot.jobs import JobQueue
from bot.roster import Roster
from bot.settings import Settings
from bot.storage import ImageStore
from bot.styles import Styles


@dataclass(frozen=True)
class App:
    """Everything that has state, by name."""

    settings: Settings
    database: Database
    jobs: JobQueue
    roster: Roster
    history: History
    images: ImageStore
    filters: ContentFilter
    styles: Styles


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncGenerator[App]:
    """Build the App on an up-to-date database; raises SetupError with what to do."""
    database = Database(settings.url)
    images = ImageStore(settings.data / "images")
    try:
        yield App(
            settings=settings,
            database=database,
            jobs=JobQueue(
                database,
                lease_seconds=settings.lease_seconds,
                max_attempts=settings.max_attempts,
                server_weights=settings.weights_of_servers,
            ),
            roster=Roster(database, lease_seconds=settings.lease_seconds),
            history=History(database, images),
            images=images,
            filters=ContentFilter(database),
            styles=Styles.load(settings.styles),
        )
    finally:
        await database.close()


def start(work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
    """Run ``work`` in the background, in a context of its own: it belongs to the App and not to its caller."""
    return contextvars.Context().run(lambda: asyncio.get_running_loop().create_task(work, name=name))


def cancel_on_signals(task: asyncio.Future[Any]) -> None:
    """Let SIGINT and SIGTERM end a task; Windows has no such handlers, and its Ctrl-C cancels the main task."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, task.cancel)
