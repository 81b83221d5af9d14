"""Several requests from one prompt: choices in braces, --repeat, and the list to confirm."""

from __future__ import annotations

import time
from typing import Any

import discord
import pytest
import simcord

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.errors import BadPrompt, Refused
from limner.bot.options.permutations import prompts
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.ui.request.asking import GoButton
from tests.rows import asked
from tests.simulated_discord import World, labels, png

SIX = "a {red, blue, green} fox --repeat 2 --seed 7 --count 2"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a fox", ["a fox"]),
        ("{red, blue} fox", ["red fox", "blue fox"]),
        ("a {red,} fox", ["a red fox", "a fox"]),
        ("{a, b} {c, d}", ["a c", "a d", "b c", "b d"]),
        ("a fox in {snow, {tall, short} grass}", ["a fox in snow", "a fox in tall grass", "a fox in short grass"]),
        ("fox {--ar 3:2, --ar 1:1}", ["fox --ar 3:2", "fox --ar 1:1"]),
        (r"\{red, blue\} fox", ["{red, blue} fox"]),
        (r"{red\, warm, blue}", ["red, warm", "blue"]),
        ("{fox} in {a|b}", ["{fox} in {a|b}"]),
        ('a sign "{a, b}"', ['a sign "{a, b}"']),
        ("a {red, blue fox", ["a {red, blue fox"]),
        ("a red, blue} fox", ["a red, blue} fox"]),
        ("{{fox}, hare}", ["{fox}", "hare"]),
        ("一只｛红色，蓝色｝的狐狸", ["一只红色的狐狸", "一只蓝色的狐狸"]),
    ],
)
def test_choices_are_every_combination_in_order(text: str, made: list[str]) -> None:
    assert prompts(text, 10) == made


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "{a, b, c}" * 2 + "{a, b}",
            "That makes 18 requests, and at most 10 are allowed at once; leave some choices out.",
        ),
        ("{a,b}" * 19, "That makes 524288 requests, and at most 10 are allowed at once; leave some choices out."),
        (
            "{a,b}" * 290,
            "That makes over 1000000 requests, and at most 10 are allowed at once; leave some choices out.",
        ),
        ("{a," * 5 + "}" * 5, "Braces can stand in braces 4 deep; write that prompt with fewer."),
        ("{" * 1500, "Braces can stand in braces 4 deep; write that prompt with fewer."),
    ],
)
def test_too_many_are_counted_and_none_is_made(text: str, sentence: str) -> None:
    started = time.perf_counter()
    with pytest.raises(BadPrompt) as told:
        prompts(text, 10)
    assert str(told.value) == sentence
    assert time.perf_counter() - started < 0.5


async def test_repeats_have_the_seeds_that_follow(app: App) -> None:
    found = await submit.requests(app, asked(SIX))
    assert [(new.idea, new.request.seed) for new in found] == [
        (f"a {colour} fox", seed) for colour in ("red", "blue", "green") for seed in (7, 9)
    ]
    with pytest.raises(BadPrompt, match=r"^That makes 12 requests, and at most 10 are allowed at once;"):
        await submit.requests(app, asked("{a, b, c} --r 4"))
    for wrong in ("a fox --repeat 11", "a fox --repeat 0"):
        with pytest.raises(Exception, match=r"^The number of requests must be from 1 to 10\.$"):
            await submit.requests(app, asked(wrong))


async def test_one_forbidden_word_stops_all_of_them(app: App) -> None:
    await app.filters.add(5, "cow", 1)
    with pytest.raises(Refused):
        await submit.submit_all(app, await submit.requests(app, asked("a {fox, hare, cow}", guild_id=5, user_id=1)))
    assert await app.history.count(None, every_status=True) == 1


async def test_a_server_without_room_for_all_gets_none(settings: Settings) -> None:
    async with open_app(settings.using(max_jobs_per_guild=3)) as app:
        await submit.submit_all(app, await submit.requests(app, asked("{a, b}", guild_id=5, user_id=1)))
        with pytest.raises(Exception, match=r"^This server has 2 requests|^You have"):
            await submit.submit_all(app, await submit.requests(app, asked("{a, b}", guild_id=5, user_id=2)))
        assert await app.history.count(None, every_status=True) == 2


async def jobs(world: World) -> list[Job]:
    return sorted(await world.app.history.page(None, every_status=True, limit=50), key=lambda job: job.id)


async def asked_first(world: World, prompt: str = SIX, **options: Any) -> simcord.ResponseMessage:
    """The private list of the requests that a prompt makes."""
    result = await world.ada.slash(world.channel, "imagine", prompt=prompt, **options)
    assert result.response
    assert result.ephemeral
    return result.response


