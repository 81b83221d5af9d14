"""The queue on both databases: who is served when, what a claim takes, and how a job ends."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from limner.bot.errors import NotFound, QueueFull
from limner.bot.queue import fairness
from limner.bot.queue.estimate import Position
from limner.bot.queue.faults import CRASHED
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.generators.base import Expansion
from tests.rows import PIXELS, live_worker, new_job, painted, picture

EXPANSION = Expansion("a fox, soft light", "soft light", ("fox",), "writer", 0.5)


@pytest.fixture
def jobs(database: Database) -> JobQueue:
    return JobQueue(database, lease_seconds=30, max_attempts=3)


async def claim(jobs: JobQueue, samples: int = 1, worker: str = "w", **more: Any) -> list[int]:
    return [job.id for job in await jobs.claim(worker, capacity=samples * PIXELS, **more)]


async def serve_all(jobs: JobQueue) -> list[int]:
    """The users in the order in which they are served, one job at a time."""
    served: list[int] = []
    while claimed := await jobs.claim("w", capacity=1):
        assert await jobs.finish(claimed[0], [picture()], seconds=1, busy_seconds=1)
        served.append(claimed[0].user_id)
    return served


async def change(jobs: JobQueue, job_id: int, **values: object) -> None:
    """What time, or a crash, would do to a row."""
    async with jobs.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job_id).values(**values))


# Accepting.


async def test_a_request_comes_back_as_it_was_accepted(jobs: JobQueue):
    new = new_job("夕阳 🦊 'quoted'", 2**63 - 1, guild_id=2**62, channel_id=3, locale="zh-CN", style="ink", samples=2)

    job = await jobs.enqueue(new)

    same = await jobs.get(job.id)
    assert (same.idea, same.user_id, same.guild_id, same.style) == (new.idea, 2**63 - 1, 2**62, "ink")
    assert (same.status, same.samples, same.steps, same.message_id) == (JobStatus.QUEUED, 2, 4, None)
    assert same.generation == new.request
    assert same.expanded is None


async def test_an_expansion_that_is_known_is_kept(jobs: JobQueue):
    job = await jobs.enqueue(new_job(prompt="a fox, soft light, ink", expansion=EXPANSION))

    same = await jobs.get(job.id)
    assert same.expanded == EXPANSION
    assert same.generation.prompt == "a fox, soft light, ink"


async def test_limits_count_open_jobs_of_the_user_and_of_the_server(jobs: JobQueue):
    mine = [await jobs.enqueue(new_job(guild_id=5), per_user=2, per_guild=3) for _ in range(2)]
    with pytest.raises(QueueFull, match="You have 2 requests waiting or running"):
        await jobs.enqueue(new_job(guild_id=5), per_user=2, per_guild=3)
    await jobs.enqueue(new_job(user_id=2, guild_id=5), per_user=2, per_guild=3)
    with pytest.raises(QueueFull, match="This server has 3 requests"):
        await jobs.enqueue(new_job(user_id=3, guild_id=5), per_user=2, per_guild=3)
    await jobs.enqueue(new_job(user_id=3, guild_id=6), per_user=2, per_guild=3)
    await jobs.enqueue(new_job(user_id=3, guild_id=None), per_user=2, per_guild=1)

    await jobs.cancel(mine[0].id, "")

    await jobs.enqueue(new_job(guild_id=5), per_user=2, per_guild=3)
    assert await jobs.counts() == (5, 0)


async def test_a_refusal_before_the_queue_is_a_row_that_nobody_paints_or_posts(jobs: JobQueue):
    refused = await jobs.log_refusal(new_job(channel_id=3), "filter", "Not here.")

    assert (await jobs.get(refused.id)).status == JobStatus.REFUSED
    assert await claim(jobs) == []
    assert await jobs.undelivered() == []


# Whose turn it is.


async def test_fifty_jobs_of_one_user_do_not_delay_another(jobs: JobQueue):
    for _ in range(50):
        await jobs.enqueue(new_job(user_id=1))
    await jobs.enqueue(new_job(user_id=2))

    assert (await serve_all(jobs))[:3] == [1, 2, 1]


@pytest.mark.parametrize("late", [1, 9])
async def test_who_comes_late_is_served_at_once(jobs: JobQueue, late: int):
    for _ in range(30):
        await jobs.enqueue(new_job(user_id=5))
    for _ in range(10):
        assert await jobs.finish((await jobs.claim("w", capacity=1))[0], [picture()], seconds=1, busy_seconds=1)
    for _ in range(2):
        await jobs.enqueue(new_job(user_id=late))

    assert (await serve_all(jobs))[:5] == [late, 5, late, 5, 5]


async def test_turns_go_round(jobs: JobQueue):
    for user in (3, 3, 3, 1, 1, 1, 2, 2, 2):
        await jobs.enqueue(new_job(user_id=user))

    served = await serve_all(jobs)

    assert [set(served[i : i + 3]) for i in (0, 3, 6)] == [{1, 2, 3}] * 3


async def test_an_idle_user_saves_no_turns(jobs: JobQueue):
    for _ in range(5):
        await jobs.enqueue(new_job(user_id=1))
    await serve_all(jobs)
    for user in (1, 1, 1, 2, 2, 2):
        await jobs.enqueue(new_job(user_id=user))

    assert await serve_all(jobs) in ([1, 2, 1, 2, 1, 2], [2, 1, 2, 1, 2, 1])


async def test_a_job_that_is_tried_again_opens_no_door_to_newcomers(jobs: JobQueue):
    """Its turn is long past: whoever took that for the present turn would overtake all that wait."""
    await jobs.enqueue(new_job(user_id=1))
    [failing] = await jobs.claim("w", capacity=1)
    for _ in range(5):
        await jobs.enqueue(new_job(user_id=2))
    for _ in range(4):
        assert await jobs.finish((await jobs.claim("v", capacity=1))[0], [picture()], seconds=1, busy_seconds=1)
    waiting = [await jobs.enqueue(new_job(user_id=3)) for _ in range(2)]
    await jobs.retry(failing, "oom", "No memory.")
    for _ in range(4):
        await jobs.enqueue(new_job(user_id=4))
    await change(jobs, failing.id, not_before=0)

    served = await serve_all(jobs)

    assert served[0] == 1
    assert served.index(3) <= 3
    assert waiting


# What a claim takes.


async def test_a_batch_is_of_one_kind_and_in_order(jobs: JobQueue):
    kinds = ["a", "b", "a", "a", "b", "a"]
    ids = [(await jobs.enqueue(new_job(user_id=user, model=kind))).id for user, kind in enumerate(kinds)]

    assert await claim(jobs, samples=3) == [ids[0], ids[2], ids[3]]
    assert await claim(jobs, samples=3) == [ids[1], ids[4]]
    assert await claim(jobs, samples=3) == [ids[5]]
    assert await claim(jobs, samples=3) == []


async def test_a_claim_looks_only_so_far_ahead(jobs: JobQueue):
    await jobs.enqueue(new_job(user_id=0, model="a"))
    for user in range(1, fairness.LOOK_AHEAD):
        await jobs.enqueue(new_job(user_id=user, model="b"))
    too_far = await jobs.enqueue(new_job(user_id=99, model="a"))

    assert too_far.id not in await claim(jobs, samples=4)


async def test_capacity_counts_samples_and_nobody_is_overtaken(jobs: JobQueue):
    ids = [(await jobs.enqueue(new_job(user_id=i, samples=n))).id for i, n in enumerate([2, 1, 4, 1])]

    assert await claim(jobs, samples=4) == ids[:2]
    assert await claim(jobs, samples=4) == [ids[2]]


async def test_a_head_that_is_too_large_is_given_alone(jobs: JobQueue):
    large = await jobs.enqueue(new_job(samples=9))
    await jobs.enqueue(new_job(user_id=2))

    assert await claim(jobs, samples=4) == [large.id]


async def test_a_running_batch_is_joined_by_its_kind_in_order(jobs: JobQueue):
    running = await jobs.enqueue(new_job(user_id=0, model="a"))
    await claim(jobs)
    wide = await jobs.enqueue(new_job(user_id=1, model="a", samples=3))
    small = await jobs.enqueue(new_job(user_id=2, model="a"))

    assert await claim(jobs, samples=2, painting=running.weights_key) == []
    assert await claim(jobs, samples=4, painting=running.weights_key) == [wide.id, small.id]


async def test_weights_in_memory_go_first_until_patience_ends(jobs: JobQueue):
    other = await jobs.enqueue(new_job(user_id=1, model="b"))
    first, second, third = [(await jobs.enqueue(new_job(user_id=user, model="a"))).id for user in (2, 3, 4)]

    assert await claim(jobs, loaded=["a|"]) == [first]
    assert await claim(jobs, painting="a|") == [second]
    passed = (await jobs.get(other.id)).passed_over_at
    assert passed is not None
    assert passed == pytest.approx(time.time(), abs=5)
    await change(jobs, other.id, passed_over_at=passed - fairness.PATIENCE)

    assert await claim(jobs, painting="a|") == []
    assert await claim(jobs, loaded=["a|"]) == [other.id]
    assert await claim(jobs, loaded=["b|"]) == [third]


async def test_a_new_job_is_left_for_a_worker_that_has_its_weights(jobs: JobQueue):
    job = await jobs.enqueue(new_job(model="a"))
    async with jobs.database.begin() as session:
        session.add(live_worker("v"))

    assert await claim(jobs, loaded=["b|"]) == []
    await change(jobs, job.id, created_at=time.time() - fairness.GRACE)

    assert await claim(jobs, loaded=["b|"]) == [job.id]


@pytest.mark.parametrize("why", ["silent", "full", "busy"])
async def test_a_worker_that_cannot_take_it_is_not_waited_for(jobs: JobQueue, why: str):
    job = await jobs.enqueue(new_job(model="a"))
    worker = live_worker("v")
    if why == "silent":
        worker.seen_at -= 60
    elif why == "full":
        worker.room -= 1
    else:
        worker.painting = "c|"
    async with jobs.database.begin() as session:
        session.add(worker)

    assert await claim(jobs, loaded=["b|"]) == [job.id]


async def test_servers_share_by_weight_and_a_retry_is_charged_once(database: Database):
    jobs = JobQueue(database, server_weights={7: 3.0})
    for number in range(24):
        await jobs.enqueue(new_job(user_id=number, guild_id=7 + number % 2))
    [tried] = await jobs.claim("w", capacity=1)
    await jobs.retry(tried, "oom", "")
    await change(jobs, tried.id, not_before=0)

    served = [(await jobs.claim("w", capacity=1))[0] for _ in range(13)]

    assert tried.id in [job.id for job in served]
    assert [sum(job.guild_id == guild for job in served) for guild in (7, 8)] == [10, 3]


async def test_a_supporter_has_two_turns_for_one(jobs: JobQueue):
    for _ in range(6):
        await jobs.enqueue(new_job(user_id=1, weight=2.0))
        await jobs.enqueue(new_job(user_id=2))

    served = await serve_all(jobs)

    assert served[:6].count(1) == 4
    assert served[:9].count(1) == 6


async def test_a_job_that_was_tried_before_is_given_alone(jobs: JobQueue):
    poison = await jobs.enqueue(new_job())
    [tried] = await jobs.claim("w", capacity=4)
    await jobs.retry(tried, "oom", "")
    await change(jobs, poison.id, not_before=0)
    neighbour = await jobs.enqueue(new_job(user_id=2))

    assert await claim(jobs, samples=4, painting=poison.weights_key) == []
    assert await claim(jobs, samples=4) == [poison.id]
    assert await claim(jobs, samples=4) == [neighbour.id]


async def test_a_tried_job_behind_the_head_waits_for_its_own_batch(jobs: JobQueue):
    head = await jobs.enqueue(new_job(user_id=1))
    tried = await jobs.enqueue(new_job(user_id=2))
    await change(jobs, tried.id, attempts=1)

    assert await claim(jobs, samples=4) == [head.id]
    assert await claim(jobs, samples=4) == [tried.id]


async def test_what_rests_or_is_held_is_not_claimed(jobs: JobQueue):
    resting = await jobs.enqueue(new_job(user_id=1))
    held = await jobs.enqueue(new_job(user_id=2))
    await change(jobs, resting.id, not_before=time.time() + 60)
    await change(jobs, held.id, held_at=time.time())

    assert await claim(jobs, samples=4) == []


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


# What is told of the queue.


async def test_position_and_time_left(jobs: JobQueue):
    await painted(jobs, new_job(user_id=9, model="fast"))  # 4 steps in 1 s
    first = await jobs.enqueue(new_job(user_id=1, model="fast"))
    second = await jobs.enqueue(new_job(user_id=2, model="fast", samples=3))
    third = await jobs.enqueue(new_job(user_id=3, model="unknown"))

    assert await jobs.position(first) == Position(0, 1.0)
    assert await jobs.position(second) == Position(1, 4.0)
    assert await jobs.position(third) == Position(2, None)

    await claim(jobs)
    await jobs.record_steps("w", {first.id: 2})

    assert await jobs.position(second) == Position(0, 3.5)
    assert await jobs.position(await jobs.get(first.id)) == Position(0, 0.5)


async def test_a_pace_that_is_not_known_is_that_of_another_size_of_the_model(jobs: JobQueue):
    await painted(jobs, new_job(user_id=9, samples=2))  # 4 steps of 512 pixels in 1 s
    same = await jobs.enqueue(new_job(user_id=1))
    tuned = new_job(user_id=2)
    tuned = await jobs.enqueue(replace(tuned, request=replace(tuned.request, loras=(("ink", 1.0),))))

    assert await jobs.position(same) == Position(0, 0.5)
    assert await jobs.position(tuned) == Position(1, 1.0)


async def test_live_workers_share_the_wait(jobs: JobQueue):
    await painted(jobs, new_job(user_id=9))
    for user in range(1, 6):
        await jobs.enqueue(new_job(user_id=user))
    await claim(jobs, worker="w")
    await claim(jobs, worker="v")

    [*_, last] = [await jobs.get(job_id) for job_id in range(2, 7)]
    assert await jobs.position(last) == Position(2, 1.0 + 4 / 2)
    async with jobs.database.begin() as session:
        session.add_all(map(live_worker, "wvut"))
    assert await jobs.position(last) == Position(2, 1.0 + 4 / 4)


async def test_a_place_counts_what_other_servers_are_given_before(database: Database):
    jobs = JobQueue(database, server_weights={7: 2.0})
    await painted(jobs, new_job(user_id=99, guild_id=9))
    for number in range(120):
        await jobs.enqueue(new_job(user_id=number, guild_id=7 + number % 3))
    mine = await jobs.enqueue(new_job(user_id=100, guild_id=8))

    told = await jobs.position(mine)
    served = 0
    while (await jobs.claim("w", capacity=1))[0].id != mine.id:
        served += 1

    assert told.ahead == pytest.approx(served, abs=2)
    assert told.seconds == pytest.approx(told.ahead + 1)


async def test_counts_and_own_open_jobs(jobs: JobQueue):
    await painted(jobs, new_job())
    mine = [(await jobs.enqueue(new_job(user_id=1))).id for _ in range(3)]
    await jobs.enqueue(new_job(user_id=2))
    await claim(jobs)

    assert await jobs.counts() == (3, 1)
    assert [job.id for job in await jobs.open_jobs(1)] == mine
    assert len(await jobs.to_show()) == 0


async def test_changes_ring_and_nothing_rings_without_one(jobs: JobQueue):
    heard: list[str] = []
    jobs.queued.listeners.append(lambda: heard.append("queued"))
    jobs.changed.listeners.append(lambda: heard.append("changed"))

    await jobs.requeue_stalled()
    await claim(jobs)
    await jobs.expire_held(1)
    assert heard == []
    await painted(jobs, new_job())

    assert heard == ["queued", "changed", "changed"]


async def test_the_message_of_a_job_that_waits_wakes_nobody(jobs: JobQueue):
    """It says what is true already; a job that was claimed meanwhile has something to show."""
    first = await jobs.enqueue(new_job())

    await jobs.attach_message(first.id, 7)
    assert not jobs.changed.is_ringing

    await jobs.claim("w", capacity=1)
    await jobs.changed.wait(1)
    await jobs.attach_message(first.id, 7)
    assert jobs.changed.is_ringing
