"""Start from this, Details and Reuse settings in a message's menu: for whom, of which messages, after a restart."""

from __future__ import annotations

from typing import Any

import discord
import pytest
import simcord
from sqlalchemy import update

from limner.bot.cogs.message_menus import DETAILS, NO_REQUEST, NO_SETTINGS, REUSE, START, WHICH
from limner.bot.errors import NotFound, NotYours
from limner.bot.storage.pictures.decoder import KIND
from limner.bot.storage.tables.asking_tables import PendingAsk
from limner.bot.storage.tables.models import Job
from limner.bot.ui.picture.given_pictures import NO_PICTURE, NOT_TAKEN
from limner.bot.ui.request.asking import DONE, GoButton
from limner.bot.ui.request.imagine_form import USED
from limner.bot.ui.uploads import LOST
from tests.other_clients import fill, told
from tests.pictures import png_of, two_frames
from tests.simulated_discord import World, labels, png, slow_uploads


async def menu(
    world: World, who: simcord.MemberActor, name: str, message: discord.Message
) -> simcord.InteractionResult:
    return await who.context_menu(world.channel, name, message)


def held(shown: simcord.InteractionResult) -> dict[str, Any]:
    """What an opened form's fields hold."""
    assert shown.modal
    parts = [label["component"] for label in shown.modal["components"]]
    return {part["custom_id"]: part.get("value", "") for part in parts}


async def upload(world: World, data: bytes | None = None, name: str = "my fox.png") -> discord.Message:
    """A message of ada's with a picture."""
    return await world.ada.send(world.channel, "look", attachments=[("a.txt", b"words"), (name, data or png((40, 20)))])


async def no_job(world: World) -> bool:
    return await world.app.history.count(None, every_status=True) == 0


async def test_a_members_own_upload_is_a_start_after_a_restart_and_once(world: World) -> None:
    message = await upload(world, name="SPOILER_fox.png")
    shown, twice = [await menu(world, world.ada, START, message) for _ in range(2)]
    assert held(shown) == {"prompt": "", "negative": "", "options": "strength: 0.6"}
    await world.restart()
    values = {"prompt": "a blue fox --seed 7", "negative": "fog", "options": "strength: 0.4"}
    answer = await world.ada.submit_modal(shown, values)
    assert not answer.ephemeral
    job = await world.newest()
    request = job.generation
    assert (job.idea, job.user_id, job.input_name, job.is_spoiler) == (
        "a blue fox",
        world.ada.id,
        "SPOILER_fox.png",
        True,
    )
    assert (request.seed, request.strength, request.init_image) == (7, 0.4, job.input_sha256)
    assert world.app.images.open(job.input_sha256 or "").size == (40, 20)

    assert shown.modal
    again = await fill(world, world.ada, world.channel.id, shown.modal["custom_id"], **values)
    assert told(again) == USED
    assert (await world.newest()).id == job.id
    await world.ada.submit_modal(twice, values)
    assert (await world.newest()).id == job.id + 1
    async with world.app.database.begin() as session:
        assert not (await session.scalars(PendingAsk.__table__.select())).all()


async def test_what_is_wrong_in_the_form_comes_back_and_the_picture_stays(world: World) -> None:
    shown = await menu(world, world.ada, START, await upload(world))
    answer = await world.ada.submit_modal(shown, {"prompt": "a blue fox --chaos 5", "negative": "", "options": ""})
    assert "--chaos is not a flag here" in told(answer)
    assert answer.response
    assert await no_job(world)
    again = await world.ada.click(answer.response, label="Change it")
    assert held(again)["prompt"] == "a blue fox --chaos 5"
    await world.ada.submit_modal(again, {**held(again), "prompt": "a blue fox"})
    assert (await world.newest()).input_name == "my fox.png"


async def test_a_private_request_from_an_upload_shows_the_channel_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_uploads(monkeypatch)
    shown = await menu(world, world.ada, START, await upload(world))
    answer = await world.ada.submit_modal(shown, {"prompt": "a blue fox --private", "negative": "", "options": ""})
    assert (answer.ephemeral, (await world.newest()).is_private) == (True, True)
    assert [message.content for message in world.channel.history() if not message.flags.ephemeral] == ["look"]


async def test_the_row_of_an_upload_is_no_request_and_no_other_members(world: World) -> None:
    shown = await menu(world, world.ada, START, await upload(world))
    assert shown.modal
    number = int(shown.modal["custom_id"].rpartition(":")[2])
    assert await world.app.pending.get(number, world.bob.id) is None
    view = discord.ui.View(timeout=None).add_item(GoButton("go", number))
    forged = await world.bot.get_partial_messageable(world.channel.id).send(view=view)
    for who in (world.bob, world.ada):
        answer = await who.click(forged, custom_id=f"limner:several:go:{number}")
        assert answer.ephemeral
        assert (told(answer) == DONE) == (who is world.bob)
    assert await no_job(world)
    assert await world.app.pending.get(number, world.ada.id)


async def test_an_animation_is_a_start_with_its_first_frame(world: World) -> None:
    shown = await menu(world, world.ada, START, await upload(world, two_frames("GIF"), "moving.gif"))
    await world.ada.submit_modal(shown, {"prompt": "a fox", "negative": "", "options": ""})
    stored = world.app.images.open((await world.newest()).input_sha256 or "")
    assert stored.getpixel((30, 20)) != (0, 0, 255)  # the second frame