async def press(world: World, message: Any, verb: str, who: str = "ada") -> simcord.InteractionResult:
    return await getattr(world, who).click(message, custom_id=f"limner:several:{verb}:1")


async def forged(world: World) -> discord.Message:
    """A message with the buttons of the first list: what a second click, or another program, sends."""
    view = discord.ui.View(timeout=None).add_item(GoButton("go", 1))
    return await world.bot.get_partial_messageable(world.channel.id).send(view=view)


async def test_a_few_are_posted_at_once_each_with_its_own_message(world: World) -> None:
    await world.ada.slash(world.channel, "imagine", prompt="a {red, blue} fox")
    found = await jobs(world)
    assert [job.idea for job in found] == ["a red fox", "a blue fox"]
    assert [message.id for message in world.channel.history()] == [job.message_id for job in found]
    assert [labels(world.message(job)) for job in found] == [["Cancel"]] * 2
    for _ in found:
        await world.finish(await world.claim())
    for job in found:
        assert len(world.message(await world.delivered(job)).attachments) == 1


async def test_many_are_shown_first_and_come_after_a_restart_once(world: World) -> None:
    message = await asked_first(world)
    assert message.content.startswith("**6 requests, go?**\n1. a red fox\n2. a red fox\n3. a blue fox")
    assert not await jobs(world)
    await world.restart()
    await press(world, message, "go")
    assert [job.idea for job in await jobs(world)] == [
        f"a {one} fox" for one in ("red", "red", "blue", "blue", "green", "green")
    ]
    assert len([one for one in world.channel.history() if not one.flags.ephemeral]) == 6
    again = await press(world, await forged(world), "go")
    assert again.response
    assert again.response.content == "That was answered already."
    assert len(await jobs(world)) == 6


async def test_leaving_it_paints_nothing_and_drops_the_picture(world: World) -> None:
    message = await asked_first(world, "{a, b, c, d, e} --strength 0.5", image=("start.png", png()))
    [file] = world.settings.data.glob("images/**/*.png")
    await press(world, message, "leave")
    assert not await jobs(world)
    assert not file.exists()


async def test_a_picture_waits_with_the_list_and_every_request_starts_from_it(world: World) -> None:
    message = await asked_first(world, "{a, b, c, d, e}", image=("start.png", png()))
    await world.app.history.sweep(older_than=-1)
    await press(world, message, "go")
    found = await jobs(world)
    assert len({job.input_sha256 for job in found}) == 1
    assert (found[0].input_name, len(found)) == ("start.png", 5)
    assert world.app.images.path(found[0].input_sha256 or "").exists()


async def test_a_refused_list_stays_for_another_try(world: World) -> None:
    message = await asked_first(world)
    await world.app.filters.add(world.guild.id, "blue", world.grace.id)
    refused = await press(world, message, "go")
    assert refused.response
    assert "filter:idea" in refused.response.content
    [rule] = await world.app.filters.all(world.guild.id)
    await world.app.filters.remove(world.guild.id, rule.id, world.grace.id)
    await press(world, message, "go")
    assert len([job for job in await jobs(world) if job.status == "queued"]) == 6


async def test_a_stranger_cannot_use_anothers_list(world: World) -> None:
    await asked_first(world)
    refused = await press(world, await forged(world), "go", "bob")
    assert refused.response
    assert refused.response.content == "That was answered already."
    assert not await jobs(world)
    assert await world.app.pending.get(1, world.ada.id)


async def test_pending_requests_of_a_member_are_few_and_go_after_a_day(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [await world.app.pending.keep(7, {}, None) for _ in range(7)]
    kept = [number for number in numbers if await world.app.pending.get(number, 7)]
    assert kept == numbers[-5:]
    now = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: now)
    await world.app.pending.expire()
    assert not await world.app.pending.get(numbers[-1], 7)


async def test_a_remix_understands_choices_as_imagine_does(world: World) -> None:
    first = await world.painted(steps=5)
    form = await world.ada.click(world.message(first), label="Remix")
    answer = await world.ada.submit_modal(form, {"idea": "a {red, blue} fox", "negative": ""})
    assert not answer.ephemeral
    for job, idea in zip((await jobs(world))[1:], ("a red fox", "a blue fox"), strict=True):
        made = (job.idea, job.parent_id, job.action, job.generation.num_inference_steps)
        assert made == (idea, first.id, "remix", 5)
        await world.app.jobs.cancel(job.id, "No more.")
    form = await world.ada.click(world.message(first), label="Remix")
    listed = await world.ada.submit_modal(form, {"idea": "a {red, blue} fox --repeat 3", "negative": ""})
    assert listed.response
    assert listed.ephemeral
    await world.restart()
    await world.ada.click(listed.response, label="Paint them")
    assert [(job.parent_id, job.action) for job in (await jobs(world))[3:]] == [(first.id, "remix")] * 6
