"""Quarantine and gate: who is kept, who is let go, and what is against a picture where."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import update

from limner.bot.errors import NotFound
from limner.bot.guild_settings import Guilds
from limner.bot.moderation.blocked_images import BlockedPictures
from limner.bot.moderation.image_policy import ImagePolicy, Objection
from limner.bot.moderation.quarantine import Quarantine
from limner.bot.place import Where
from limner.bot.queue.endings import StoredPicture
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job, Seen
from tests.rows import QUICKLY_ON_SQLITE, listed, new_job, painted, picture, seen

HERE = Where(5, 6)
RESTRICTED = Where(5, 6, is_age_restricted=True)
UNSEEN_PICTURE = StoredPicture("1" * 64, 16, 16, 100, 7)


class House:
    """All that decides about a picture, on one database."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.jobs = JobQueue(database)
        self.guilds = Guilds(database)
        self.quarantine = Quarantine(self.jobs)
        self.blocked = BlockedPictures(database, self.guilds)
        self.image_policy = ImagePolicy(self.settings, self.guilds, self.blocked, self.quarantine)

    async def painted(self, score: float | None, phash: str = "f0" * 8) -> Job:
        look = seen(phash=phash) if score is None else seen(score, phash)
        new = new_job(guild_id=5, channel_id=6)
        return await painted(self.jobs, new, StoredPicture("0" * 64, 16, 16, 100, 7, look))

    async def due_now(self, job: Job) -> None:
        await self.due_in(job, -1)

    async def due_in(self, job: Job, seconds: float) -> None:
        async with self.jobs.database.begin() as session:
            await session.execute(update(Job).where(Job.id == job.id).values(look_after=time.time() + seconds))


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


async def test_pictures_that_nobody_has_looked_at_are_in_quarantine_from_the_start(house: House):
    job = await painted(house.jobs, new_job(channel_id=6), picture(), UNSEEN_PICTURE)

    assert job.quarantine == HoldReason.UNSEEN
    assert await house.jobs.undelivered() == []
    assert [kept.id for kept in await house.jobs.to_show()] == [job.id]


@QUICKLY_ON_SQLITE
async def test_they_are_looked_at_again_by_one_worker_at_a_time_ever_less_often(house: House):
    job = await painted(house.jobs, new_job(channel_id=6), UNSEEN_PICTURE)
    assert await house.quarantine.take() is None  # not at once
    pauses: list[float] = []
    for _ in range(12):
        await house.due_now(job)
        both = await asyncio.gather(house.quarantine.take(), house.quarantine.take())
        assert [taken.id for taken in both if taken] == [job.id]
        pauses.append(((await house.jobs.get(job.id)).look_after or 0) - time.time())
    assert pauses == pytest.approx(sorted(pauses), abs=1)
    assert pauses[0] < 3
    assert pauses[-1] == pytest.approx(600, abs=5)
    await house.due_in(job, 3600)  # the clock was set back by an hour
    assert await house.quarantine.take() is not None


async def test_a_look_lets_them_go_twice_without_harm(house: House):
    job = await painted(house.jobs, new_job(channel_id=6), UNSEEN_PICTURE)
    look = seen(0.125)
    for _ in range(2):
        await house.quarantine.looked(job.id, {job.images[0].id: look})
    job = await house.jobs.get(job.id)

    assert (job.quarantine, job.look_after) == (None, None)
    assert (job.images[0].score, job.images[0].scores, job.images[0].phash) == (0.125, {"explicit": 0.125}, look.phash)
    assert [free.id for free in await house.jobs.undelivered()] == [job.id]


async def test_what_a_rule_has_flagged_stays_after_the_look(house: House):
    job = await painted(house.jobs, new_job(channel_id=6), UNSEEN_PICTURE)
    async with house.jobs.database.begin() as session:
        await session.execute(update(Job).values(quarantine="flagged"))

    await house.quarantine.looked(job.id, {job.images[0].id: seen()})

    assert (await house.jobs.get(job.id)).quarantine == "flagged"


@pytest.mark.parametrize(
    ("score", "spot", "code"),
    [
        (0.5, HERE, None),
        (0.51, HERE, HoldReason.EXPLICIT),
        (0.51, RESTRICTED, None),
        (0.95, RESTRICTED, HoldReason.EXPLICIT),
        (0.51, Where(), HoldReason.EXPLICIT),
    ],
)
@QUICKLY_ON_SQLITE
async def test_each_class_of_channel_has_its_limit(house: House, score: float, spot: Where, code: str | None):
    job = await house.painted(score)

    objection = await house.image_policy.objection(job, spot)

    assert (objection and objection.code) == code
    if objection:
        assert objection.codes == {job.images[0].id: code}


