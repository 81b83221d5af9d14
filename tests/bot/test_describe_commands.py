"""/describe and its menu entry: a picture comes in, words go out, and a button paints them."""

import pytest
import simcord

from limner.bot.cogs.describe import MENU
from limner.bot.errors import CannotDescribe
from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.pictures.decoder import KIND
from limner.bot.storage.tables.models import Job
from limner.bot.ui.picture.given_pictures import NO_PICTURE, NOT_TAKEN
from limner.generators.base import Expansion
from tests.rows import seen
from tests.simulated_discord import World, labels, png, text_of

WORDS = "a *red* fox in the snow"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.using(image_text_model="there/is-one")


async def described(world: World, job: Job) -> Job:
    """A worker's part, and the delivery."""
    job = await world.claim()
    await world.app.jobs.save_expansion(job, Expansion(WORDS, "", (), "", 0.1), WORDS)
    picture = StoredPicture(job.input_sha256 or "", 16, 16, 10, 0, seen())
    assert await world.app.jobs.finish(job, [picture], seconds=0.1, busy_seconds=0.0)
    return await world.delivered(job)


def private(result: simcord.InteractionResult) -> str:
    assert result.response
    assert result.ephemeral
    return result.response.content


async def test_a_picture_becomes_words_with_a_button_that_paints_them(world: World) -> None:
    result = await world.ada.slash(world.channel, "describe", picture=("fox.png", png((40, 20))))
    assert result.response
    assert not result.ephemeral
    job = await world.newest()
    assert (job.kind, job.input_name, job.status) == ("describe", "fox.png", JobStatus.QUEUED)
    assert world.app.images.open(job.input_sha256 or "").size == (40, 20)

    job = await described(world, job)
    message = world.message(job)
    assert text_of(message) == "**fox.png**\na \\*red\\* fox in the snow"
    assert labels(message) == ["Paint this", "Delete"]
    assert [file.filename for file in message.attachments] == [f"limner-{job.id}-1.png"]

    await world.restart()
    await world.ada.click(world.message(job), custom_id=f"limner:paint:{job.id}")
    painting = await world.newest()
    assert (painting.idea, painting.kind, painting.parent_id) == (WORDS, "paint", job.id)


async def test_the_menu_of_a_message_describes_its_first_picture(world: World) -> None:
    message = await world.bob.send(world.channel, "look", attachments=[("a.txt", b"words"), ("b.png", png())])
    assert private(await world.ada.context_menu(world.channel, MENU, message)) == NOT_TAKEN
    await world.bob.slash(world.channel, "uploads", others="allowed")
    result = await world.ada.context_menu(world.channel, MENU, message)
    assert not result.ephemeral
    assert (await world.newest()).input_name == "b.png"

    nothing = await world.bob.send(world.channel, "just words")
    assert private(await world.ada.context_menu(world.channel, MENU, nothing)) == NO_PICTURE


async def test_what_cannot_be_described_is_refused_privately(world: World) -> None:
    """What is no picture, a file whose name has forbidden words, and all if no model describes pictures."""
    result = await world.ada.slash(world.channel, "describe", picture=("fox.png", b"not a picture"))
    assert private(result) == KIND
    assert await world.app.history.count(None, every_status=True) == 0
    await world.app.filters.add(world.guild.id, "naughty", world.grace.id)
    result = await world.ada.slash(world.channel, "describe", picture=("naughty.png", png()))
    assert private(result).startswith("The file name has words that are not allowed here")
    assert (await world.newest()).status == JobStatus.REFUSED
    vars(world.app.settings)["image_text_model"] = ""
    result = await world.ada.slash(world.channel, "describe", picture=("fox.png", png()))
    assert private(result) == str(CannotDescribe())
    assert await world.app.history.count(None, every_status=True) == 1


async def test_finished_pictures_can_be_made_larger_by_their_owner(world: World) -> None:
    job = await world.painted(seed=5)
    assert labels(world.message(job)) == ["Picture", "Reroll", "Remix", "Upscale", "Details", "Favourite", "Delete"]
    refused = await world.bob.click(world.message(job), custom_id=f"limner:upscale:{job.id}")
    assert private(refused)
    await world.ada.click(world.message(job), custom_id=f"limner:upscale:{job.id}")
    larger = await world.newest()
    assert (larger.kind, larger.parent_id, larger.generation.seed) == ("finish", job.id, 5)
    assert larger.generation.finish
    assert larger.generation.finish.upscale == 2

    await world.finish(await world.claim(), size=(512, 512))
    larger = await world.delivered(larger)
    assert text_of(world.message(larger)).startswith(
        f"**a red fox**\n-# upscale of request 1 by <@{world.ada.id}>\n-# upscaled to 512x512 · seed 5 · "
    )
    result = await world.ada.click(world.message(larger), custom_id=f"limner:details:{larger.id}")
    assert result.response
    fields = {field.name: field.value for field in result.response.embeds[0].fields}
    assert (fields["Size"], fields["Upscaled from"]) == ("512x512, painted as 256x256", f"request {job.id}")


async def test_details_tell_how_near_a_picture_came(world: World) -> None:
    world.app.settings.candidates["doodle"] = "4"
    await world.imagine()
    job = await world.claim()
    data = png()
    near = StoredPicture(world.app.images.save(data), 16, 16, len(data), 9, seen(), nearness=0.314)
    assert await world.app.jobs.finish(job, [near], seconds=1.0, busy_seconds=1.0)
    job = await world.delivered(job)
    result = await world.ada.click(world.message(job), custom_id=f"limner:details:{job.id}")
    assert result.response
    fields = {field.name: field.value for field in result.response.embeds[0].fields}
    assert fields["Likeness to the idea"] == "0.31 · best of 4"
    assert "seed 9" in text_of(world.message(job))
