"""The floor's doors: every way on which words reach a picture, tried by members of the real bot and by its command.

The words are harmless each by itself, as in test_floor.
"""

from __future__ import annotations

from pathlib import Path

import discord
import pytest
import simcord
from sqlalchemy import update

from limner.bot.filters.rulebook.entries import Entry
from limner.bot.filters.rules import RuleAction
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.wildcards import FOLDER
from limner.bot.worker.prepare import settle_description, settle_prompt
from limner.generators.language.expanders import NoExpander
from tests.bot.test_command_line import limner_here, rows
from tests.bot.test_floor import BARE, CHILD
from tests.bot.test_picture_actions import tiny
from tests.bot.test_steering import change, painting
from tests.other_clients import told
from tests.rows import put_editor, put_lora, put_references, put_restyler
from tests.simulated_discord import World, png

__all__ = ["tiny"]

BOTH = f"{CHILD} {BARE}"
CODE = "filter:floor-minors"
SUBJECTS = pytest.mark.parametrize(
    ("subject", "who"), [("minors", CHILD), pytest.param("persons", "emma watson", marks=pytest.mark.slow)]
)


@pytest.fixture
def settings(settings: Settings, tiny: Path, tmp_path: Path) -> Settings:
    """With models that paint parts of pictures, make ink drawings of them and mix styles, two of them named oddly."""
    put_references(settings)
    layers = put_restyler(tmp_path / "layers", kind="gan", restyles=False, style_layers=4)
    models = {**settings.models, "tiny": f"{tiny}@64x64", "ink": put_restyler(tmp_path / "ink"), "layers": layers}
    models |= {"edits": put_editor(tmp_path / "edits")} | dict.fromkeys(
        (f"{BARE}_v2", "children", "emma_watson"), layers
    )
    return settings.using(models=models, image_text_model="there/is-one", segmentation_model="there/is-one")


async def stopped(world: World, door: str, result: simcord.InteractionResult, code: str = CODE) -> None:
    """What a member sees, and the row, which has no word."""
    assert "refused everywhere" in told(result), (door, told(result))
    row = await world.newest()
    assert (row.status, row.reason_code) == (JobStatus.REFUSED, code), door
    words = row.request | {"model": ""}  # the operator's, not the member's
    kept = str([row.idea, words, row.prompt, row.expansion, row.notes, row.search_text, row.input_name])
    assert not [word for word in (BARE, "child", "watson") if word in kept], door
    await world.app.history.delete(row.id)  # so that members are not kept waiting for having been refused too often


@SUBJECTS
async def test_every_option_of_a_request(world: World, subject: str, who: str) -> None:
    world.restrict(True)
    named, models = who.replace(" ", "_"), {CHILD: "children", "emma watson": "emma_watson"}
    put_lora(world.settings, BARE)
    put_lora(world.settings, named)
    folder = world.settings.data / FOLDER
    folder.mkdir()
    (folder / "look.txt").write_text(f"{BARE}\n")
    (folder / "who.txt").write_text(f"{who}\n")
    styles = {"look": f"{{prompt}}, {BARE}", "who": f"{who}, {{prompt}}"}
    own_styles = {name: {"title": name, "prompt": text, "negative": ""} for name, text in styles.items()}
    await world.app.guilds.change(world.guild.id, 1, own_styles=own_styles, explicit_limit_restricted=1.0)
    await world.grace.slash(world.channel, "lists add", name="dress", file=("a.txt", f"{BARE}\n".encode()))
    doors: dict[str, dict[str, object]] = {
        "idea": {"prompt": f"{who} {BARE}"},
        "negative prompt": {"prompt": who, "negative": "clothes"},
        "flag": {"prompt": f"{who} --no clothes"},
        "braces": {"prompt": f"{who} {{{BARE}, a fox}}"},
        "a server's style": {"prompt": who, "style": "look"},
        "a server's style of somebody": {"prompt": f"{BARE} on a sofa", "style": "who"},
        "LoRA": {"prompt": who, "lora": BARE},
        "LoRA of somebody": {"prompt": f"{BARE} on a sofa", "lora": named},
        "model": {"prompt": who, "model": f"{BARE}_v2"},
        "model of somebody": {"prompt": f"{BARE} on a sofa", "model": models[who]},
        "mix": {"prompt": f"{who} --mix {BARE}", "model": "layers"},
        "mix of somebody": {"prompt": f"{BARE} on a sofa --mix {who}", "model": "layers"},
        "wildcard": {"prompt": f"{who} __look__"},
        "wildcard of somebody": {"prompt": f"{BARE}, __who__"},
        "a server's wildcard": {"prompt": f"{who} __dress__"},
        "file name": {"prompt": who, "image": (f"{BARE}.png", png())},
        "file name of somebody": {"prompt": f"{BARE} on a sofa", "image": (f"{named}.png", png())},
    }
    code = f"filter:floor-{subject}"
    for door, options in doors.items():
        await stopped(world, door, await world.ada.slash(world.channel, "imagine", **options), code)
    animated = await world.ada.slash(world.channel, "animate", prompts=f"{who} | {BARE}")
    await stopped(world, "the prompts of an animation", animated, code)
    pictures = {"image1": (f"{BARE}.png", png()), "image2": (f"{named}.png", png(shade=9))}
    await stopped(world, "file names of /blend", await world.ada.slash(world.channel, "blend", **pictures), code)
    described = await world.ada.slash(world.channel, "describe", picture=(f"{BARE}_{named}.png", png()))
    await stopped(world, "file name of /describe", described, code)
    await stopped(world, "direct message", await world.ada.user.slash("imagine", prompt=f"{who} {BARE}"), code)