async def test_a_server_may_be_stricter_than_the_operator_and_not_laxer(house: House):
    job = await house.painted(0.4)
    await house.guilds.change(5, 1, explicit_limit=0.3)
    assert await house.image_policy.objection(job, HERE)
    assert await house.image_policy.objection(job, Where(7, 8)) is None
    await house.guilds.change(5, 1, explicit_limit=1.0)
    assert await house.image_policy.limit(HERE, is_from_picture=False) == 0.5


async def test_limits_0_and_1_stop_everything_and_nothing(database: Database):
    strict, lax = House(database, explicit_limit=0.0), House(database, explicit_limit=1.0)
    job = await strict.painted(1.0)
    assert await lax.image_policy.objection(job, HERE) is None
    assert await strict.image_policy.objection(await strict.painted(0.001), HERE)


async def test_pictures_without_a_score_count_as_unseen_unless_the_eyes_are_off(database: Database):
    house, blind = House(database), House(database, safety_classifier="off")
    look = Seen(time.time(), "off", None, None, "f0" * 8)
    job = await painted(house.jobs, new_job(), StoredPicture("0" * 64, 16, 16, 100, 7, look))

    assert await blind.image_policy.objection(job, HERE) is None
    unseen = Objection(HoldReason.UNSEEN, {job.images[0].id: HoldReason.UNSEEN})
    assert await house.image_policy.objection(job, HERE) == unseen


async def test_a_blocked_picture_stops_its_like_in_its_server(house: House):
    job, other = await house.painted(0.1, "f0" * 8), await house.painted(0.1, "0f" * 8)
    blocked = await house.blocked.block(5, listed("f0" * 7 + "ff"), 1, job.id)  # four bits away

    assert await house.image_policy.objection(job, HERE) == Objection(
        HoldReason.BLOCKED, {job.images[0].id: HoldReason.BLOCKED}
    )
    assert await house.image_policy.objection(job, Where(7, 8)) is None
    assert await house.image_policy.objection(other, HERE) is None
    assert (await house.blocked.block(5, listed("f0" * 7 + "ff"), 2)).id == blocked.id  # once

    with pytest.raises(NotFound):
        await house.blocked.allow(7, blocked.id, 1)
    await house.blocked.allow(5, blocked.id, 1)
    assert await house.image_policy.objection(job, HERE) is None


async def test_the_operators_list_holds_everywhere_and_in_every_process(house: House, database: Database):
    job = await house.painted(0.1)
    assert await house.image_policy.objection(job, HERE) is None
    await House(database).blocked.block(0, listed(), 0)

    async with asyncio.timeout(20):
        while await house.image_policy.objection(job, HERE) is None:
            await asyncio.sleep(0.05)
    assert await house.image_policy.objection(job, Where())


async def test_a_moderator_decides_where_there_is_a_review_channel(house: House):
    await house.guilds.change(5, 1, review_channel_id=99)
    job = await house.painted(0.9)
    objection = await house.image_policy.objection(job, HERE)
    assert objection
    await house.image_policy.stop(job, objection)
    job = await house.jobs.get(job.id)
    assert (job.status, job.quarantine, job.images[0].verdict) == (
        JobStatus.SUCCEEDED,
        HoldReason.EXPLICIT,
        HoldReason.EXPLICIT,
    )
    assert await house.jobs.undelivered() == []

    assert await house.quarantine.approve(job.id)
    assert not await house.quarantine.approve(job.id)
    job = await house.jobs.get(job.id)
    assert await house.image_policy.objection(job, HERE) is None
    assert await house.image_policy.objection(job, Where(5, 7))  # allowed where it was asked for, not everywhere


async def test_without_one_it_is_refused_with_a_sentence(house: House):
    job = await house.painted(0.9)
    objection = await house.image_policy.objection(job, HERE)
    assert objection
    await house.image_policy.stop(job, objection)
    job = await house.jobs.get(job.id)

    assert (job.status, job.quarantine, job.reason_code) == (JobStatus.REFUSED, None, "picture:explicit")
    assert job.reason
    assert "too explicit for this channel" in job.reason
    assert not await house.quarantine.refuse(job.id, "picture:explicit", "again", {})
