"""The queue on both databases: leases and attempts, success, cancelling, and a held job's choice."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from limner.bot.errors import NotFound
from limner.bot.queue.faults import CRASHED
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.generators.base import Expansion
from tests.rows import QUICKLY_ON_SQLITE, change, claim, new_job, painted, picture, serve_all

EXPANSION = Expansion("a fox, soft light", "soft light", ("fox",), "writer", 0.5)


@pytest.fixture
def jobs(database: Database) -> JobQueue:
    return JobQueue(database, lease_seconds=30, max_attempts=3)


# Running and ending.


async def test_a_finished_job_has_its_pictures_and_waits_for_delivery(jobs: JobQueue):
    job = await painted(jobs, new_job(channel_id=3, samples=2), picture("a" * 64), picture("b" * 64))

    assert (job.status, job.step, job.seconds) == (JobStatus.SUCCEEDED, job.steps, 2.0)
    assert [image.sha256[0] for image in job.images] == ["a", "b"]
    assert [other.id for other in await jobs.undelivered()] == [job.id]
    assert await jobs.undelivered([3]) == []

    await jobs.mark_delivered(job.id, 77)

    assert await jobs.undelivered() == []
    assert (await jobs.get(job.id)).message_id == 77


async def test_a_postponed_delivery_comes_back(jobs: JobQueue):
    job = await painted(jobs, new_job(channel_id=3))

    await jobs.postpone_delivery(job.id, 60)
    assert await jobs.undelivered() == []
    await jobs.postpone_delivery(job.id, -1)

    [again] = await jobs.undelivered()
    assert again.delivery_attempts == 2


async def test_whoever_lost_its_lease_changes_nothing(jobs: JobQueue):
    await jobs.enqueue(new_job())
    [lost] = await jobs.claim("slow", capacity=1)
    await change(jobs, lost.id, lease_until=0)
    await jobs.requeue_stalled()
    [taken] = await jobs.claim("fast", capacity=1)

    assert await jobs.heartbeat("slow") == set()
    assert not await jobs.finish(lost, [picture()], seconds=1, busy_seconds=1)
    assert not await jobs.save_expansion(lost, EXPANSION, "x")
    assert not await jobs.hold(lost, EXPANSION, "x")
    assert not await jobs.fail(lost, "x", "x")
    assert not await jobs.refuse(lost, "x", "x")
    assert not await jobs.retry(lost, "x", "x")
    assert (await jobs.get(lost.id)).images == []
    assert await jobs.finish(taken, [picture()], seconds=1, busy_seconds=1)
    assert not await jobs.finish(taken, [picture()], seconds=1, busy_seconds=1)
    assert len((await jobs.get(lost.id)).images) == 1


async def test_the_same_worker_cannot_end_an_attempt_that_it_lost(jobs: JobQueue):
    await jobs.enqueue(new_job())
    [first] = await jobs.claim("w", capacity=1)
    await jobs.abandon("w", CRASHED)
    [second] = await jobs.claim("w", capacity=1)

    assert not await jobs.finish(first, [picture()], seconds=1, busy_seconds=1)
    assert await jobs.finish(second, [picture()], seconds=1, busy_seconds=1)


async def test_a_heartbeat_keeps_the_lease(jobs: JobQueue):
    job = await jobs.enqueue(new_job())
    await claim(jobs)
    await change(jobs, job.id, lease_until=0)

    assert await jobs.heartbeat("w") == {job.id}
    await jobs.requeue_stalled()

    assert (await jobs.get(job.id)).status == JobStatus.RUNNING


async def test_a_lease_from_before_the_clock_was_set_back_ends_unless_it_is_renewed(
    jobs: JobQueue, monkeypatch: pytest.MonkeyPatch
):
    for user in (1, 2):
        await jobs.enqueue(new_job(user_id=user))
    [dead] = await jobs.claim("dead", capacity=1)
    [alive] = await jobs.claim("alive", capacity=1)
    for job in (dead, alive):
        await change(jobs, job.id, lease_until=time.time() + 3600)
    await jobs.requeue_stalled()
    assert {(await jobs.get(job.id)).status for job in (dead, alive)} == {JobStatus.RUNNING}
    await jobs.heartbeat("alive")
    start = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + 31)

    await jobs.requeue_stalled()

    assert (await jobs.get(dead.id)).status == JobStatus.QUEUED
    assert (await jobs.get(alive.id)).status == JobStatus.RUNNING


async def test_a_lease_from_before_the_clock_was_set_forward_may_still_be_renewed(
    jobs: JobQueue, monkeypatch: pytest.MonkeyPatch
):
    now, monotonic, forward = Database.now, time.monotonic, 0.0

    async def later(database: Database) -> float:
        return await now(database) + forward

    monkeypatch.setattr(Database, "now", later)
    for user in (1, 2):
        await jobs.enqueue(new_job(user_id=user))
    [dead] = await jobs.claim("dead", capacity=1)
    [alive] = await jobs.claim("alive", capacity=1)
    await jobs.requeue_stalled()
    forward = 3600.0
    await jobs.requeue_stalled()
    assert {(await jobs.get(job.id)).status for job in (dead, alive)} == {JobStatus.RUNNING}
    await jobs.heartbeat("alive")

    forward += 31
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 31)
    await jobs.heartbeat("alive")
    await jobs.requeue_stalled()

    assert (await jobs.get(dead.id)).status == JobStatus.QUEUED
    assert (await jobs.get(alive.id)).status == JobStatus.RUNNING


async def test_a_pause_from_before_the_clock_was_set_back_is_over(jobs: JobQueue):
    job = await jobs.enqueue(new_job())
    await change(jobs, job.id, not_before=time.time() + 3600)

    assert await claim(jobs) == [job.id]


@pytest.mark.parametrize("off", [-30, 30])
async def test_another_machines_clock_takes_no_lease_on_postgres(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, off: int
):
    database = Database(postgres_url)
    jobs, real = JobQueue(database), time.time
    await jobs.enqueue(new_job())
    [job] = await jobs.claim("first", capacity=1)
    monkeypatch.setattr(time, "time", lambda: real() + off)
    elsewhere = JobQueue(database)
    await elsewhere.requeue_stalled()
    assert await elsewhere.claim("second", capacity=1) == []
    await elsewhere.heartbeat("first")
    monkeypatch.setattr(time, "time", real)
    await jobs.requeue_stalled()
    assert ((await jobs.get(job.id)).status, (await jobs.get(job.id)).worker_id) == (JobStatus.RUNNING, "first")
    await database.close()


async def test_attempts_back_off_and_end_with_a_reason(jobs: JobQueue):
    job = await jobs.enqueue(new_job(channel_id=3))
    pauses: list[float] = []
    for _ in range(2):
        [tried] = await jobs.claim("w", capacity=1)
        before = time.time()
        assert await jobs.retry(tried, "oom", "No memory.")
        pauses.append((await jobs.get(job.id)).not_before - before)
        assert await claim(jobs) == []
        await change(jobs, job.id, not_before=0)
    [last] = await jobs.claim("w", capacity=1)
    assert await jobs.retry(last, "oom", "No memory.")

    ended = await jobs.get(job.id)
    assert pauses == pytest.approx([2, 4], abs=0.5)
    assert (ended.status, ended.reason_code, ended.reason, ended.attempts) == ("failed", "oom", "No memory.", 3)
    assert [other.id for other in await jobs.undelivered()] == [job.id]


async def test_a_job_whose_worker_dies_three_times_is_given_up(jobs: JobQueue):
    job = await jobs.enqueue(new_job())
    for _ in range(3):
        await change(jobs, job.id, not_before=0)
        assert await claim(jobs) == [job.id]
        await jobs.abandon("w", CRASHED)

    ended = await jobs.get(job.id)
    assert (ended.status, ended.reason_code) == (JobStatus.FAILED, "crashed")
    assert "3 times" in (ended.reason or "")


async def test_a_worker_that_stops_in_good_order_costs_no_attempt(jobs: JobQueue):
    job = await jobs.enqueue(new_job())
    for _ in range(5):
        assert await claim(jobs) == [job.id]
        await jobs.put_back("w")

    assert (await jobs.get(job.id)).attempts == 0


async def test_only_the_worker_itself_records_its_steps(jobs: JobQueue):
    ids = [(await jobs.enqueue(new_job(user_id=user))).id for user in (1, 2)]
    await claim(jobs, worker="w")
    await claim(jobs, worker="v")

    await jobs.record_steps("w", {ids[0]: 3, ids[1]: 2})
    await jobs.record_steps("w", {})

    assert [(await jobs.get(job_id)).step for job_id in ids] == [3, 0]


# Cancelling.


async def test_a_queued_job_is_cancelled_at_once(jobs: JobQueue):
    job = await jobs.enqueue(new_job(channel_id=3))

    assert await jobs.cancel(job.id, "By its owner.") == JobStatus.CANCELLED

    assert await claim(jobs) == []
    assert [other.reason for other in await jobs.undelivered()] == ["By its owner."]


async def test_a_running_job_is_cancelled_by_its_worker(jobs: JobQueue):
    await jobs.enqueue(new_job(channel_id=3))
    [job] = await jobs.claim("w", capacity=1)

    assert await jobs.cancel(job.id, "By its owner.") == JobStatus.RUNNING
    assert await jobs.heartbeat("w") == set()
    assert not await jobs.finish(job, [picture()], seconds=1, busy_seconds=1)
    assert await jobs.end_cancelled("w") == {job.id}
    assert await jobs.end_cancelled("w") == set()

    ended = await jobs.get(job.id)
    assert (ended.status, ended.reason, ended.images) == (JobStatus.CANCELLED, "By its owner.", [])


async def _retry(jobs: JobQueue, job: Job) -> None:
    await jobs.retry(job, "oom", "")


async def _hold(jobs: JobQueue, job: Job) -> None:
    await jobs.hold(job, EXPANSION, "x")


async def _put_back(jobs: JobQueue, _job: Job) -> None:
    await jobs.put_back("w")


async def _abandon(jobs: JobQueue, _job: Job) -> None:
    await jobs.abandon("w", CRASHED)


@pytest.mark.parametrize("leave", [_retry, _hold, _put_back, _abandon])
async def test_a_cancelled_job_never_goes_back_into_the_queue(
    jobs: JobQueue, leave: Callable[[JobQueue, Job], Awaitable[None]]
):
    await jobs.enqueue(new_job(channel_id=3))
    [job] = await jobs.claim("w", capacity=1)
    await jobs.cancel(job.id, "By its owner.")

    await leave(jobs, job)

    ended = await jobs.get(job.id)
    assert (ended.status, ended.reason, ended.held_at) == (JobStatus.CANCELLED, "By its owner.", None)
    assert [other.id for other in await jobs.undelivered()] == [job.id]


async def test_what_has_ended_cannot_be_cancelled(jobs: JobQueue):
    job = await painted(jobs, new_job())

    assert await jobs.cancel(job.id, "Too late.") == JobStatus.SUCCEEDED
    assert (await jobs.get(job.id)).reason is None
    with pytest.raises(NotFound):
        await jobs.cancel(999, "")


# Held for its owner's choice.


async def test_a_held_job_is_painted_after_the_choice_and_only_the_first_counts(jobs: JobQueue):
    await jobs.enqueue(new_job(channel_id=3))
    [job] = await jobs.claim("w", capacity=1)
    assert await jobs.hold(job, EXPANSION, "one")

    assert await claim(jobs) == []
    assert await jobs.undelivered() == []
    assert [other.id for other in await jobs.to_show()] == [job.id]
    assert await jobs.release_held(job.id, EXPANSION, "two")
    assert not await jobs.release_held(job.id, EXPANSION, "three")

    [again] = await jobs.claim("w", capacity=1)
    assert (again.prompt, again.attempts, again.held_at) == ("two", 1, None)


async def test_a_held_job_is_expanded_again_once_for_each_expansion_that_was_seen(jobs: JobQueue):
    await jobs.enqueue(new_job(channel_id=3))
    [job] = await jobs.claim("w", capacity=1)
    await jobs.hold(job, EXPANSION, "one")
    seen = await jobs.get(job.id)
    assert await jobs.expand_again(seen)
    [again] = await jobs.claim("w", capacity=1)
    assert (again.prompt, again.expansion, again.more_expansions, again.attempts) == (None, None, 1, 1)
    await jobs.hold(again, EXPANSION, "two")

    assert not await jobs.expand_again(seen)
    assert (await jobs.get(job.id)).prompt == "two"


@QUICKLY_ON_SQLITE
async def test_a_choice_comes_back_into_the_owners_next_turn(jobs: JobQueue):
    """A turn from long ago would let its owner, and every newcomer, overtake all that wait."""
    await jobs.enqueue(new_job(user_id=1))
    [held] = await jobs.claim("w", capacity=1)
    await jobs.hold(held, EXPANSION, "one")
    for user in (2, 2, 2, 3, 3, 3):
        await jobs.enqueue(new_job(user_id=user))
    for _ in range(4):
        assert await jobs.finish((await jobs.claim("w", capacity=1))[0], [picture()], seconds=1, busy_seconds=1)

    await jobs.release_held(held.id, EXPANSION, "two")

    assert sorted(await serve_all(jobs)) == [1, 2, 3]
    assert (await jobs.get(held.id)).turn == 1


async def test_nobody_chose_in_time(jobs: JobQueue):
    await jobs.enqueue(new_job(channel_id=3))
    [job] = await jobs.claim("w", capacity=1)
    await jobs.hold(job, EXPANSION, "one")

    await jobs.expire_held(60)
    assert (await jobs.get(job.id)).status == JobStatus.QUEUED
    await change(jobs, job.id, held_at=time.time() - 61)
    await jobs.expire_held(60)

    ended = await jobs.get(job.id)
    assert (ended.status, ended.reason_code) == (JobStatus.CANCELLED, "expired")
    assert not await jobs.release_held(job.id, EXPANSION, "two")
    assert [other.id for other in await jobs.undelivered()] == [job.id]