async def test_every_server_that_is_for_adults(world: World) -> None:
    guild = world.bot.get_guild(world.guild.id)
    assert guild
    guild.nsfw_level = discord.NSFWLevel.age_restricted
    await stopped(world, "server", await world.ada.slash(world.channel, "imagine", prompt=BOTH))


@SUBJECTS
async def test_words_for_a_picture_that_is_there(world: World, subject: str, who: str) -> None:
    both, code = f"{who} {BARE}", f"filter:floor-{subject}"
    job = await world.painted(who, model="tiny")
    shown = await world.ada.click(world.message(job), custom_id=f"limner:picture:{job.id}:1")
    assert shown.response
    for label, values in {
        "Start from this": {"idea": both, "strength": "0.5"},
        "Edit region": {"idea": both, "rest": ["exact"], "cells": ["A1"]},
        "Edit by words": {"idea": BARE},
        "Edit region: the part": {"idea": who, "rest": ["exact"], "part": BARE},
    }.items():
        form = await world.ada.click(shown.response, label=label.partition(":")[0])
        if label.startswith("Edit region"):
            assert form.response
            form = await world.ada.click(form.response, label="Choose the part")
        await stopped(world, label, await world.ada.submit_modal(form, values), code)
    doodle = await world.painted(who)
    shown = await world.ada.click(world.message(doodle), custom_id=f"limner:picture:{doodle.id}:1")
    assert shown.response
    form = await world.ada.click(shown.response, label="Use as reference")
    values = {"idea": both, "role": ["style"], "weight": "0.5"}
    await stopped(world, "Use as reference", await world.ada.submit_modal(form, values), code)
    form = await world.ada.click(world.message(job), label="Remix")
    await stopped(world, "Remix", await world.ada.submit_modal(form, {"idea": both}), code)


@SUBJECTS
async def test_words_for_a_picture_that_is_being_painted(world: World, subject: str, who: str) -> None:
    job = await painting(world)
    await stopped(world, "Change", await change(world, job, f"{who} {BARE}"), f"filter:floor-{subject}")
    assert (await world.app.jobs.get(job.id)).steer_to is None


@SUBJECTS
async def test_a_request_from_before_the_floor(world: World, subject: str, who: str) -> None:
    both, code = f"{who} {BARE}", f"filter:floor-{subject}"
    job = await world.painted("a red fox --draft")
    async with world.app.database.begin() as session:
        before = {"idea": both, "prompt": both, "request": job.request | {"prompt": both}}
        await session.execute(update(Job).where(Job.id == job.id).values(**before))
    shown = await world.ada.click(world.message(job), custom_id=f"limner:picture:{job.id}:1")
    assert shown.response
    for label in ("Enhance", "Reroll", "Restyle"):
        await stopped(world, label, await world.ada.click(world.message(job), label=label), code)
    for label in ("Vary subtle", "Upscale 2x", "Adjust"):
        await stopped(world, label, await world.ada.click(shown.response, label=label), code)


async def test_what_a_rule_puts_in_the_place_of_words(world: World) -> None:
    rule = Entry(pattern="fox", action=RuleAction.REPLACE, replacement=BARE)
    await world.app.filters.put_all(world.guild.id, [rule], world.grace.id)
    await stopped(world, "idea", await world.ada.slash(world.channel, "imagine", prompt=f"{CHILD} and a fox"))
    style = {"title": "Look", "prompt": "{prompt}, fox", "negative": ""}
    job = await world.imagine(CHILD)
    await world.app.guilds.change(world.guild.id, 1, own_styles={"look": style})
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(style="look"))
    assert not await settle_prompt(world.app, NoExpander(), await world.claim())
    described = await world.ada.slash(world.channel, "describe", picture=("a.png", png()))
    assert described.response
    assert not await settle_description(world.app, await world.claim(), f"{CHILD} and a fox", 0.1)
    assert {(await world.app.jobs.get(one)).reason_code for one in (job.id, (await world.newest()).id)} == {CODE}


def test_the_command(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, data = tmp_path / f"{BARE}.png", settings.data
    file.write_bytes(png())
    for who in (CHILD, "emma watson"):
        for command in (("imagine", who, "--image", str(file)), ("animate", f"{who} | {BARE}")):
            code, printed, complaint = limner_here(capsys, data, *command)
            assert (code, printed) == (2, "")
            assert "refused everywhere" in complaint
    refused = [(row["status"], row["reason_code"], row["idea"]) for row in rows(data)]
    assert (
        refused[::2]
        == refused[1::2]
        == [(JobStatus.REFUSED, CODE, ""), (JobStatus.REFUSED, "filter:floor-persons", "")]
    )
