"""/history as a member sees it: pages of pictures, filters, opening and repeating; for nobody else."""

from __future__ import annotations

import io
import random

import discord
import pytest
import simcord
from PIL import Image
from simcord import ResponseMessage
from sqlalchemy import update

from limner.bot.cogs import message_menus
from limner.bot.cogs.history import ONE_REQUEST
from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import JobStatus
from limner.bot.storage.history.gallery import Key
from limner.bot.storage.tables.models import Job
from limner.bot.styles import Styles
from limner.bot.ui.picture import opened
from limner.bot.ui.picture.browsing import Browsing
from limner.bot.ui.picture.card import NO_REQUEST
from limner.bot.ui.picture.gallery import FILE_GONE, NO_MORE, NOTHING_FOUND, NOTHING_HERE, NOTHING_YET, PAGE, TurnButton
from limner.bot.ui.picture.opened import MISSING
from tests.rows import seen
from tests.simulated_discord import World, labels, offered, text_of


async def shown(world: World, who: simcord.MemberActor | None = None, **options: object) -> ResponseMessage:
    """What /history answers; nobody else sees it."""
    result = await (who or world.ada).slash(world.channel, "history", **options)
    assert result.ephemeral
    assert result.response
    return result.response


async def pressed(world: World, message: ResponseMessage, label: str) -> ResponseMessage:
    result = await world.ada.click(message, label=label)
    assert result.response
    return result.response


async def paint(world: World, *prompts: str, who: simcord.MemberActor | None = None, count: int = 1) -> list[Job]:
    """Requests that are painted; they need not be posted to be in the history."""
    for prompt in prompts:
        await world.imagine(prompt, who, count=count)
        await world.finish(await world.claim(), count=count)
    return list(reversed(await world.app.history.page(None, limit=len(prompts))))


async def test_without_pictures_it_says_how_to_begin(world: World) -> None:
    assert (await shown(world)).content == NOTHING_YET


async def test_pages_show_nine_pictures_from_the_newest_and_stand_still(world: World) -> None:
    jobs = await paint(world, *(f"fox number {number}" for number in range(3)), count=4)

    first = await shown(world)

    newest, middle, oldest = (job.id for job in reversed(jobs))
    page = [(newest, 1), (newest, 2), (newest, 3), (newest, 4), *((middle, n) for n in (1, 2, 3, 4)), (oldest, 1)]
    assert offered(first.message) == [f"{job}:{number}" for job, number in page]
    assert [file.filename for file in first.attachments] == [f"limner-{job}-{number}.webp" for job, number in page]
    assert "fox number 2" in text_of(first.message)
    assert labels(first.message) == ["Next"]

    await paint(world, "a newer one")
    await world.restart()
    last = await pressed(world, first, "Next")

    assert offered(last.message) == [f"{oldest}:{number}" for number in (2, 3, 4)]
    assert labels(last.message) == ["Back", "Beginning"]
    assert offered((await pressed(world, last, "Back")).message) == [f"{job}:{number}" for job, number in page]
    assert len(offered((await pressed(world, last, "Beginning")).message)) == PAGE
    assert offered((await shown(world, oldest=True)).message)[:2] == [f"{oldest}:1", f"{oldest}:2"]


async def test_everybody_sees_only_their_own(world: World) -> None:
    [job] = await paint(world, "ada's fox")

    assert (await shown(world, world.bob)).content == NOTHING_YET
    assert "Only the person who asked" in (await shown(world, world.bob, id=job.id)).content
    assert "not there any more" in (await shown(world, id=job.id + 1)).content


