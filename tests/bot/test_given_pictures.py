"""Pictures by file, by a message's link and in a message's menu: for whom, and what is made of them."""

from __future__ import annotations

import io
from typing import Any

import discord
import pytest
import simcord
from sqlalchemy import update

from limner.bot.cogs.message_menus import ADJUST, START, UPSCALE, VARY, WHAT
from limner.bot.errors import BadOption, NotFound, NotYours
from limner.bot.picture_actions import NO_RESTORATION, check_adjust
from limner.bot.reasons import JobKind
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.ui.picture.given_pictures import (
    NO_LINK,
    NO_MEMBER,
    NO_MESSAGE,
    NO_PICTURE,
    NOT_TAKEN,
    ONE_PICTURE,
    UNSEEN,
)
from limner.generators.requests import ADJUSTMENTS, Finish
from tests.other_clients import told
from tests.pictures import png_of
from tests.simulated_discord import World, labels, png, text_of

Result = simcord.InteractionResult


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.using(max_jobs_per_user=50, image_text_model="there/is-one")


def link_of(world: World, message: discord.Message, guild: int | str | None = None) -> str:
    return f"https://discord.com/channels/{guild or world.guild.id}/{message.channel.id}/{message.id}"


async def linked(world: World, who: simcord.MemberActor, link: str, command: str = "upscale", **more: Any) -> Result:
    return await who.slash(world.channel, command, link=link, **more)


async def painted(world: World, count: int = 2) -> Job:
    job = await world.imagine(count=count)
    claimed = next(one for one in await world.app.jobs.claim("painter", capacity=10**6) if one.id == job.id)
    await world.finish(claimed, count=count)
    return await world.delivered(job)


async def ended(world: World) -> str:
    """What the newest request's message says once a worker has done its part."""
    job = await world.newest()
    [claimed] = await world.app.jobs.claim("painter", capacity=10**6)
    await world.finish(claimed, size=(80, 40))
    return text_of(world.message(await world.delivered(job)))


async def test_a_file_is_upscaled_and_enhanced_for_its_member(world: World) -> None:
    made: list[tuple[dict[str, Any], Finish, str]] = [
        ({"times": 4}, Finish(upscale=4), "upscaled to 80x40 · "),
        ({"adjustment": "contrast"}, Finish(adjustments=("contrast",)), "adjusted: contrast · "),
        ({}, Finish(adjustments=ADJUSTMENTS), "adjusted: noise, contrast, colour, sharpness · "),
        ({"adjustment": "double-drawing"}, Finish(adjustments=("double-drawing",)), "adjusted: twice the size · "),
    ]
    for options, finish, fact in made:
        command = "upscale" if "times" in options else "enhance"
        result = await world.ada.slash(world.channel, command, picture=("SPOILER_my fox.png", png((40, 20))), **options)
        job = await world.newest()
        assert (result.ephemeral, job.kind, job.user_id, job.is_of_file) == (False, JobKind.FINISH, world.ada.id, True)
        assert (job.generation.finish, job.generation.size, job.is_spoiler) == (finish, (40, 20), True)
        assert world.app.images.open(job.input_sha256 or "").size == (40, 20)
        if finish.upscale:
            await world.restart()
        said = await ended(world)
        assert said.startswith("**SPOILER\\_my fox.png**\n-# asked by")
        assert f"-# {fact}" in said
        assert "seed" not in said
        assert labels(world.message(await world.newest())) == ["Picture", "Details", "Favourite", "Delete"]


async def test_a_posted_picture_is_given_by_its_link_with_its_number(world: World) -> None:
    first = await painted(world)
    other = world.guild.create_text_channel("other")
    link = link_of(world, world.message(first))
    await world.bob.slash(other, "enhance", link=f"{link} 2", adjustment="sharpen")
    job = await world.newest()
    assert (job.user_id, job.parent_id, job.parent_picture, job.action) == (world.bob.id, first.id, 2, "adjust")
    assert (job.channel_id, job.generation.finish) == (other.id, Finish(adjustments=("sharpen",)))
    await linked(world, world.bob, link, times=4)
    job = await world.newest()
    assert (job.parent_picture, job.action, job.generation.finish) == (1, "upscale", Finish(upscale=4))
    await linked(world, world.bob, link, "describe")
    job = await world.newest()
    assert (job.kind, job.input_sha256) == (JobKind.DESCRIBE, first.images[0].sha256)
    await linked(world, world.bob, f"{link} 2", "imagine", prompt="a blue fox", strength=0.5)
    job = await world.newest()
    assert (job.idea, job.generation.strength, job.input_name) == ("a blue fox", 0.5, f"{first.id}-2.png")
    assert job.generation.init_image == first.images[1].sha256
    assert (job.parent_id, job.parent_picture, job.action) == (first.id, 2, "start")
    await linked(world, world.bob, link, "imagine", prompt="a {blue, green} fox")
    jobs = (await world.app.history.page(None, every_status=True))[:2]
    assert [(job.idea, job.parent_id, job.parent_picture) for job in jobs] == [
        ("a green fox", first.id, 1),
        ("a blue fox", first.id, 1),
    ]