async def test_messages_without_a_usable_picture_get_one_sentence(world: World) -> None:
    words = await world.ada.send(world.channel, "just words")
    assert told(await menu(world, world.ada, START, words)) == NO_PICTURE
    assert told(await menu(world, world.bob, START, await upload(world))) == NOT_TAKEN
    bots = await world.bot.get_partial_messageable(world.channel.id).send("hello")
    assert told(await menu(world, world.ada, START, bots)) == NO_PICTURE
    for name in (DETAILS, REUSE):
        for message in (words, bots, await upload(world)):
            assert told(await menu(world, world.ada, name, message)) == NO_REQUEST
    vars(world.app.settings)["max_input_bytes"] = 10
    assert "MB" in told(await menu(world, world.ada, START, await upload(world)))
    assert await no_job(world)


async def test_a_file_that_is_no_picture_or_gone_gets_one_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"prompt": "a fox", "negative": "", "options": ""}
    for data, sentence in ((b"not a picture", KIND), (png_of(20_000, 20_000), "That picture has over ")):
        shown = await menu(world, world.ada, START, await upload(world, data))
        assert told(await world.ada.submit_modal(shown, values)).startswith(sentence)
    deleted = await upload(world)
    shown = await menu(world, world.ada, START, deleted)
    # As Discord does with a deleted message's files; SimCord keeps them.
    monkeypatch.delitem(vars(world.env.backend.cdn)["_blobs"], deleted.attachments[1].url)
    assert told(await world.ada.submit_modal(shown, values)) == LOST
    assert await no_job(world)


async def test_a_result_is_a_start_for_all_who_see_it(world: World) -> None:
    job = await world.painted(seed=5)
    message = world.message(job)
    for who in (world.ada, world.bob):
        shown = await menu(world, who, START, message)
        await world.restart()
        await who.submit_modal(shown, {**held(shown), "idea": "a blue fox"})
        made = await world.newest()
        assert (made.user_id, made.parent_id, made.parent_picture, made.idea) == (who.id, job.id, 1, "a blue fox")
        assert made.generation.init_image == job.images[0].sha256
    await world.app.guilds.change(world.guild.id, world.grace.id, shares_pictures=False)
    assert told(await menu(world, world.bob, START, message)) == str(NotYours())


async def test_of_several_pictures_one_is_chosen(world: World) -> None:
    job = await world.imagine(count=3)
    [claimed] = await world.app.jobs.claim("painter", capacity=100)
    await world.finish(claimed, count=3)
    job = await world.delivered(job)
    choice = await menu(world, world.bob, START, world.message(job))
    assert (told(choice), choice.ephemeral) == (WHICH, True)
    assert choice.response
    assert labels(choice.response.message) == ["1", "2", "3"]
    await world.restart()
    shown = await world.bob.click(choice.response, label="3")
    await world.bob.submit_modal(shown, held(shown))
    assert (await world.newest()).parent_picture == 3


async def test_settings_are_reused_by_all_who_see_the_pictures(world: World) -> None:
    given: dict[str, Any] = {
        "negative": "fog",
        "aspect": "3:2",
        "guidance": 2.5,
        "style": "noir",
        "seed": 11,
        "steps": 4,
    }
    job = await world.painted("a red fox --sharpen 1.5", **given)
    for who in (world.ada, world.bob):
        shown = await menu(world, who, REUSE, world.message(job))
        assert (held(shown)["prompt"], held(shown)["negative"]) == ("a red fox", "fog")
        await world.restart()
        await who.submit_modal(shown, held(shown))
        made = await world.newest()
        assert (made.user_id, made.style, made.generation) == (who.id, job.style, job.generation)
    assert made.id == job.id + 2


@pytest.mark.slow
async def test_the_start_picture_of_a_request_is_not_among_its_settings(world: World) -> None:
    job = await world.painted(image=("my fox.png", png()), strength=0.5)
    shown = await menu(world, world.bob, REUSE, world.message(job))
    assert not {"image", "strength"} & {line.partition(":")[0] for line in held(shown)["options"].splitlines()}
    await world.bob.submit_modal(shown, held(shown))
    assert (await world.newest()).generation.init_image is None

    for who, is_told in ((world.ada, True), (world.bob, False)):
        result = await menu(world, who, DETAILS, world.message(job))
        assert result.response
        assert result.ephemeral
        assert ("my fox" in str(result.response.embeds[0].to_dict())) == is_told


async def test_what_is_not_public_is_its_owners(world: World) -> None:
    job = await world.painted()
    message = world.message(job)
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Details", custom_id=f"limner:details:{job.id}"))
    button = await world.bot.get_partial_messageable(world.channel.id).send(view=view)
    public: dict[str, Any] = {"is_private": False, "quarantine": None, "status": "succeeded"}
    changes: list[dict[str, Any]] = [{"is_private": True}, {"quarantine": "flagged"}, {"status": "refused"}]
    for changed in changes:
        async with world.app.database.begin() as session:
            await session.execute(update(Job).where(Job.id == job.id).values(public | changed))
        for name in (DETAILS, REUSE):
            for who in (world.bob, world.grace):
                assert told(await menu(world, who, name, message)) == str(NotYours()), changed
        assert told(await world.bob.click(button, label="Details")) == str(NotYours()), changed
        assert (await menu(world, world.ada, REUSE, message)).modal
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(public))
    assert (await menu(world, world.bob, REUSE, message)).modal


async def test_a_deleted_request_and_a_description_have_no_settings(world: World) -> None:
    job = await world.painted()
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(kind="describe"))
    assert told(await menu(world, world.ada, REUSE, world.message(job))) == NO_SETTINGS
    assert told(await menu(world, world.ada, START, world.message(job))) == NO_PICTURE
    await world.app.history.delete(job.id)
    for name in (START, DETAILS, REUSE):
        assert told(await menu(world, world.ada, name, world.message(job))) == str(NotFound())
