"""/history as a member sees it: pages with pictures, search, opening and repeating; for nobody else."""

from __future__ import annotations

import io
import random

import pytest
import simcord
from PIL import Image
from simcord import ResponseMessage

from limner.bot.cogs import history
from limner.bot.cogs.history import FILE_GONE, MISSING, NOTHING_FOUND, NOTHING_YET, PAGE
from limner.bot.queue.jobs import StoredPicture
from limner.bot.reasons import JobStatus
from limner.bot.storage.models import Job
from tests.rows import seen
from tests.simulated_discord import World, labels


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
    answer = await shown(world)

    assert answer.content == NOTHING_YET
    assert (answer.embeds, labels(answer.message)) == ([], [])


async def test_pages_show_the_newest_first_with_small_pictures(world: World) -> None:
    jobs = await paint(world, *(f"fox number {number}" for number in range(PAGE + 1)))

    first = await shown(world)

    assert first.content == "Your pictures · page 1 of 2"
    assert [f"number {PAGE - place}" in (embed.description or "") for place, embed in enumerate(first.embeds)] == [
        True
    ] * PAGE
    assert [file.filename for file in first.attachments] == [f"limner-{job.id}.webp" for job in reversed(jobs[1:])]
    assert [embed.thumbnail.url for embed in first.embeds]
    assert labels(first.message) == [*(f"Open {job.id}" for job in reversed(jobs[1:])), "Next"]

    last = await pressed(world, first, "Next")

    assert last.content == "Your pictures · page 2 of 2"
    assert "number 0" in (last.embeds[0].description or "")
    assert (len(last.embeds), len(last.attachments)) == (1, 1)
    assert labels(last.message) == [f"Open {jobs[0].id}", "Previous"]
    assert (await pressed(world, last, "Previous")).content == first.content


async def test_everybody_sees_only_their_own(world: World) -> None:
    [job] = await paint(world, "ada's fox")

    assert (await shown(world, world.bob)).content == NOTHING_YET
    assert "Only the person who asked" in (await shown(world, world.bob, id=job.id)).content
    assert "not there any more" in (await shown(world, id=job.id + 1)).content


async def test_search_goes_with_the_buttons_and_over_a_restart(world: World) -> None:
    await paint(world, *(f"fox {number}" for number in range(PAGE)))
    await paint(world, "a whale", "夕阳下的海滩 fox")

    assert (await shown(world, search="*whale* `")).content == "Your pictures with **\\*whale\\* \\`** · page 1 of 1"
    assert (await shown(world, search="海滩")).embeds
    assert (await shown(world, search='"fox 9" OR')).content == NOTHING_FOUND
    first = await shown(world, search="fox")
    await world.restart()

    last = await pressed(world, first, "Next")

    assert last.content == "Your pictures with **fox** · page 2 of 2"
    assert "fox 0" in (last.embeds[0].description or "")


async def test_a_request_is_opened_with_all_its_pictures(world: World) -> None:
    [job] = await paint(world, "a fox", count=3)

    opened = await pressed(world, await shown(world), f"Open {job.id}")

    assert opened.ephemeral
    assert [file.filename for file in opened.attachments] == [f"limner-{job.id}-{n}.png" for n in (1, 2, 3)]
    assert {file.description for file in opened.attachments} == {"a fox"}
    assert opened.embeds[0].title == f"Request {job.id}: succeeded"
    assert labels(opened.message) == ["Repeat"]
    assert labels((await shown(world, id=job.id)).message) == ["Repeat"]


async def test_repeat_paints_the_same_request_in_public_again(world: World) -> None:
    [job] = await paint(world, "a fox --seed 11")
    opened = await shown(world, id=job.id)

    result = await world.ada.click(opened, label="Repeat")

    again = await world.newest()
    assert result.response
    assert not result.ephemeral
    assert (again.id, again.parent_id, again.status) == (job.id + 1, job.id, JobStatus.QUEUED)
    assert (again.generation, again.message_id) == (job.generation, result.response.id)


async def test_a_removed_file_is_told_and_the_rest_is_shown(world: World) -> None:
    [job] = await paint(world, "a fox", count=2)
    world.app.images.delete(job.images[0].sha256)

    page, opened = await shown(world), await shown(world, id=job.id)

    assert page.embeds[0].footer.text == FILE_GONE
    assert page.attachments == []
    assert opened.content == MISSING
    assert len(opened.attachments) == 1


async def test_a_page_that_is_empty_by_now_is_the_last_one(world: World) -> None:
    jobs = await paint(world, *(f"fox {number}" for number in range(PAGE + 1)))
    first = await shown(world)
    await world.app.history.delete(jobs[0].id)

    assert (await pressed(world, first, "Next")).content == "Your pictures · page 1 of 1"


async def test_a_picture_larger_than_discord_takes_is_sent_smaller(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = io.BytesIO()
    Image.frombytes("RGB", (64, 64), random.Random(7).randbytes(64 * 64 * 3)).save(noise, "PNG")
    await world.imagine("noise")
    picture = StoredPicture(world.app.images.save(noise.getvalue()), 64, 64, noise.tell(), 7, seen())
    await world.app.jobs.finish(await world.claim(), [picture], seconds=1, busy_seconds=1)
    monkeypatch.setattr(history, "MESSAGE_BYTES", 6000)

    opened = await shown(world, id=(await world.newest()).id)

    assert opened.attachments[0].filename.endswith(".jpg")
    assert opened.attachments[0].size <= 6000