async def test_filters_go_with_the_buttons_and_over_a_restart(world: World) -> None:
    await paint(world, "fox 0")
    await paint(world, *(f"fox {number}" for number in range(1, 4)), count=PAGE // 3)
    await paint(world, "a whale | *bold*", "夕阳下的海滩 fox")

    assert "**\\*bold\\* \\|**" in text_of((await shown(world, search="*bold* |")).message)
    assert len(offered((await shown(world, search="海滩")).message)) == 1
    assert (await shown(world, search='"fox 3" OR')).content == NOTHING_FOUND
    assert (await shown(world, model="gone")).content == NOTHING_FOUND
    assert "All filters together" in (await shown(world, search="w" * 50, style="s" * 30)).content
    first = await shown(world, search="fox", model="doodle")
    assert len(offered(first.message)) == PAGE
    await world.restart()

    last = await pressed(world, first, "Next")

    assert len(offered(last.message)) == 2
    assert "fox 0" in text_of(last.message)


async def test_favourites_are_those_of_ones_own_that_one_starred(world: World) -> None:
    [own, other] = await paint(world, "a fox", "a whale", count=3)
    [others] = await paint(world, "a fox", who=world.bob)
    for image in (own.images[1], other.images[0], others.images[0]):
        await world.app.favourites.star(world.ada.id, image.id)
    await world.app.favourites.star(world.bob.id, own.images[2].id)

    assert offered((await shown(world, favourites=True)).message) == [f"{other.id}:1", f"{own.id}:2"]
    assert offered((await shown(world, favourites=True, search="fox")).message) == [f"{own.id}:2"]
    assert offered((await shown(world, favourites=True, search="fox", oldest=True)).message) == [f"{own.id}:2"]
    assert offered((await shown(world, favourites=True, model="doodle")).message) == [f"{other.id}:1", f"{own.id}:2"]
    assert (await shown(world, favourites=True, model="gone")).content == NOTHING_FOUND


def test_names_of_filters_are_escaped_in_the_heading() -> None:
    filters = Browsing("**fox", "**doodle", "noir", "*ink*", is_favourite=True)
    assert filters.heading(Styles.load()) == r"Your pictures: **\*\*fox**, \*\*doodle, Film noir, \*ink\*, favourites"
    assert Browsing.unpacked(filters.packed) == filters


async def test_a_button_with_numbers_that_no_page_writes_finds_what_there_is(world: World) -> None:
    [job] = await paint(world, "a fox")
    large = "f" * 16
    for place in (large, f".2cc0a2.{large * 3}"):
        button = TurnButton("Next", "n", Key(0, 0), f"+{place}||||")
        view = discord.ui.View(timeout=None).add_item(button)
        forged = await world.bot.get_partial_messageable(world.channel.id).send(view=view)
        result = await world.ada.click(forged, custom_id=button.item.custom_id)
        assert result.response
        assert offered(result.response.message) == [f"{job.id}:1"]


async def test_a_page_that_is_empty_by_now_says_so(world: World) -> None:
    [oldest] = await paint(world, "a fox")
    await paint(world, *(f"fox number {number}" for number in range(3)), count=PAGE // 3)
    first = await shown(world)
    await world.app.history.delete(oldest.id)

    result = await world.ada.click(first, label="Next")

    assert [message.content for message in result.followups] == [NO_MORE]


async def test_a_picture_opens_with_all_of_its_request_and_its_relatives(world: World) -> None:
    [job] = await paint(world, "a fox", count=3)
    page = await shown(world)

    result = await world.ada.select(page, values=[f"{job.id}:2"])

    assert result.response
    assert result.ephemeral
    card = result.response
    assert [file.filename for file in card.attachments] == [f"limner-{job.id}-{n}.png" for n in (1, 2, 3)]
    assert {file.description for file in card.attachments} == {"a fox. Generated by AI."}
    assert card.embeds[0].title == f"Request {job.id}: succeeded"
    assert labels(card.message) == ["1", "2", "3", "Favourite", "Repeat"]

    await world.ada.click(card, label="Repeat")
    again = await world.newest()

    assert (again.id, again.parent_id, again.status) == (job.id + 1, job.id, JobStatus.QUEUED)
    assert again.generation == job.generation
    assert labels((await shown(world, id=job.id)).message) == [
        "1",
        "2",
        "3",
        "Favourite",
        "Repeat",
        "Family",
        f"Became {again.id}",
    ]
    child = await shown(world, id=again.id)
    assert labels(child.message) == ["Repeat", "Family", f"Made of {job.id}"]
    assert (await pressed(world, child, f"Made of {job.id}")).embeds[0].title == f"Request {job.id}: succeeded"


async def test_a_removed_file_is_told_and_the_rest_is_shown(world: World) -> None:
    [job] = await paint(world, "a fox", count=2)
    world.app.images.delete(job.images[0].sha256)

    page, card = await shown(world), await shown(world, id=job.id)

    assert FILE_GONE in text_of(page.message)
    assert len(page.attachments) == 1
    assert card.content.startswith(MISSING)
    assert len(card.attachments) == 1


async def test_a_picture_larger_than_discord_takes_is_sent_smaller(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = io.BytesIO()
    Image.frombytes("RGB", (64, 64), random.Random(7).randbytes(64 * 64 * 3)).save(noise, "PNG")
    await world.imagine("noise")
    picture = StoredPicture(world.app.images.save(noise.getvalue()), 64, 64, noise.tell(), 7, seen())
    await world.app.jobs.finish(await world.claim(), [picture], seconds=1, busy_seconds=1)
    monkeypatch.setattr(opened, "MESSAGE_BYTES", 6000)

    card = await shown(world, id=(await world.newest()).id)

    assert card.attachments[0].filename.endswith(".jpg")
    assert card.attachments[0].size <= 6000


async def test_filters_by_channel_and_day_go_with_the_buttons(world: World) -> None:
    other = world.guild.create_text_channel("other")
    [here] = await paint(world, "a fox here")
    await world.ada.slash(other, "imagine", prompt="a fox there")
    await world.finish(await world.claim())
    there = await world.newest()
    await paint(world, *(f"a later fox {number}" for number in range(3)), count=PAGE // 3)
    async with world.app.database.begin() as session:
        for job, day in ((here, 1), (there, 2)):
            await session.execute(update(Job).where(Job.id == job.id).values(created_at=1.7e9 + 86_400 * day))

    in_other = await shown(world, channel=other)
    assert offered(in_other.message) == [f"{there.id}:1"]
    assert f"Your pictures: <#{other.id}>" in text_of(in_other.message)
    assert offered((await shown(world, until="2023-11-15")).message) == [f"{here.id}:1"]
    assert offered((await shown(world, since="2023-11-16", until="2023-11-16")).message) == [f"{there.id}:1"]
    assert "is not a date" in (await shown(world, since="yesterday")).content
    assert "first day is after" in (await shown(world, since="2023-11-16", until="2023-11-15")).content
    first = await shown(world, since="2023-11-16", search="fox")
    await world.restart()
    assert offered((await pressed(world, first, "Next")).message) == [f"{there.id}:1"]


async def gallery(world: World, who: simcord.MemberActor, **options: object) -> ResponseMessage:
    """What /gallery answers; nobody else sees it."""
    result = await who.slash(world.channel, "gallery", **options)
    assert result.ephemeral
    assert result.response
    return result.response


async def test_the_gallery_shows_what_is_public_in_channels_that_its_reader_reads(world: World) -> None:
    assert (await gallery(world, world.bob)).content == NOTHING_HERE
    hidden = discord.PermissionOverwrite(view_channel=False)
    secret = world.guild.create_text_channel("secret", overwrites={world.bob: hidden})
    [public] = await paint(world, "ada's fox", count=2)
    for options in ({"private": "on"}, {}):
        await world.grace.slash(world.channel if options else secret, "imagine", prompt="a secret fox", **options)
        await world.finish(await world.claim())
    inside = await world.newest()
    assert inside.channel_id == secret.id
    [bobs] = await paint(world, "bob's fox", who=world.bob)
    await world.app.favourites.star(world.bob.id, public.images[1].id)

    page = await gallery(world, world.bob)

    assert offered(page.message) == [f"{bobs.id}:1", f"{public.id}:1", f"{public.id}:2"]
    assert f"ada's fox · <t:{int(public.created_at)}:R> · <@{world.ada.id}>" in text_of(page.message)
    assert offered((await gallery(world, world.bob, favourites=True)).message) == [f"{public.id}:2"]
    assert offered((await gallery(world, world.bob, search="bob")).message) == [f"{bobs.id}:1"]
    assert offered((await shown(world, world.bob, whose="server")).message) == offered(page.message)
    assert f"{inside.id}:1" in offered((await gallery(world, world.grace)).message)

    opened = await world.bob.select(page, values=[f"{public.id}:1"])
    assert opened.response
    assert labels(opened.response.message) == ["1", "2", "Favourite"]
    for forged in (inside.id, inside.id - 1):
        refused = await world.bob.slash(world.channel, "history", id=forged)
        assert refused.response
        assert "Only the person who asked" in refused.response.content
    alone = await world.env.create_user("dora").slash("history", whose="server")
    assert alone.response
    assert "use /gallery in the server" in alone.response.content


async def test_a_request_opens_by_the_link_and_the_menu_of_its_message(world: World) -> None:
    job = await world.painted()
    link = f"https://discord.com/channels/{world.guild.id}/{world.channel.id}/{job.message_id}"
    for who in (world.ada, world.bob):
        card = await shown(world, who, link=link)
        assert card.embeds[0].title == f"Request {job.id}: succeeded"
        menu = await who.context_menu(world.channel, message_menus.OPEN, world.message(job))
        assert menu.response
        assert menu.response.embeds[0].title == f"Request {job.id}: succeeded"
    assert "not the link of a message" in (await shown(world, link="https://example.org")).content
    assert (await shown(world, link=link, id=job.id)).content == ONE_REQUEST
    other = await world.bot.get_partial_messageable(world.channel.id).send("hello")
    assert (await shown(world, link=f"{link.rsplit('/', 1)[0]}/{other.id}")).content == NO_REQUEST
