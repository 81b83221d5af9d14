"""Change and Stop here while a picture is painted: for whom, with which words, and what comes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import discord
import pytest
import simcord

from limner.bot import steering, submit
from limner.bot.app import App
from limner.bot.errors import NotYours
from limner.bot.picture_actions import Asker, vary
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.ui.job.job_buttons import JobButton
from limner.generators.base import Expansion
from limner.generators.errors import TOO_LATE, BadRequest
from tests.bot.test_job_buttons import press, told
from tests.bot.test_worker import AddingExpander, WatchedExecutor, ask, make_worker, row, running, sql, tiny
from tests.other_clients import fill_at_once
from tests.simulated_discord import World, labels, text_of

__all__ = ["tiny"]
NEW = "two dogs, blue"


async def painting(world: World) -> Job:
    """A job in the middle of its steps, as its message shows."""
    await world.imagine("a red fox", seed=5)
    job = await world.claim()
    words = Expansion("a red fox, deep snow", "deep snow", (), "SmolLM2", 0.5)
    await world.app.jobs.save_expansion(job, words, words.text)
    await world.app.jobs.record_steps("painter", {job.id: 2})
    await world.settled(job := await world.newest(), "step 2")
    return job


async def change(
    world: World, job: Job, text: str, who: simcord.MemberActor | None = None
) -> simcord.InteractionResult:
    """Press Change and send the form with other words."""
    shown = await press(world, job, "change", who)
    assert shown.modal
    return await (who or world.ada).submit_modal(shown, {"text": text})


async def test_the_words_change_while_it_is_painted(world: World) -> None:
    job = await painting(world)
    assert labels(world.message(job)) == ["Change", "Stop here", "Cancel"]
    shown = await press(world, job, "change")
    assert "a red fox, deep snow" in str(shown.modal)
    which = f"Request {job.id} (**a red fox**)"
    assert told(await change(world, job, NEW)) == f"{which} goes on with your words at its next step."
    assert (await world.newest()).steer_to == NEW
    assert told(await change(world, job, "three cats")).startswith("Another change of that picture is on its way")
    assert told(await press(world, job, "stop")).startswith("Another change of that picture is on its way")
    assert (await world.newest()).steer_to == NEW
    await world.finish(await world.newest())
    late = await world.delivered(job)
    assert "The last change came after the last step" in text_of(world.message(late))


async def test_of_two_changes_at_the_same_moment_one_counts(world: World) -> None:
    job = await painting(world)
    form, texts = (await press(world, job, "change")).modal, ("two dogs", "three cats")
    assert form
    said = [{"text": text} for text in texts]
    answers = await fill_at_once(world, world.ada, world.channel.id, form["custom_id"], said)
    won = [told(answer).endswith("goes on with your words at its next step.") for answer in answers]
    assert sorted(won) == [False, True]
    assert told(answers[won.index(False)]).startswith("Another change of that picture is on its way")
    assert (await world.newest()).steer_to == texts[won.index(True)]


async def test_only_its_owner_changes_it_and_only_while_it_is_painted(world: World) -> None:
    job = await painting(world)
    assert labels(world.message(job)) == ["Change", "Stop here", "Cancel"]
    for verb in ("change", "stop"):
        for who in (world.bob, world.grace):
            assert told(await press(world, job, verb, who)) == str(NotYours())
    shown = await press(world, job, "change")
    assert shown.modal
    assert told(await press(world, job, "stop")).endswith("as far as it is painted then.")
    await world.finish(await world.newest())
    late = "That picture has taken its last step already; Remix paints it with other words."
    assert told(await world.ada.submit_modal(shown, {"text": NEW})) == late
    await world.restart()
    for verb in ("change", "stop"):
        old = discord.ui.View(timeout=None).add_item(JobButton(verb, job.id))
        message = await world.bot.get_partial_messageable(world.channel.id).send(view=old)
        assert told(await world.ada.click(message, custom_id=f"limner:{verb}:{job.id}")) == late
    assert (await world.newest()).steer_to is None


async def test_the_filter_reads_the_new_words(world: World) -> None:
    await world.app.filters.add(world.guild.id, "dogs", by=1)
    job = await painting(world)
    assert "(code filter:idea)" in told(await change(world, job, NEW))
    refused = await world.newest()
    assert (refused.status, refused.idea) == (JobStatus.REFUSED, NEW)
    assert "--seed" in told(await change(world, job, "a cat --seed 7"))
    assert (await world.app.jobs.get(job.id)).steer_to is None


async def test_a_model_of_whole_calls_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await painting(world)
    model = job.request["model"]
    whole = replace(world.app.settings.cards[model], steers=False)
    monkeypatch.setitem(world.app.settings.cards, model, whole)
    for verb in ("change", "stop"):
        said = f"The model {model} takes no other words while it paints; cancel the request and ask again."
        assert told(await press(world, job, verb)) == said
    await world.app.jobs.record_steps("painter", {job.id: 3})
    assert labels(await world.settled(job, "step 3")) == ["Cancel"]


# In the worker, with a tiny real pipeline.


class SlowExecutor(WatchedExecutor):
    """The real executor, which waits after a number of steps until the test lets it go on."""

    def __init__(self, settings: Settings, pause_after: int) -> None:
        super().__init__(settings)
        self.pause_after = pause_after

    def step(self, reserved: int = 0) -> list[Any]:
        events = super().step(reserved)
        self.pause_after -= 1
        if self.pause_after == 0:
            self.gate.clear()
        return events


@pytest.fixture
def settings(settings: Settings, tiny: Any) -> Settings:
    return settings.using(models={"tiny": str(tiny)}, device="cpu")


async def changed(app: App, what: Callable[[Job], Awaitable[None]], **options: Any) -> tuple[Job, WatchedExecutor]:
    """A job of six steps that is changed while its third one is taken, once it is painted."""
    executor = SlowExecutor(app.settings, 2)
    job = await ask(app, seed=7, steps=6, guidance=30, expand="off", **options)
    async with running(make_worker(app, AddingExpander(), executor)):
        await row(app, job, lambda job: job.step == 2)
        await what(await app.jobs.get(job.id))
        executor.gate.set()
        return await row(app, job, lambda job: job.is_final), executor


async def repeated(app: App, job: Job) -> Job:
    again = await submit.repeat(app, job, where=job.where)
    await make_worker(app, AddingExpander()).run(burst=True)
    return await app.jobs.get(again.id)


async def test_a_repeat_gives_the_same_steered_picture(app: App) -> None:
    job, _ = await changed(app, lambda job: steering.steer(app, job, NEW))
    assert (job.status, job.request["steering"], job.steer_to) == (JobStatus.SUCCEEDED, [[3, NEW]], None)
    for words in ("two dogs", "cat"):
        assert [one.id for one in await app.history.page(None, search=words)] == [job.id]
    assert f'After step 3: "{NEW}"' in app.images.open(job.images[0].sha256).info["parameters"]
    assert await pixels(app, await repeated(app, job)) == await pixels(app, job)
    varied = await vary(app, job, 1, Asker(job.user_id, job.locale, job.where), is_strong=False)
    assert (varied.prompt, varied.request["steering"]) == (NEW, [])
    await app.jobs.cancel(varied.id, "")
    plain = await ask(app, seed=7, steps=6, guidance=30, expand="off")
    await make_worker(app, AddingExpander()).run(burst=True)
    assert await pixels(app, await app.jobs.get(plain.id)) != await pixels(app, job)


async def test_stop_here_takes_the_picture_as_it_is(app: App) -> None:
    job, executor = await changed(app, lambda job: steering.stop_here(app, job))
    assert (job.status, job.request["stop_after"], job.steps, job.step) == (JobStatus.SUCCEEDED, 4, 4, 4)
    assert len(executor.batches) == 4
    assert await pixels(app, await repeated(app, job)) == await pixels(app, job)


async def test_a_rule_made_meanwhile_ends_the_request(app: App) -> None:
    async def steer(job: Job) -> None:
        assert await app.steering.ask(job.id, NEW, None)
        await app.filters.add(0, "dogs", by=1)

    job, _ = await changed(app, steer)
    assert (job.status, job.reason_code, job.images) == (JobStatus.REFUSED, "filter:change", [])


async def test_a_flagged_change_waits_for_a_moderator(app: App) -> None:
    job, _ = await changed(app, lambda job: _ask(app, job, HoldReason.FLAGGED))
    assert (job.status, job.quarantine) == (JobStatus.SUCCEEDED, HoldReason.FLAGGED)


@pytest.mark.slow
async def test_a_change_after_the_last_step_is_noted(app: App) -> None:
    executor = SlowExecutor(app.settings, 2)
    job = await ask(app, seed=7, steps=6, expand="off")
    async with running(make_worker(app, AddingExpander(), executor)):
        await row(app, job, lambda job: job.step == 2)
        change, executor.change = executor.change, _too_late
        assert change
        await steering.steer(app, await app.jobs.get(job.id), NEW)
        executor.gate.set()
        job = await row(app, job, lambda job: job.is_final)
    assert (job.status, job.request["steering"]) == (JobStatus.SUCCEEDED, [])
    assert job.notes["not_changed"].startswith("That picture has taken its last step")


async def test_a_killed_workers_change_is_painted_again(app: App) -> None:
    job = await ask(app, seed=7, steps=6, guidance=30, expand="off")
    executor = SlowExecutor(app.settings, 2)
    async with running(make_worker(app, AddingExpander(), executor)):
        await row(app, job, lambda job: job.step == 2)
        await steering.steer(app, await app.jobs.get(job.id), NEW)
        executor.pause_after = 2
        executor.gate.set()
        await row(app, job, lambda job: job.step == 4)
        executor.gate.set()
        executor.crashes = 1
        await row(app, job, lambda job: job.attempts == 1 and job.status == JobStatus.QUEUED)
    assert (await app.jobs.get(job.id)).request["steering"] == [[3, NEW]]
    await sql(app, "UPDATE jobs SET not_before = 0")
    await make_worker(app, AddingExpander()).run(burst=True)
    again, expected = await app.jobs.get(job.id), await changed(app, lambda job: steering.steer(app, job, NEW))
    assert again.attempts == 2
    assert await pixels(app, again) == await pixels(app, expected[0])


async def pixels(app: App, job: Job) -> bytes:
    assert job.status == JobStatus.SUCCEEDED, job.reason
    return (await asyncio.to_thread(app.images.open, job.images[0].sha256)).tobytes()


async def _ask(app: App, job: Job, quarantine: HoldReason) -> None:
    assert await app.steering.ask(job.id, NEW, quarantine)


def _too_late(key: str, prompt: str | None) -> None:
    raise BadRequest(TOO_LATE)