async def test_what_a_member_may_not_read_is_as_if_it_were_not_there(world: World) -> None:
    closed = world.guild.create_text_channel(
        "closed", overwrites={world.ada: discord.PermissionOverwrite(view_channel=False)}
    )
    secret = await world.bot.get_partial_messageable(closed.id).send(file=discord.File(io.BytesIO(png()), "secret.png"))
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("there")
    dan = elsewhere.add_member(world.env.create_user("dan"))
    foreign = await dan.send(channel, "look", attachments=[("a.png", png())])
    missing = f"https://discord.com/channels/{world.guild.id}/{world.channel.id}/123"
    for link in (
        f"https://discord.com/channels/{world.guild.id}/{closed.id}/{secret.id}",
        f"https://discord.com/channels/{world.guild.id}/{closed.id}/124",
        f"https://discord.com/channels/{elsewhere.id}/{channel.id}/{foreign.id}",
        f"https://discord.com/channels/@me/{channel.id}/{foreign.id}",
        missing,
    ):
        for command, more in (("upscale", {}), ("imagine", {"prompt": "a fox"})):
            assert told(await linked(world, world.ada, link, command, **more)) == NO_MESSAGE, link
    assert await world.app.history.count(None, every_status=True) == 0


async def test_links_that_lead_to_no_picture_get_one_sentence(world: World) -> None:
    words = await world.ada.send(world.channel, "just words")
    bots = await world.bot.get_partial_messageable(world.channel.id).send("hello")
    wrong = {"https://example.com/1": NO_LINK, link_of(world, words): UNSEEN, link_of(world, bots): NO_PICTURE}
    for link, sentence in wrong.items():
        assert told(await linked(world, world.ada, link)) == sentence
    assert told(await world.ada.slash(world.channel, "upscale")) == ONE_PICTURE
    both = {"link": link_of(world, words), "image": ("a.png", png())}
    answer = await world.ada.slash(world.channel, "imagine", prompt="a long idea about a fox", **both)
    assert told(answer).startswith(ONE_PICTURE)
    first = await painted(world)
    link = link_of(world, world.message(first))
    assert told(await linked(world, world.ada, f"{link} 7")) == "That picture was deleted; choose another one."
    async with world.app.database.begin() as session:
        await session.execute(update(Job).values(is_private=True))
    assert told(await linked(world, world.bob, link)) == str(NotYours())
    await world.app.history.delete(first.id)
    assert told(await linked(world, world.bob, link)) == str(NotFound())
    assert await world.app.history.count(None, every_status=True) == 0


async def test_a_wrong_link_comes_back_in_the_form(world: World) -> None:
    answer = await world.ada.slash(world.channel, "imagine", prompt="a long idea about a fox", link="wrong")
    assert told(answer).startswith(NO_LINK)
    assert answer.response
    form = await world.ada.click(answer.response, label="Change it")
    first = await painted(world, 1)
    options = f"link: {link_of(world, world.message(first))}"
    await world.ada.submit_modal(form, {"prompt": "a long idea about a fox", "negative": "", "options": options})
    assert (await world.newest()).generation.init_image == first.images[0].sha256


