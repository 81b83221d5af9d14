"""Wake-ups: within a process, and through Postgres between machines."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from limner.bot.queue import listen as listen_module
from limner.bot.queue.enqueue import NewJob
from limner.bot.queue.jobs import JobQueue
from limner.bot.queue.listen import listen
from limner.bot.queue.wakeup import Wakeup
from limner.bot.storage.db import Database
from tests.tiny_models import tiny_request


@asynccontextmanager
async def machine(url: str) -> AsyncGenerator[JobQueue]:
    """A queue as another machine has it: on its own connections."""
    database = Database(url)
    try:
        yield JobQueue(database)
    finally:
        await database.close()


async def rings(wakeup: Wakeup, seconds: float = 5) -> bool:
    """Whether somebody rings within so many seconds."""
    heard = asyncio.get_running_loop().time()
    await wakeup.wait(seconds)
    return asyncio.get_running_loop().time() - heard < seconds


async def test_a_ring_is_heard_here_and_passed_on() -> None:
    alarm, passed = Wakeup(), list[str]()
    alarm.listeners.append(lambda: passed.append("ring"))
    alarm.ring()
    assert await rings(alarm)
    alarm.hear()
    assert await rings(alarm)
    assert passed == ["ring"]
    assert not await rings(alarm, 0.01)


async def test_another_machine_hears_of_a_new_job_also_after_its_connection_was_lost(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen_module, "RECONNECT_SECONDS", 0.05)
    async with machine(postgres_url) as here, machine(postgres_url) as there:
        listening = asyncio.create_task(listen(there))
        assert await rings(there.queued)  # it listens, and rings once for what it may have missed
        assert not await rings(there.queued, 0.2)
        await here.enqueue(NewJob(idea="a red cat", request=tiny_request()))
        assert await rings(there.queued)

        async with here.database.begin() as session:
            await session.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            )
        assert await rings(there.queued)
        [job] = await here.claim("worker-1", capacity=1)
        assert await rings(there.changed)
        assert await here.fail(job, "test", "It was only a test.")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
