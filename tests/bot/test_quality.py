"""Draft, standard and fine: what each asks of a model, its turns in the queue, and Enhance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.options.ask import read
from limner.bot.options.notes import sentences
from limner.bot.settings.model_sources import LORAS
from limner.bot.storage.tables.models import Job
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.qualities import QUALITIES, Quality, quality
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.text_files import BadText
from tests.rows import asked, put_lora
from tests.rows import picture as stored
from tests.simulated_discord import World, labels

TEACACHE = SkipRule.TEACACHE
FEW = Quality(4, 0.75, "lcm", skipping=SkipRule.OFF)
USUAL: dict[str, Any] = {"num_inference_steps": 20, "samplers": ("euler", "dpmpp_2m"), "skips": True}
CARD = ModelCard(name="m", source="m", guides_in_part=True, **USUAL)


@pytest.mark.parametrize(
    ("card", "draft", "fine"),
    [
        (CARD, Quality(10, 0.75, "dpmpp_2m", skipping=TEACACHE), Quality(32)),
        (replace(CARD, width=128, height=128, samplers=()), Quality(10, skipping=TEACACHE), Quality(32)),
        (replace(CARD, num_inference_steps=1, other_sizes=False, skips=False), Quality(1, 1, "dpmpp_2m"), Quality(2)),
        (
            replace(CARD, fine={"guided": "0-0.7"}),
            Quality(10, 0.75, "dpmpp_2m", skipping=TEACACHE),
            Quality(32, guided=(0, 0.7)),
        ),
        (
            replace(CARD, skips=False, guides_in_part=False, fine={"guided": "0-0.7"}, draft={"skipping": "magcache"}),
            Quality(10, 0.75, "dpmpp_2m"),
            Quality(32),
        ),
        (replace(CARD, num_inference_steps=4, most_steps=8), Quality(2, 0.75), Quality(6)),
        (replace(CARD, num_inference_steps=8, most_steps=8), Quality(4, 0.75), Quality(8)),
        (replace(CARD, loras={"lcm-lora": "", "ink": ""}), Quality(6, 0.75, None, 1.0, "lcm-lora"), Quality(32)),
        (replace(CARD, draft={"num_inference_steps": 4, "scheduler": "lcm", "skipping": "off"}), FEW, Quality(32)),
    ],
)
def test_each_quality_suits_the_model(card: ModelCard, draft: Quality, fine: Quality) -> None:
    assert [quality(card, name) for name in QUALITIES] == [draft, Quality(card.num_inference_steps), fine]


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 4},
        {"scale": 9},
        {"scheduler": 7},
        {"num_inference_steps": 2.5},
        {"skipping": "x"},
        {"guided": "1-0"},
        4,
    ],
)
def test_a_wrong_quality_in_limner_json_is_named(tmp_path: Path, wrong: Any) -> None:
    (tmp_path / "limner.json").write_text(json.dumps({"draft": wrong}))
    with pytest.raises(BadText, match="line 1: draft must be a table such as"):
        ModelCard.read("m", str(tmp_path))


def test_flag_and_option_say_the_same_and_what_is_chosen_singly_counts(app: App) -> None:
    app.settings.cards["large"] = replace(app.settings.default_card, name="large", width=512, height=512)
    for ask in (asked("a fox --draft --model large"), asked("a fox", quality="draft", model="large")):
        request = read(app, ask).request
        assert (request.quality, request.num_inference_steps, request.size) == ("draft", 8, (384, 384))
    request = read(app, asked("a fox --draft --model large --ar 2:1 --steps 3 --sampler unipc")).request
    assert (request.num_inference_steps, request.size, request.scheduler) == (3, (544, 256), "unipc")
    assert read(app, asked("a fox --quality fine")).request.num_inference_steps == 26
    assert read(app, asked("a fox")).request.quality == "standard"


async def test_a_model_for_few_steps_takes_no_more(app: App) -> None:
    app.settings.cards["turbo"] = replace(app.settings.default_card, name="turbo", num_inference_steps=4, most_steps=8)
    sentence = "The model turbo is made for few steps, at most 8; ask for fewer."
    with pytest.raises(BadOption, match=sentence):
        await submit.imagine(app, asked("a fox --model turbo --steps 9"))
    job = await submit.imagine(app, asked("a fox --model turbo --quality fine"))
    assert job.generation.num_inference_steps == 6


async def test_guidance_in_a_part_of_the_steps_is_refused_where_it_would_do_nothing(app: App) -> None:
    app.settings.cards["flux"] = replace(app.settings.default_card, name="flux", guides_in_part=False)
    for text, sentence in (
        ("a fox --guided 0.8-0.2", "must be a part of the steps from 0 to 1"),
        ("a fox --guided 0-0.5 --guidance 1", "needs a guidance over 1"),
        ("a fox --guided 0-0.5 --model flux", "The model flux cannot limit guidance"),
    ):
        with pytest.raises(BadOption, match=sentence):
            await submit.imagine(app, asked(text))
    assert (await submit.imagine(app, asked("a fox --guided 0-0.5"))).generation.guided == (0, 0.5)


async def test_a_model_with_one_quality_refuses_others(app: App) -> None:
    app.settings.cards["gan"] = replace(app.settings.default_card, name="gan", has_steps=False)
    sentence = r"^The model gan paints in one quality only; leave out the option quality\.$"
    with pytest.raises(BadOption, match=sentence):
        await submit.imagine(app, asked("a fox --draft --model gan"))


@pytest.mark.parametrize(("flag", "turn"), [("--draft", 0.5), ("", 1.0), ("--quality fine", 26 / 16)])
async def test_a_turn_costs_what_the_quality_costs(app: App, flag: str, turn: float) -> None:
    first, second = [await submit.imagine(app, asked(f"a fox {flag}", user_id=1)) for _ in range(2)]
    assert second.turn - first.turn == pytest.approx(turn)
    again = await submit.reroll(app, second, user_id=1)
    assert again.turn - second.turn == pytest.approx(turn)
    assert again.request["quality"] == second.request["quality"]


async def drafted(world: World, count: int = 1) -> Any:
    job = await world.imagine("a red fox --draft --seed 7", count=count)
    await world.finish(await world.claim(), count=count)
    return await world.delivered(job)


async def test_enhance_paints_the_same_composition_in_full(world: World) -> None:
    job = await drafted(world, count=2)
    assert "Enhance" in labels(world.message(job))
    assert "Upscale all" not in labels(world.message(job))
    await world.ada.click(world.message(job), custom_id=f"limner:enhance:{job.id}")
    made = sorted(await world.app.history.page(None, every_status=True, limit=9), key=lambda one: one.id)[1:]
    card = world.settings.default_card
    for number, (new, picture) in enumerate(zip(made, job.images, strict=True), 1):
        request = new.generation
        assert (request.quality, request.num_inference_steps) == (
            "standard",
            card.num_inference_steps,
        )
        assert (request.size, request.seed, request.init_image) == ((256, 256), picture.seed, picture.sha256)
        assert (request.strength, request.count, new.idea) == (0.5, 1, "a red fox")
        assert (new.parent_id, new.parent_picture, new.action) == (job.id, number, "enhance")


async def test_a_suspended_member_does_not_enhance(world: World) -> None:
    job = await drafted(world)
    settings = await world.app.guilds.change(world.guild.id, 1, strike_limit=1)
    await world.app.strikes.give(world.guild.id, world.ada.id, by=1, why="spam", settings=settings)
    told = await world.ada.click(world.message(job), custom_id=f"limner:enhance:{job.id}")
    assert told.response
    assert "You may not paint in this server until <t:" in told.response.content
    assert (await world.newest()).id == job.id


async def test_enhance_is_for_the_owner_of_a_draft(world: World) -> None:
    job = await drafted(world)
    told = await world.bob.click(world.message(job), custom_id=f"limner:enhance:{job.id}")
    assert told.response
    assert told.response.content == "Only the person who asked for this picture can do that."
    usual = await world.painted("a fox")
    assert "Enhance" not in labels(world.message(usual))
    with pytest.raises(BadOption, match="not posted yet"):
        await submit.enhance(world.app, await world.imagine(), user_id=world.ada.id, where=job.where)


def asked_of(job: Job) -> tuple[Any, ...]:
    """What a request asks of its model's quality."""
    request = job.generation
    return request.num_inference_steps, request.guidance_scale, request.loras


