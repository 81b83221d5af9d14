import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, select

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.errors import BadOption, BadPrompt, QueueFull, Refused, UnknownModel, UnknownStyle, UserError
from limner.bot.options.ask import Ask
from limner.bot.place import Where
from limner.bot.queue.endings import StoredPicture
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.generators.base import Expansion
from limner.generators.requests import SEEDS, GenerationRequest
from tests.rows import asked, put_lora, seen

MEMBER, HERE, CHANNEL = 11, 22, 33


def ask(text: str = "a red fox", **more: Any) -> Ask:
    return asked(text=text, user_id=MEMBER, guild_id=HERE, channel_id=CHANNEL, **more)


async def rows(app: App) -> Sequence[Job]:
    async with app.database.read() as session:
        return (await session.scalars(select(Job).order_by(Job.id))).all()


async def painted(app: App, asked: Ask) -> GenerationRequest:
    return GenerationRequest.from_json((await submit.imagine(app, asked)).request)


async def test_what_is_not_said_is_the_models_own(app: App):
    job = await submit.imagine(app, ask())
    card = app.settings.default_card
    request = GenerationRequest.from_json(job.request)
    assert (job.status, job.idea, job.style, job.expand, job.user_id) == ("queued", "a red fox", "", "on", MEMBER)
    assert (job.guild_id, job.channel_id, job.prompt) == (HERE, CHANNEL, None)
    assert (request.prompt, request.negative_prompt, request.model) == ("a red fox", "", card.name)
    assert (request.width, request.height) == (card.width, card.height)
    assert (request.num_inference_steps, request.guidance_scale) == (card.num_inference_steps, card.guidance_scale)
    assert request.num_images_per_prompt == 1
    assert 0 <= request.seed < SEEDS


async def test_options_are_taken(app: App):
    options = ask(
        aspect="16:9", count=2, seed=0, steps=3, guidance=2.5, style="anime", negative="a\u200b\n b", expand="off"
    )
    job = await submit.imagine(app, options)
    request = GenerationRequest.from_json(job.request)
    assert (request.seed, request.num_images_per_prompt, request.num_inference_steps) == (0, 2, 3)
    assert request.guidance_scale == 2.5
    assert (await painted(app, ask(guidance=0.0))).guidance_scale == 0.0
    assert request.width > request.height
    assert request.negative_prompt == f"a b, {app.styles.find('anime').negative}"
    assert (job.style, job.expand, job.samples, job.steps) == ("anime", "off", 2, 3)


async def test_flags_win_over_options_and_no_joins_the_negative_prompt(app: App):
    text = "a red fox --ar 2:3 --seed 5 --steps 4 --count 1 --style noir --raw --no text"
    options = ask(text, aspect="16:9", count=2, seed=9, steps=3, style="anime", negative="blur", expand="preview")
    job = await submit.imagine(app, options)
    request = GenerationRequest.from_json(job.request)
    assert (request.prompt, request.seed, request.num_inference_steps) == ("a red fox", 5, 4)
    assert request.num_images_per_prompt == 1
    assert request.width < request.height
    assert request.negative_prompt == f"blur, text, {app.styles.find('noir').negative}"
    assert (job.idea, job.style, job.expand) == ("a red fox", "noir", "off")


async def test_the_size_of_the_command_line_is_taken_as_it_is_unless_a_flag_says_otherwise(app: App):
    side = app.settings.default_card.multiple_of
    request = await painted(app, ask(size=(2 * side, 3 * side)))
    assert (request.width, request.height) == (2 * side, 3 * side)
    request = await painted(app, ask("a red fox --ar 1:1", size=(2 * side, 3 * side)))
    assert request.width == request.height


@pytest.mark.parametrize("aspect", ["1:1", "3:2", "8:1", "1:8", "7:5"])
async def test_an_aspect_ratio_always_gives_a_size_that_is_allowed(settings: Settings, aspect: str):
    card = settings.default_card
    for most in (card.width * card.height, 4 * card.multiple_of**2):
        async with open_app(settings.using(max_pixels=most, max_jobs_per_user=50)) as app:
            request = await painted(app, ask(f"a fox --ar {aspect}"))
            assert request.width * request.height <= most
            assert request.width % card.multiple_of == request.height % card.multiple_of == 0


