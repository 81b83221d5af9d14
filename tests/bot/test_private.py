"""/imagine private:on: the member alone sees the answer, here or in a direct message."""

from __future__ import annotations

from typing import Any

import pytest
import simcord
from sqlalchemy import update

from limner.bot.storage.tables.models import AnswerToken, Job
from limner.bot.ui.job.job_buttons import buttons
from limner.bot.ui.picture.picture_buttons import picture_items
from limner.generators.base import Expansion
from tests.rows import seen
from tests.simulated_discord import World, png, slow_uploads


async def asked(world: World, prompt: str = "a red fox", **options: Any) -> tuple[Job, simcord.ResponseMessage]:
    """The row of a private request, and the answer that its member sees."""
    result = await world.ada.slash(world.channel, "imagine", prompt=prompt, **options)
    answer = result.response or result.followups[0]
    assert answer.ephemeral
    return await world.newest(), answer


async def painted(world: World, job: Job) -> Job:
    await world.finish(await world.claim())
    return await world.delivered(job)


async def expire_tokens(world: World) -> None:
    async with world.app.database.begin() as session:
        await session.execute(update(AnswerToken).values(expires_at=0.0))


def public(world: World) -> list[int]:
    return [message.id for message in world.channel.history() if not message.flags.ephemeral]


@pytest.mark.parametrize("prompt", ["a red fox --private", "a red fox"])
async def test_only_its_member_sees_the_answer(world: World, prompt: str) -> None:
    job, answer = await asked(world, prompt, **({} if "--" in prompt else {"private": "on"}))
    assert job.is_private
    job = await painted(world, job)
    assert job.message_id == answer.id
    assert public(world) == []
    assert world.ada.user.dm_channel.history() == []
    [shown] = [one for one in world.channel.history(viewer=world.ada) if one.id == job.message_id]
    assert len(shown.attachments) == 1


async def test_another_expansion_is_shown_to_its_member_alone(world: World) -> None:
    job, answer = await asked(world, private="on", expand="preview")
    for number, words in enumerate(("snow", "fog")):
        text = f"a red fox, {words}"
        assert await world.app.jobs.hold(await world.claim(), Expansion(text, words, (), "", 0.1), text)

        async def offers(words: str = words) -> bool:
            [shown] = [one for one in world.channel.history(viewer=world.ada) if one.id == answer.id]
            return f"Added: *{words}*" in shown.content

        await world.until(offers, f"the expansion with {words} is shown")
        if number == 0:
            await world.ada.click(answer, custom_id=f"limner:another:{job.id}")
    assert public(world) == []
    await world.ada.click(answer, custom_id=f"limner:keep:{job.id}")
    assert (await world.claim()).prompt == "a red fox, fog"


async def test_after_its_time_the_answer_comes_as_a_direct_message(world: World) -> None:
    job, answer = await asked(world, private="on")
    await expire_tokens(world)
    job = await painted(world, job)
    [letter] = world.ada.user.dm_channel.history()
    assert (job.message_id, len(letter.attachments)) == (letter.id, 1)
    assert letter.id != answer.id
    assert public(world) == []


async def test_what_is_made_of_it_stays_private_and_buttons_work(world: World) -> None:
    job, answer = await asked(world, private="on")
    job = await painted(world, job)
    await world.restart()
    told = await world.ada.click(answer, custom_id=f"limner:reroll:{job.id}")
    assert told.response
    assert told.ephemeral
    again = await world.newest()
    assert (again.id != job.id, again.is_private, again.parent_id) == (True, True, job.id)
    assert public(world) == []


async def test_strangers_and_moderators_cannot_act_on_it(world: World) -> None:
    job, _answer = await asked(world, private="on")
    job = await painted(world, job)
    view = buttons(job)
    view.add_item(picture_items(job)[0])
    forged = await world.bot.get_partial_messageable(world.channel.id).send(view=view)
    for who in (world.bob, world.grace):
        for custom_id in (f"limner:details:{job.id}", f"limner:delete:{job.id}", f"limner:picture:{job.id}:1"):
            told = await who.click(forged, custom_id=custom_id)
            assert told.response
            assert told.response.content == "Only the person who asked for this picture can do that."


async def test_a_slow_upload_shows_the_channel_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_uploads(monkeypatch)
    job, _answer = await asked(world, "a fox --private", image=("start.png", png()))
    assert (await painted(world, job)).input_name == "start.png"
    assert public(world) == []


async def test_it_has_the_ordinary_limit_in_an_age_restricted_channel_too(world: World) -> None:
    world.restrict(is_age_restricted=True)
    job, _answer = await asked(world, private="on")
    await world.finish(await world.claim(), look=seen(0.7))
    assert (await world.delivered(job)).status == "refused"
