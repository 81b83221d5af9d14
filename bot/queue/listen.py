"""Receives Postgres notifications from processes on other machines."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from limner.bot.queue.jobs import JobQueue

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 5.0
"""Seconds until a lost Postgres connection is opened again."""


async def listen(jobs: JobQueue) -> None:
    """Receive wake-ups from processes on other machines (Postgres only), until cancelled."""
    while not jobs.database.is_sqlite:
        try:
            await _listen(jobs)
        except Exception as error:
            log.warning("listener_lost error=%s", type(error).__name__)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _listen(jobs: JobQueue) -> None:
    wakeups = {"limner_queued": jobs.queued, "limner_changed": jobs.changed}
    lost = asyncio.Event()

    def hear(_connection: Any, _pid: int, channel: str, _payload: str) -> None:
        wakeups[channel].hear()

    def end(_connection: Any) -> None:
        lost.set()

    async with jobs.database.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.add_termination_listener(end)
        for channel, wakeup in wakeups.items():
            await driver.add_listener(channel, hear)
            wakeup.hear()  # for notifications sent before the connection opened
        try:
            await lost.wait()
        finally:
            await connection.invalidate()  # the connection must not return to the pool with listeners