@pytest.mark.parametrize(
    ("asked", "kind", "sentence"),
    [
        (ask(""), BadPrompt, "The prompt is empty; write what you want to see."),
        (ask("--raw"), BadPrompt, "The prompt has only flags; write what you want to see before them."),
        (ask("x" * 10_000), BadPrompt, "The prompt has 10000 characters, and at most 1500 are read; shorten it."),
        (ask(negative="x" * 1501), BadPrompt, "The negative prompt is longer than 1500 characters; shorten it."),
        (
            ask(negative="fog ——ar 3:2"),
            BadPrompt,
            "--ar is a flag, and it belongs into the prompt, not into the negative one; move it.",
        ),
        (ask(seed=2**64), BadOption, "The seed must be from 0 to 4294967295."),
        (ask("fox --seed 18446744073709551616"), BadOption, "The seed must be from 0 to 4294967295."),
        (ask(seed=-1), BadOption, "The seed must be from 0 to 4294967295."),
        (ask(steps=0), BadOption, "The number of steps must be from 1 to 50."),
        (ask("fox --steps 51"), BadOption, "The number of steps must be from 1 to 50."),
        (ask("fox --count 0"), BadOption, "The number of pictures must be from 1 to 4."),
        (ask(count=5), BadOption, "The number of pictures must be from 1 to 4."),
        (ask(guidance=float("nan")), BadOption, "The guidance must be from 0 to 30."),
        (ask(guidance=31.0), BadOption, "The guidance must be from 0 to 30."),
        (
            ask(size=(1, 100_000)),
            BadOption,
            "The size is too narrow; neither side may be over 8 times the other.",
        ),
        (ask(size=(0, 64)), BadOption, "The size is too narrow; neither side may be over 8 times the other."),
        (
            ask("fox --ar 1:100000"),
            BadOption,
            "The aspect ratio is too narrow; neither side may be over 8 times the other.",
        ),
        (ask(size=(9999, 9998)), BadOption, "That size is over the limit of 4194304 pixels; ask for a smaller one."),
        (ask(size=(65, 64)), BadOption, "Width and height must be multiples of 32 for the model doodle."),
        (ask(aspect="5x4"), BadOption, "The option aspect needs a width and a height, such as 3:2."),
        (ask(expand="maybe"), BadOption, "The option expand needs on, off or preview, such as preview."),
        (
            ask(strength=0.5),
            BadOption,
            "The option strength says how much of a picture may change; give one with the option image.",
        ),
        (ask(model="sdxl"), UnknownModel, "That model is not offered here; choose one of: doodle."),
        (ask(lora="ink"), BadOption, "The model doodle has no LoRA of that name; ask without one."),
        (ask(style="nois"), UnknownStyle, "That style is not known; did you mean noir?"),
    ],
)
async def test_each_wrong_request_is_refused_in_one_sentence_and_leaves_no_row(
    app: App, asked: Ask, kind: type[UserError], sentence: str
):
    with pytest.raises(kind) as told:
        await submit.imagine(app, asked)
    assert type(told.value) is kind
    assert str(told.value) == sentence
    assert not await rows(app)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (ask("a Purple\nCow"), "filter:idea"),
        (ask("a cow --no purple-cow"), "filter:negative"),
        (ask(negative="purple cow"), "filter:negative"),
        (ask(style="purple"), "filter:style"),
        (ask(lora="Purple Cow:0.5"), "filter:LoRA"),
    ],
)
async def test_a_forbidden_word_is_refused_and_kept_as_a_row(settings: Settings, asked: Ask, code: str):
    (settings.data / "styles.toml").write_text('[purple]\nprompt = "{prompt}, purple cow"')
    put_lora(settings, "Purple Cow")
    async with open_app(settings.using(styles=str(settings.data / "styles.toml"))) as app:
        await app.filters.add(HERE, "purple cow", MEMBER)
        await app.guilds.change(HERE, MEMBER, checks_negative_prompts=True)
        with pytest.raises(Refused) as told:
            await submit.imagine(app, asked)
        [row] = await rows(app)
        assert (row.status, row.reason_code, row.reason) == ("refused", code, str(told.value))
        assert code in str(told.value)
        assert "cow" not in str(told.value)
        assert row.delivered_at is not None
        await submit.imagine(app, replace(asked, where=Where(HERE + 1, CHANNEL)))


async def test_a_lora_that_was_put_there_a_moment_ago_is_worn(app: App, settings: Settings):
    put_lora(settings, "ink")
    assert (await painted(app, ask(lora="ink"))).loras == (("ink", 1.0),)
    assert (await painted(app, ask(lora=" ink : 0.75"))).loras == (("ink", 0.75),)
    assert (await painted(app, ask(lora="ink:0,75"))).loras == (("ink", 0.75),)
    for wrong in ("ink:", "ink:3", "ink:-1", "ink:x", "ink:0.7:1"):
        with pytest.raises(BadOption, match=r"^The (weight of a|model doodle has no) LoRA [^.]+\S+\.$"):
            await submit.imagine(app, ask(lora=wrong))


async def test_a_refused_request_takes_no_place(app: App, settings: Settings):
    await app.filters.add(HERE, "cow", MEMBER)
    for _ in range(settings.max_jobs_per_user):
        with pytest.raises(Refused):
            await submit.imagine(app, ask("cow"))
    assert (await submit.imagine(app, ask())).status == "queued"


async def test_one_member_has_a_number_of_open_requests_even_when_asking_at_once(app: App, settings: Settings):
    most = settings.max_jobs_per_user
    outcomes = await asyncio.gather(*(submit.imagine(app, ask()) for _ in range(3 * most)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, QueueFull)]
    assert len(refused) == 2 * most
    assert len(await rows(app)) == most
    assert str(most) in str(refused[0])
    assert (await submit.imagine(app, replace(ask(), user_id=MEMBER + 1))).status == "queued"