async def test_a_draft_by_a_few_step_lora_and_what_is_made_of_it(app: App) -> None:
    put_lora(app.settings, "few")
    put_lora(app.settings, "ink")
    few = {"num_inference_steps": 2, "guidance_scale": 1.5, "lora": "few"}
    card = app.settings.cards["doodle"] = replace(app.settings.cards["doodle"], draft=few)
    for text, loras in (("a fox --draft", (("few", 1.0),)), ("a fox --draft --lora ink", (("ink", 1.0), ("few", 1.0)))):
        request = read(app, asked(text)).request
        assert (request.num_inference_steps, request.guidance_scale, request.loras) == (2, 1.5, loras)
    job = await submit.imagine(app, asked("a fox --draft --lora ink:0.5"))
    [claimed] = await app.jobs.claim("worker", capacity=100)
    assert await app.jobs.finish(claimed, [stored()], seconds=1.0, busy_seconds=1.0)
    full_quality = (card.num_inference_steps, card.guidance_scale, (("ink", 0.5),))
    [full] = await submit.enhance(app, await app.jobs.get(job.id), user_id=0, where=job.where)
    assert asked_of(full) == full_quality
    assert sentences(full, app.styles) == []
    remixed = submit.remixed(app, job, "a hare --quality standard", "", user_id=0, where=job.where)
    request = read(app, remixed).request
    assert (request.num_inference_steps, request.loras) == (card.num_inference_steps, (("ink", 0.5),))
    again = read(app, submit.remixed(app, job, "a hare", "", user_id=0, where=job.where)).request
    assert (again.quality, again.loras) == ("draft", (("ink", 0.5), ("few", 1.0)))
    (app.settings.data / LORAS / "doodle" / "few.safetensors").unlink()
    [full] = await submit.enhance(app, await app.jobs.get(job.id), user_id=5, where=job.where)
    assert asked_of(full) == full_quality
    assert sentences(full, app.styles) == [
        "The draft's LoRA few for few steps is not there any more; full quality does without it."
    ]
    (app.settings.data / LORAS / "doodle" / "ink.safetensors").unlink()
    with pytest.raises(BadOption, match="The LoRA ink of that request is not there any more"):
        await submit.enhance(app, await app.jobs.get(job.id), user_id=5, where=job.where)


def test_without_its_lora_a_draft_is_as_usual() -> None:
    said = {"num_inference_steps": 2, "guidance_scale": 1.5, "lora": "few"}
    assert quality(replace(CARD, draft=said), "draft") == Quality(10, 0.75, "dpmpp_2m", skipping=TEACACHE)
