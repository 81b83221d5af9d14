"""Two clicks on one button within a moment are one request; two deliberate ones are two."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import simcord
from sqlalchemy import update

from limner.bot.errors import ClickedTwice
from limner.bot.queue.enqueue import CLICK_SECONDS, UNANSWERED_SECONDS
from limner.bot.queue.jobs import JobQueue
from limner.bot.reasons import Action
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job
from limner.bot.ui.picture.picture_buttons import MAKING
from limner.generators.base import Expansion
from tests.rows import a_moment_passes, new_job, put_restyler
from tests.simulated_discord import World, png
from tests.tiny_models import build_tiny_pipeline

SIZE = (160, 112)
Click = Callable[[], Awaitable[simcord.InteractionResult]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path, tmp_path: Path) -> Settings:
    """With a model that paints parts of pictures and one that changes them, and room for what all buttons make."""
    models = {"tiny": f"{tiny}@{SIZE[0]}x{SIZE[1]}", "ink": put_restyler(tmp_path / "ink"), **settings.models}
    limits = {"max_jobs_per_user": 100, "max_jobs_per_guild": 100}
    return settings.using(models=models, image_text_model="there/is-one", **limits)


async def painted(world: World, **options: Any) -> Job:
    """A posted picture of ada's, with an expansion."""
    job = await world.imagine("a red fox", **options)
    claimed = await world.claim()
    expansion = Expansion("a red fox, snow", "snow", ("a red fox",), "SmolLM2", 0.5)
    await world.app.jobs.save_expansion(claimed, expansion, expansion.text)
    await world.finish(claimed, size=SIZE)
    return await world.delivered(job)


async def described(world: World) -> Job:
    """A posted description of a picture of ada's."""
    await world.ada.slash(world.channel, "describe", picture=("fox.png", png()))
    job = await world.claim()
    await world.app.jobs.save_expansion(job, Expansion("a fox", "", (), "", 0.1), "a fox")
    await world.finish(job)
    return await world.delivered(job)


async def clicked_twice(world: World, click: Click) -> int:
    """The requests that two clicks make; the second one is answered in private."""
    before = (await world.newest()).id
    first, second = await click(), await click()
    assert not first.ephemeral
    assert second.response
    assert second.ephemeral
    assert second.response.content == (
        f"Request {before + 1} is on its way already; press again if you want another one."
    )
    return (await world.newest()).id - before


async def test_two_clicks_on_any_button_that_asks_for_pictures_make_one_request(world: World) -> None:
    first, draft, words = await painted(world), await painted(world, quality="draft"), await described(world)
    of_job = {"reroll": first, "raw": first, "upscale": first, "restyle": first, "enhance": draft, "paint": words}
    for verb, job in of_job.items():
        button = functools.partial(world.ada.click, world.message(job), custom_id=f"limner:{verb}:{job.id}")
        assert await clicked_twice(world, button) == 1, verb
    shown = (await world.bob.click(world.message(first), custom_id=f"limner:picture:{first.id}:1")).response
    assert shown
    for verb in MAKING:
        button = functools.partial(world.bob.click, shown, custom_id=f"limner:make:{verb}:{first.id}:1")
        assert await clicked_twice(world, button) == 1, verb

    async def start(idea: str = "a red fox in the rain") -> simcord.InteractionResult:
        form = await world.bob.click(shown, label="Start from this")
        return await world.bob.submit_modal(form, {"idea": idea, "strength": "0.5"})

    assert await clicked_twice(world, start) == 1
    assert not (await start("a red fox in the snow")).ephemeral


async def test_a_form_that_is_sent_twice_makes_one_request(world: World) -> None:
    first = await painted(world)
    shown = (await world.bob.click(world.message(first), custom_id=f"limner:picture:{first.id}:1")).response
    assert shown
    grid = (await world.bob.click(shown, label="Edit region")).response
    assert grid

    async def edit() -> simcord.InteractionResult:
        form = await world.bob.click(grid, label="Choose the part")
        return await world.bob.submit_modal(form, {"idea": "a hat", "cells": ["B2"], "rest": ["exact"]})

    async def remix() -> simcord.InteractionResult:
        form = await world.ada.click(world.message(first), label="Remix")
        return await world.ada.submit_modal(form, {"idea": "a blue fox", "negative": ""})

    for send in (edit, remix):
        assert await clicked_twice(world, send) == 1, send.__name__


@pytest.mark.slow
async def test_a_click_after_a_moment_is_another_request(world: World) -> None:
    first = await painted(world)
    for number in (1, 2):
        result = await world.ada.click(world.message(first), label="Reroll")
        assert not result.ephemeral
        assert (await world.newest()).id == first.id + number
        await a_moment_passes(world.app.database)


async def test_a_second_click_after_a_restart_finds_the_unanswered_request(world: World) -> None:
    first = await painted(world)
    world.env.inject_error("POST", "/interactions/*/*/callback", status=500, times=5)
    await world.ada.click(world.message(first), label="Reroll")
    accepted = await world.newest()
    assert (accepted.id, accepted.message_id) == (first.id + 1, None)
    await a_moment_passes(world.app.database)
    await world.restart()
    await world.ada.click(world.message(first), label="Reroll")
    assert (await world.newest()).id == accepted.id


async def again(jobs: JobQueue, **more: Any) -> Job:
    new = replace(new_job(), **{"parent_id": 1, "action": Action.REROLL, **more})
    return await jobs.enqueue(new, per_user=100)


async def test_two_bots_on_one_database_accept_one_click_once(database_url: str) -> None:
    one, other = Database(database_url), Database(database_url)
    queues = [JobQueue(one), JobQueue(other)]
    await queues[0].enqueue(new_job())
    told = await asyncio.gather(*(again(queues[n % 2]) for n in range(8)), return_exceptions=True)
    assert sum(isinstance(one, Job) for one in told) == 1
    assert sum(isinstance(one, ClickedTwice) for one in told) == 7
    await one.close()
    await other.close()


@pytest.mark.parametrize(
    ("age", "has_message", "is_other"),
    [
        (CLICK_SECONDS + 0.5, True, True),
        (CLICK_SECONDS + 0.5, False, False),
        (UNANSWERED_SECONDS + 1, False, True),
        (-3600.0, True, True),
    ],
    ids=["answered", "unanswered", "never answered", "clock set back"],
)
async def test_when_a_click_is_another_request(
    database: Database, age: float, has_message: bool, is_other: bool
) -> None:
    jobs = JobQueue(database)
    await jobs.enqueue(new_job())
    first = await again(jobs)
    values = {"created_at": time.time() - age, "message_id": 5 if has_message else None}
    async with database.begin() as session:
        await session.execute(update(Job).where(Job.id == first.id).values(**values))
    if is_other:
        assert (await again(jobs)).id > first.id
    else:
        with pytest.raises(ClickedTwice):
            await again(jobs)


async def test_what_differs_is_no_second_click(database: Database) -> None:
    jobs = JobQueue(database)
    await jobs.enqueue(new_job())
    first = await again(jobs)
    await again(jobs, action=Action.REMIX)
    await again(jobs, idea="a badger")
    await again(jobs, parent_picture=2)
    await again(jobs, nth=1)
    await again(jobs, user_id=2)
    await jobs.cancel(first.id, "")
    await again(jobs)
