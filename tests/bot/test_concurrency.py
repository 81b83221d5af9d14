"""What several processes on one database may not break; each of them is an engine with its own connections here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from limner.bot.errors import QueueFull, QuotaUsed
from limner.bot.queue.faults import CRASHED
from limner.bot.queue.jobs import JobQueue
from limner.bot.queue.listen import listen
from limner.bot.queue.quota import Limit
from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.generators.base import Expansion
from tests.rows import PIXELS, new_job, picture

EXPANSION = Expansion("a fox, soft light", "soft light", ("fox",), "writer", 0.5)


@asynccontextmanager
async def several(url: str, count: int) -> AsyncGenerator[list[JobQueue]]:
    """Queues with nothing in common but the database."""
    async with AsyncExitStack() as stack:
        databases = [Database(url) for _ in range(count)]
        for database in databases:
            stack.push_async_callback(database.close)
        yield [JobQueue(database) for database in databases]


async def test_eight_claimers_never_take_a_job_twice_or_mix_a_batch(database_url: str):
    async with several(database_url, 8) as queues:
        for number in range(48):
            await queues[0].enqueue(new_job(user_id=number % 5, model="ab"[number % 2], samples=1 + number % 2))
        batches: list[list[Job]] = []

        async def work(name: str, jobs: JobQueue) -> None:
            while batch := await jobs.claim(name, capacity=4 * PIXELS):
                batches.append(list(batch))

        await asyncio.gather(*(work(f"w{n}", jobs) for n, jobs in enumerate(queues)))

    assert sorted(job.id for batch in batches for job in batch) == list(range(1, 49))
    assert all(len({job.weights_key for job in batch}) == 1 for batch in batches)
    assert all(sum(job.samples for job in batch) <= 4 for batch in batches)


async def test_a_claim_is_empty_only_when_nothing_waits(postgres_url: str):
    """Several machines wake up at once; with SKIP LOCKED alone all but one would go back to sleep beside a queue."""
    async with several(postgres_url, 6) as queues:
        for _ in range(3):
            for user in range(6):
                await queues[0].enqueue(new_job(user_id=user))
            claims = await asyncio.gather(*(jobs.claim(f"w{n}", capacity=1) for n, jobs in enumerate(queues)))
            assert [len(claimed) for claimed in claims] == [1] * 6


async def test_limits_are_exact_however_many_ask_at_once(database_url: str):
    async with several(database_url, 4) as queues:

        async def ask(jobs: JobQueue, user: int) -> bool:
            try:
                await jobs.enqueue(new_job(user_id=user, guild_id=9), per_user=3, per_guild=7)
            except QueueFull:
                return False
            return True

        accepted = await asyncio.gather(*(ask(queues[n % 4], n % 3) for n in range(48)))

        assert sum(accepted) == 7
        assert await queues[0].counts() == (7, 0)
        assert max([len(await queues[0].open_jobs(user)) for user in range(3)]) <= 3


async def test_a_quota_is_exact_however_many_ask_at_once(database_url: str):
    day = Limit(7, 86_400.0, True, "{used} of {most} pictures, more <t:{free}:R>")
    async with several(database_url, 4) as queues:

        async def ask(number: int) -> str:
            try:
                new = new_job(user_id=number % 2, guild_id=9, samples=1 + number % 3)
                await queues[number % 4].enqueue(new, per_user=100, quota=[day])
            except QuotaUsed as error:
                return str(error)
            return ""

        told = await asyncio.gather(*(ask(number) for number in range(48)))

        for user in (0, 1):
            pictures = [job.samples for job in await queues[0].open_jobs(user)]
            assert sum(pictures) == 7  # each member's requests for one picture come last, too
            assert sum(map(bool, told[user::2])) == 24 - len(pictures)
        assert all(re.fullmatch(r"[567] of 7 pictures, more <t:\d+:R>", sentence) for sentence in told if sentence)


async def test_jobs_that_come_at_once_have_turns_of_their_own(database_url: str):
    async with several(database_url, 4) as queues:
        asked = [queues[n % 4].enqueue(new_job(user_id=1), per_user=100) for n in range(20)]
        jobs = await asyncio.gather(*asked)

    assert len({job.turn for job in jobs}) == 20


async def test_cancel_and_claim_at_once_leave_no_job_between(database_url: str):
    async with several(database_url, 2) as (bot, worker):
        for _ in range(10):
            job = await bot.enqueue(new_job())
            claimed, status = await asyncio.gather(worker.claim("w", capacity=1), bot.cancel(job.id, ""))
            ended = await worker.end_cancelled("w")

            assert (len(claimed), status, ended) in ((0, "cancelled", set()), (1, "running", {job.id}))
            assert (await bot.get(job.id)).status == JobStatus.CANCELLED


async def test_cancel_and_finish_at_once_agree(database_url: str):
    async with several(database_url, 2) as (bot, worker):
        for _ in range(10):
            await bot.enqueue(new_job())
            [job] = await worker.claim("w", capacity=1)
            won, _ = await asyncio.gather(
                worker.finish(job, [picture()], seconds=1, busy_seconds=1), bot.cancel(job.id, "")
            )
            await worker.end_cancelled("w")

            ended = await bot.get(job.id)
            assert (ended.status, len(ended.images)) == (("succeeded", 1) if won else ("cancelled", 0))


async def test_two_supervisors_requeue_a_job_once(database_url: str):
    async with several(database_url, 3) as (bot, one, other):
        for _ in range(10):
            job = await bot.enqueue(new_job())
            await one.claim("w", capacity=1)
            await asyncio.gather(one.abandon("w", CRASHED), other.abandon("w", CRASHED), bot.requeue_stalled())

            again = await bot.get(job.id)
            assert (again.status, again.attempts) == (JobStatus.QUEUED, 1)
            await bot.cancel(job.id, "")


async def test_a_choice_made_twice_at_once_counts_once(database_url: str):
    async with several(database_url, 3) as (bot, one, other):
        await bot.enqueue(new_job())
        [job] = await bot.claim("w", capacity=1)
        await bot.hold(job, EXPANSION, "")
        won = await asyncio.gather(
            one.release_held(job.id, EXPANSION, "one"), other.release_held(job.id, EXPANSION, "other")
        )

        assert sorted(won) == [False, True]
        assert (await bot.get(job.id)).prompt == ("one" if won[0] else "other")


async def test_a_choice_and_two_wishes_for_another_expansion_at_once_count_once(database_url: str):
    async with several(database_url, 3) as (bot, one, other):
        await bot.enqueue(new_job())
        [job] = await bot.claim("w", capacity=1)
        await bot.hold(job, EXPANSION, "first")
        held = await bot.get(job.id)
        won = await asyncio.gather(
            one.expand_again(held), other.expand_again(held), one.release_held(job.id, EXPANSION, "chosen")
        )

        assert sorted(won) == [False, False, True]
        now = await bot.get(job.id)
        assert (now.more_expansions, now.prompt) == ((0, "chosen") if won[2] else (1, None))


async def test_postgres_wakes_other_machines(postgres_url: str):
    async with several(postgres_url, 2) as (here, there):
        listening = asyncio.create_task(listen(there))
        for wakeup in (there.queued, there.changed):
            await wakeup.wait(10)  # it rings once when it begins to listen
        await here.enqueue(new_job())
        await there.queued.wait(10)
        assert len(await there.claim("w", capacity=1)) == 1
        assert not listening.done()
        listening.cancel()
        await asyncio.wait([listening])
