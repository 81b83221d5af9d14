"""A picture that was given hidden behind a click stays so wherever its pixels, or words about it, are shown again."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from limner.bot.cogs.describe import MENU
from limner.bot.queue.endings import StoredPicture
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.generators.base import Expansion
from tests.rows import put_restyler, seen
from tests.simulated_discord import World, png, text_of

WORDS = "a red fox"
HIDDEN, OPEN = "SPOILER_fox.png", "fox.png"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With a model that changes pictures, and an image-text model."""
    models = {**settings.models, "ink": put_restyler(tmp_path / "ink")}
    return settings.using(models=models, image_text_model="there/is-one")


def is_hidden(message: discord.Message) -> bool:
    [file] = message.attachments
    return file.is_spoiler()


async def shown(world: World, job: Job) -> Job:
    """A worker's part, and the delivery."""
    claimed = await world.claim()
    assert claimed.id == job.id
    added = Expansion(f"{WORDS}, snow", "snow", (), "", 0.1)
    await world.app.jobs.save_expansion(claimed, added, added.text)
    if job.kind == "describe":
        picture = StoredPicture(job.input_sha256 or "", 16, 16, 10, 0, seen())
        assert await world.app.jobs.finish(claimed, [picture], seconds=0.1, busy_seconds=0.0)
    else:
        await world.finish(claimed)
    return await world.delivered(job)


async def pressed(world: World, job: Job, label: str) -> Job:
    assert not (await world.ada.click(world.message(job), label=label)).ephemeral
    return await shown(world, await world.newest())


@pytest.mark.parametrize("name", [HIDDEN, pytest.param(OPEN, marks=pytest.mark.slow)])
async def test_a_picture_to_start_from(world: World, name: str) -> None:
    job = await shown(world, await world.imagine(WORDS, image=(name, png((64, 48)))))
    assert is_hidden(world.message(job)) == (name == HIDDEN)
    for label in ("Upscale", "Reroll", "Raw", "Restyle"):
        assert is_hidden(world.message(await pressed(world, job, label))) == (name == HIDDEN), label
    form = await world.ada.click(world.message(job), label="Remix")
    await world.ada.submit_modal(form, {"idea": "a red fox in the snow"})
    assert is_hidden(world.message(await shown(world, await world.newest()))) == (name == HIDDEN)
    opened = await world.ada.slash(world.channel, "history", id=job.id)
    assert opened.response
    assert is_hidden(opened.response.message) == (name == HIDDEN)
    await world.ada.click(opened.response.message, label="Repeat")
    assert is_hidden(world.message(await shown(world, await world.newest()))) == (name == HIDDEN)
    page = await world.ada.slash(world.channel, "history")
    assert page.response
    assert {file.is_spoiler() for file in page.response.attachments} == {name == HIDDEN}


@pytest.mark.parametrize(
    ("is_menu", "name"),
    [(True, HIDDEN), (False, HIDDEN), *(pytest.param(menu, OPEN, marks=pytest.mark.slow) for menu in (True, False))],
)
async def test_a_picture_that_is_described(world: World, name: str, is_menu: bool) -> None:
    if is_menu:
        await world.bob.slash(world.channel, "uploads", others="allowed")
        message = await world.bob.send(world.channel, "look", attachments=[(name, png((64, 48)))])
        await world.ada.context_menu(world.channel, MENU, message)
    else:
        await world.ada.slash(world.channel, "describe", picture=(name, png((64, 48))))
    job = await shown(world, await world.newest())
    message = world.message(job)
    assert is_hidden(message) == (name == HIDDEN)
    assert ("||a red fox, snow||" in text_of(message)) == (name == HIDDEN)
    for label in ("Paint this", "Restyle"):
        assert is_hidden(world.message(await pressed(world, job, label))) == (name == HIDDEN), label


async def test_what_a_rule_has_hidden_stays_so_when_it_is_made_larger_or_changed(world: World) -> None:
    rule = await world.app.filters.add(world.guild.id, "fox", 1, action="spoiler")
    job = await shown(world, await world.imagine(WORDS))
    await world.app.filters.remove(world.guild.id, rule.id, 1)
    for label, hidden in (("Upscale", True), ("Restyle", True), ("Reroll", False)):
        assert is_hidden(world.message(await pressed(world, job, label))) == hidden, label


async def test_a_refusal_does_not_forget_it(world: World) -> None:
    await world.app.filters.add(world.guild.id, "cow", 1)
    await world.refused("a cow", image=(HIDDEN, png((64, 48))))
    assert (await world.newest()).is_spoiler
