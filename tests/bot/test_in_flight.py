"""Who enters the executor, and when."""

import asyncio

from limner.bot.storage.tables.models import Job
from limner.bot.worker.in_flight import InFlightJobs
from tests.rows import new_job

PICTURE = 100


async def ready(*users: int) -> InFlightJobs:
    """A hand with one prepared job of each user, numbered from 1."""
    in_flight = InFlightJobs()
    for number, user in enumerate(users, 1):
        new = new_job("a fox", user)
        job = Job(created_at=0.0, idea=new.idea, request={}, weights_key="", pixels=PICTURE, user_id=user)
        job.id = number
        task = asyncio.ensure_future(asyncio.sleep(0))
        in_flight.take(job, task)
        in_flight.settle(job, task, paint=True)
        await task
    return in_flight


def coming(in_flight: InFlightJobs, together: int) -> list[int]:
    return [job.id for job in in_flight.hand_over(together)[1]]


async def test_as_many_as_are_worth_painting_together_come_in():
    in_flight = await ready(7, 7, 7)
    assert coming(in_flight, 2 * PICTURE) == [1, 2]
    assert coming(in_flight, 2 * PICTURE) == []
    in_flight.drop(1)
    assert coming(in_flight, 2 * PICTURE) == [3]


async def test_everybodys_first_comes_in_at_once():
    in_flight = await ready(7, 7, 8, 9, 9)
    assert coming(in_flight, PICTURE) == [1, 3, 4]
    assert in_flight.has_work


async def test_one_that_is_larger_than_that_comes_in_alone():
    in_flight = await ready(7)
    assert coming(in_flight, PICTURE // 2) == [1]