async def test_one_server_has_a_number_of_open_requests_even_when_asking_at_once(settings: Settings):
    async with open_app(settings.using(max_jobs_per_guild=4)) as app:
        asked = [replace(ask(), user_id=user) for user in range(1, 11)]
        outcomes = await asyncio.gather(*(submit.imagine(app, one) for one in asked), return_exceptions=True)
        assert sum(isinstance(outcome, QueueFull) for outcome in outcomes) == 6
        assert len(await rows(app)) == 4
        assert (await submit.imagine(app, replace(ask(), where=Where()))).status == "queued"


async def test_the_command_line_has_no_limit_on_open_requests(app: App, settings: Settings):
    for _ in range(settings.max_jobs_per_user + 1):
        await submit.imagine(app, asked(text="a fox"))
    assert len(await rows(app)) == settings.max_jobs_per_user + 1


async def expanded(app: App, **more: Any) -> Job:
    """A request with an expansion of its own, as the worker leaves it."""
    await submit.imagine(app, ask(**more))
    [job] = await app.jobs.claim("worker", capacity=4)
    text = f"{job.idea}, soft light"
    prompt = app.styles.apply(job.style, text)
    assert await app.jobs.save_expansion(job, Expansion(text, "soft light", ("fox",), "m", 0.1), prompt)
    await app.jobs.finish(job, [StoredPicture("0" * 64, 8, 8, 1, 5, seen())], seconds=1, busy_seconds=1)
    return await app.jobs.get(job.id)


@pytest.mark.parametrize(("roles", "weight"), [((), 1.0), ((3,), 1.0), ((5, 3), 2.0), ((5, 6), 3.5)])
async def test_the_largest_weight_of_a_members_roles_counts(app: App, roles: tuple[int, ...], weight: float):
    classes = app.settings.using(class_weights={"5": "2", "6": "3.5"})
    weighted = replace(app, settings=classes)

    first = await submit.imagine(weighted, ask(role_ids=roles))
    again = await submit.reroll(weighted, first, user_id=MEMBER, where=Where(HERE, CHANNEL, role_ids=roles))

    assert (first.weight, again.weight) == (weight, weight)
    assert again.turn == pytest.approx(1 / weight)


async def test_what_is_made_of_an_earlier_small_request_has_room_for_a_whole_picture(app: App):
    first = await submit.imagine(app, ask(size=(128, 96)))
    assert first.generation.size == (128, 96)
    assert (await submit.reroll(app, first, user_id=MEMBER)).generation.size == (288, 224)
    assert (await submit.repeat(app, first, where=Where(HERE, CHANNEL))).generation.size == (288, 224)


async def test_reroll_keeps_all_but_the_seed(app: App):
    first = await expanded(app, style="noir", seed=5, expand="preview", count=2)
    again = await submit.reroll(app, first, user_id=99)
    assert again.request["seed"] != 5
    assert {**again.request, "seed": 5} == first.request
    assert (again.prompt, again.expanded, again.style) == (first.prompt, first.expanded, "noir")
    assert (again.user_id, again.guild_id, again.channel_id, again.parent_id) == (99, HERE, CHANNEL, first.id)
    assert (again.status, again.expand) == ("queued", "on")


async def test_raw_keeps_the_seed_and_drops_the_expansion(app: App):
    first = await expanded(app, seed=5)
    again = await submit.repeat_raw(app, first, user_id=MEMBER)
    assert again.request == first.request
    assert (again.prompt, again.expansion, again.expand, again.parent_id) == (None, None, "off", first.id)


async def test_a_repeated_request_passes_the_rules_and_limits_of_today(app: App, settings: Settings):
    first = await expanded(app, count=4, style="noir")
    await app.filters.add(HERE, "soft light", MEMBER)
    with pytest.raises(Refused, match="filter:expansion"):
        await submit.reroll(app, first, user_id=MEMBER)
    assert (await submit.repeat_raw(app, first, user_id=MEMBER)).status == "queued"
    async with open_app(settings.using(max_count=2)) as stricter:
        with pytest.raises(BadOption, match="from 1 to 2"):
            await submit.repeat_raw(stricter, first, user_id=MEMBER)
    other = settings.using(models={"other": settings.models["doodle"]})
    async with open_app(other) as changed:
        with pytest.raises(UnknownModel):
            await submit.repeat_raw(changed, first, user_id=MEMBER)


async def test_members_who_ask_at_once_share_every_statement(app: App):
    statements = 0

    @event.listens_for(app.database.engine.sync_engine, "before_cursor_execute")
    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    await submit.imagine(app, asked("a fox", user_id=1, guild_id=HERE))  # reads rules and settings, which are kept
    statements = 0
    await submit.imagine(app, asked("a fox", user_id=42, guild_id=HERE))
    for_one, statements = statements, 0
    jobs = await asyncio.gather(
        *(submit.imagine(app, asked("a fox", user_id=user, guild_id=HERE)) for user in range(2, 42))
    )

    assert len({job.id for job in jobs}) == 40
    assert statements <= 2 * for_one  # the first may be answered alone; the others then share the next transaction
