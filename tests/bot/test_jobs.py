"""The queue on both databases: what it accepts, who is served when, what a claim takes, and what it says of itself."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from limner.bot.errors import QueueFull
from limner.bot.queue import fairness
from limner.bot.queue.estimate import Position
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import JobStatus
from limner.bot.storage.db import Database
from limner.generators.base import Expansion
from tests.rows import QUICKLY_ON_SQLITE, change, claim, live_worker, new_job, painted, picture, serve_all

EXPANSION = Expansion("a fox, soft light", "soft light", ("fox",), "writer", 0.5)


@pytest.fixture
def jobs(database: Database) -> JobQueue:
    return JobQueue(database, lease_seconds=30, max_attempts=3)


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


@QUICKLY_ON_SQLITE
async def test_fifty_jobs_of_one_user_do_not_delay_another(jobs: JobQueue):
    for _ in range(50):
        await jobs.enqueue(new_job(user_id=1))
    await jobs.enqueue(new_job(user_id=2))

    served = [(await jobs.claim("w", capacity=1))[0].user_id for _ in range(3)]
    assert served == [1, 2, 1]


@QUICKLY_ON_SQLITE
@pytest.mark.parametrize("late", [9, pytest.param(1, marks=pytest.mark.slow)])
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


@QUICKLY_ON_SQLITE
async def test_an_idle_user_saves_no_turns(jobs: JobQueue):
    for _ in range(5):
        await jobs.enqueue(new_job(user_id=1))
    await serve_all(jobs)
    for user in (1, 1, 1, 2, 2, 2):
        await jobs.enqueue(new_job(user_id=user))

    assert await serve_all(jobs) in ([1, 2, 1, 2, 1, 2], [2, 1, 2, 1, 2, 1])


@QUICKLY_ON_SQLITE
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


@QUICKLY_ON_SQLITE
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


@QUICKLY_ON_SQLITE
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


@QUICKLY_ON_SQLITE
async def test_a_place_counts_what_other_servers_are_given_before(database: Database):
    jobs = JobQueue(database, server_weights={7: 2.0})
    await painted(jobs, new_job(user_id=99, guild_id=9))
    for number in range(30):
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