async def test_others_files_need_their_authors_consent(world: World) -> None:
    message = await world.ada.send(world.channel, "look", attachments=[("my fox.png", png((40, 20)))])
    robot = world.guild.add_member(world.env.create_user("robot", bot=True))
    foreign = await robot.send(world.channel, "look", attachments=[("a.png", png())])

    async def refused() -> None:
        for menu in (START, VARY, UPSCALE, ADJUST):
            for given in (message, foreign):
                assert told(await world.bob.context_menu(world.channel, menu, given)) == NOT_TAKEN
        assert told(await linked(world, world.bob, link_of(world, message))) == NOT_TAKEN

    await refused()
    answer = await world.ada.slash(world.channel, "uploads", others="allowed")
    assert told(answer).startswith("Others may start from your avatar")
    await world.restart()
    for number, menu in enumerate((VARY, UPSCALE, ADJUST), 1):
        assert not (await world.bob.context_menu(world.channel, menu, message)).ephemeral
        job = await world.newest()
        assert (job.id, job.user_id, job.input_name) == (number, world.bob.id, "my fox.png")
        assert job.kind == (JobKind.PAINT if menu == VARY else JobKind.FINISH)
    assert not (await linked(world, world.bob, link_of(world, message))).ephemeral
    await world.ada.slash(world.channel, "uploads", others="refused")
    await world.ada.slash(world.channel, "expand", default="off")
    await refused()


async def test_an_avatar_is_given_by_its_members_mention_with_their_consent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent(url: str) -> bytes | None:
        return png((40, 20)) if "avatars" in url else None

    monkeypatch.setattr(world.env.backend.cdn, "get", sent)
    mention, rows = f"<@{world.ada.id}>", 0
    for who, is_allowed in ((world.ada, False), (world.bob, False), (world.bob, True)):
        if is_allowed:
            await world.ada.slash(world.channel, "uploads", others="allowed")
            await world.restart()
        for command, more in (("upscale", {}), ("imagine", {"prompt": "a fox"})):
            answer = await linked(world, who, mention, command, **more)
            if who is world.bob and not is_allowed:
                assert told(answer).startswith(NOT_TAKEN)
                continue
            rows += 1
            job = await world.newest()
            assert (answer.ephemeral, job.id, job.user_id, job.input_name) == (False, rows, who.id, "avatar.png")
            assert world.app.images.open(job.input_sha256 or "").size == (40, 20)
    assert told(await linked(world, world.bob, "<@123>")) == NO_MEMBER


async def test_a_varied_file_is_painted_without_words(world: World) -> None:
    message = await world.ada.send(world.channel, "look", attachments=[("my fox.png", png((40, 20)))])
    await world.ada.context_menu(world.channel, VARY, message)
    job = await world.newest()
    card = world.settings.default_card
    assert (job.idea, job.expand, job.generation.strength) == ("", "off", card.subtle_strength)
    assert job.generation.size == card.size((40, 20))
    assert (await ended(world)).startswith("**my fox.png**\n-# asked by")


async def test_menus_offer_what_is_made_of_each_picture(world: World) -> None:
    first = await painted(world)
    offered = {VARY: ("Vary subtle", "Vary strong"), UPSCALE: ("Upscale 2x", "Upscale 4x"), ADJUST: ("Adjust",)}
    for menu, names in offered.items():
        shown = await world.bob.context_menu(world.channel, menu, world.message(first))
        assert (told(shown), shown.ephemeral) == (WHAT, True)
        assert shown.response
        assert labels(shown.response.message) == [f"{number} · {name}" for number in (1, 2) for name in names]
        if menu == UPSCALE:
            await world.restart()
        await world.bob.click(shown.response, label=f"2 · {names[-1]}")
        job = await world.newest()
        assert (job.user_id, job.parent_id, job.parent_picture) == (world.bob.id, first.id, 2)
    single = await painted(world, 1)
    assert not (await world.bob.context_menu(world.channel, ADJUST, world.message(single))).ephemeral
    assert (await world.newest()).action == "adjust"
    await world.app.guilds.change(world.guild.id, world.grace.id, shares_pictures=False)
    for menu in offered:
        assert told(await world.bob.context_menu(world.channel, menu, world.message(first))) == str(NotYours())


async def test_a_file_that_is_too_large_or_none_leaves_nothing(world: World) -> None:
    wide = ("wide.png", png((1100, 1100)))
    answer = await world.ada.slash(world.channel, "upscale", picture=wide, times=4)
    assert told(answer) == "That picture is as large as pictures get here."
    with pytest.raises(BadOption, match="as large as pictures get here"):
        check_adjust(world.app.settings, (2100, 2100), ["double-drawing"])
    vars(world.app.settings)["restoration_model"] = ""
    answer = await world.ada.slash(world.channel, "enhance", picture=wide, adjustment="denoise-drawing")
    assert told(answer) == NO_RESTORATION
    for data, sentence in ((b"none", "That file is not a picture"), (png_of(9000, 9000), "That picture has over")):
        assert told(await world.ada.slash(world.channel, "enhance", picture=("a.png", data))).startswith(sentence)
    assert await world.app.history.count(None, every_status=True) == 0
