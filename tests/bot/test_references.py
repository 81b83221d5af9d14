"""Given pictures that a request refers to: kept with its row, classified before use, erased with it."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select, update

from limner.bot.app import App
from limner.bot.place import Where
from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.storage.history.retention import Retention, trim_refusals
from limner.bot.storage.tables.models import Job, ReferencePicture
from limner.bot.worker.prepare import settle_input
from limner.generators.references import Reference, Role
from limner.generators.requests import GenerationRequest
from tests.rows import new_job, seen
from tests.simulated_discord import png


def referring(*pictures: str, **more: Any) -> NewJob:
    """A request that refers to these pictures: the first gives the style, the others are blended."""
    new = new_job(**more)
    roles = [Role.STYLE, *[Role.BLEND] * len(pictures)]
    references = [Reference(role=role, picture=one) for role, one in zip(roles, pictures, strict=False)]
    return replace(new, request=replace(new.request, references=tuple(references)))


def stored(app: App) -> set[str]:
    return {path.stem for path in app.images.folder.rglob("*.png")}


@pytest.fixture
async def three(app: App) -> list[str]:
    return [await app.inputs.store(png(shade=shade)) for shade in range(3)]


def test_a_request_with_references_comes_back_from_a_column() -> None:
    reference = Reference(role=Role.DEPTH, picture="a.png", weight=0.5, start=0.25, end=0.75)
    request = replace(new_job().request, references=(reference,))
    assert GenerationRequest.from_json(request.to_json()) == request
    assert (request.is_from_picture, request.given) == (True, ("a.png",))


async def test_the_pictures_go_with_the_last_request_that_refers_to_them(app: App, three: list[str]) -> None:
    first = await app.jobs.enqueue(referring(*three[:2]))
    second = await app.jobs.enqueue(referring(three[1], user_id=2))
    async with app.database.read() as session:
        rows = (await session.execute(select(ReferencePicture.job_id, ReferencePicture.sha256))).all()
    assert rows == [(first.id, three[0]), (first.id, three[1]), (second.id, three[1])]
    await app.history.sweep(older_than=-1)
    assert stored(app) == set(three[:2])  # the third has no row
    await app.history.delete(first.id)
    assert stored(app) == {three[1]}
    await app.history.delete(second.id)
    assert stored(app) == set()


async def test_a_pending_request_keeps_its_pictures_until_it_is_dropped(app: App, three: list[str]) -> None:
    number = await app.pending.keep(5, {"text": "a fox"}, three[0], three[1:])
    await app.history.sweep(older_than=-1)
    assert stored(app) == set(three)
    await app.pending.drop(number, 5)
    assert stored(app) == set()


async def test_a_refused_request_loses_them_when_its_row_is_removed(app: App, three: list[str]) -> None:
    job = await app.jobs.log_refusal(referring(three[0]), "rule", "No.")
    await app.jobs.enqueue(referring(three[1]))
    async with app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(created_at=time.time() - 9 * 86_400))
    assert await trim_refusals(app.history, Retention(7, 10**9, 10**9)) == 1
    assert stored(app) == {three[1], three[2]}
    async with app.database.read() as session:
        assert list(await session.scalars(select(ReferencePicture.sha256))) == [three[1]]


async def test_each_picture_is_classified_before_use_with_the_ordinary_limit(app: App, three: list[str]) -> None:
    looked: list[Image.Image] = []

    async def look(image: Image.Image) -> Any:
        looked.append(image)
        return seen(0.1 if len(looked) == 1 else 0.7)

    classifier: Any = SimpleNamespace(look=look)
    where = Where(5, 6, is_age_restricted=True)
    job = await app.jobs.enqueue(replace(referring(three[0], three[0], three[1]), where=where))
    [claimed] = await app.jobs.claim("painter", capacity=1)
    assert not await settle_input(app, classifier, claimed)
    assert len(looked) == 2
    job = await app.jobs.get(job.id)
    assert (job.status, job.reason_code) == (JobStatus.REFUSED, f"picture:{HoldReason.EXPLICIT}")
    await app.history.drop_refused(job)
    assert stored(app) == {three[2]}


async def test_references_have_the_ordinary_limit_for_what_is_painted_too(app: App) -> None:
    new = referring("0" * 64)
    job = await app.jobs.enqueue(replace(new, where=Where(5, 6, is_age_restricted=True)))
    assert await app.image_policy.limit(job.where, is_from_picture=job.generation.is_from_picture) == 0.5
