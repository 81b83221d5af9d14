"""Outbox: which refused answers are tried again when, and how long a command's token is kept."""

from __future__ import annotations

import time

from sqlalchemy import func, select

from limner.bot.queue.jobs import JobQueue
from limner.bot.queue.outbox import Outbox
from limner.bot.queue.transitions import InteractionToken
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import AnswerToken, Job
from tests.rows import new_job, painted


async def held_back(jobs: JobQueue, outbox: Outbox, guild_id: int) -> Job:
    job = await painted(jobs, new_job(guild_id=guild_id, channel_id=3))
    await outbox.hold_back(job.id, 3600)
    return job


async def test_news_of_a_server_end_the_pause_of_its_answers_only(database: Database) -> None:
    jobs, outbox = JobQueue(database), Outbox(database)
    here, _ = await held_back(jobs, outbox, 1), await held_back(jobs, outbox, 2)
    outbox.hear(3)
    await outbox.try_again()
    assert await jobs.undelivered() == []
    outbox.hear(1)
    await outbox.try_again()
    assert [job.id for job in await jobs.undelivered()] == [here.id]


async def test_what_waits_for_the_network_is_not_hurried(database: Database) -> None:
    jobs, outbox = JobQueue(database), Outbox(database)
    job = await painted(jobs, new_job(guild_id=1, channel_id=3))
    await jobs.postpone_delivery(job.id, 300)
    outbox.hear(1)
    await outbox.try_again()
    assert await jobs.undelivered() == []


async def test_a_pause_from_before_the_clock_was_set_back_is_over(database: Database) -> None:
    jobs, outbox = JobQueue(database), Outbox(database)
    failed, refused = await painted(jobs, new_job(channel_id=3)), await held_back(jobs, outbox, 1)
    await jobs.postpone_delivery(failed.id, 3600)
    assert [job.id for job in await jobs.undelivered()] == [failed.id]
    await outbox.hold_back(refused.id, 3600)
    assert [job.id for job in await jobs.undelivered()] == [failed.id]
    await outbox.hold_back(refused.id, 7200)
    assert [job.id for job in await jobs.undelivered()] == [failed.id, refused.id]


async def test_since_when_an_answer_is_refused_is_kept(database: Database) -> None:
    jobs, outbox = JobQueue(database), Outbox(database)
    job = await held_back(jobs, outbox, 1)
    first = (await jobs.get(job.id)).held_back_at
    await outbox.hold_back(job.id, 3600)
    again = await jobs.get(job.id)
    assert (again.held_back_at, again.delivery_attempts) == (first, 2)


async def test_a_token_is_erased_when_it_has_expired_and_when_its_answer_is_posted(database: Database) -> None:
    jobs, outbox = JobQueue(database), Outbox(database)
    for number, (token, seconds) in enumerate([("old", -1), ("young", 60), ("used", 60)], 1):
        job = await painted(jobs, new_job(channel_id=3))
        assert job.id == number
        await jobs.attach_message(job.id, 7, InteractionToken(token, time.time() + seconds))
    assert [await outbox.token(number) for number in (1, 2, 3)] == [None, "young", "used"]
    await outbox.forget_expired()
    await jobs.mark_delivered(3, 7)
    async with database.read() as session:
        assert (await session.scalars(select(AnswerToken.token))).all() == ["young"]
    await jobs.attach_message(2, 7, InteractionToken("younger", time.time() + 90))
    assert await outbox.token(2) == "younger"
    async with database.read() as session:
        assert await session.scalar(select(func.count()).select_from(AnswerToken)) == 1


def test_a_token_is_in_no_representation() -> None:
    assert "secret" not in repr(InteractionToken("secret", 1.0))
    assert "secret" not in repr(AnswerToken(job_id=1, token="secret", expires_at=1.0))
