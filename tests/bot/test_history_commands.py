"""/history as a member sees it: pages of pictures, filters, opening and repeating; for nobody else."""

from __future__ import annotations

import io
import random

import pytest
import simcord
from PIL import Image
from simcord import ResponseMessage

from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.styles import Styles
from limner.bot.ui.picture import opened
from limner.bot.ui.picture.gallery import FILE_GONE, NO_MORE, NOTHING_FOUND, NOTHING_YET, PAGE, Browsing
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
    await paint(world, *(f"fox {number}" for number in range(PAGE + 1)))
    await paint(world, "a whale | *bold*", "夕阳下的海滩 fox")

    assert "**\\*bold\\* \\|**" in text_of((await shown(world, search="*bold* |")).message)
    assert len(offered((await shown(world, search="海滩")).message)) == 1
    assert (await shown(world, search='"fox 9" OR')).content == NOTHING_FOUND
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


async def test_a_page_that_is_empty_by_now_says_so(world: World) -> None:
    jobs = await paint(world, *(f"fox number {number}" for number in range(PAGE + 1)))
    first = await shown(world)
    await world.app.history.delete(jobs[0].id)

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
    assert labels(card.message) == ["1", "2", "3", "Repeat"]

    await world.ada.click(card, label="Repeat")
    again = await world.newest()

    assert (again.id, again.parent_id, again.status) == (job.id + 1, job.id, JobStatus.QUEUED)
    assert again.generation == job.generation
    assert labels((await shown(world, id=job.id)).message) == ["1", "2", "3", "Repeat", "Family", f"Became {again.id}"]
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
