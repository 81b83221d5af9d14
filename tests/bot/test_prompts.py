"""What a prompt may hold besides words and flags: LoRAs."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from limner.bot import submit
from limner.bot.app import App
from limner.bot.options.ask import read
from limner.bot.settings.model_sources import LORAS
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.trigger_words import MOST_BYTES, trigger_words
from tests.other_clients import told
from tests.rows import asked, put_lora
from tests.simulated_discord import World


def written(folder: Path, metadata: object, *, padding: int = 0) -> Path:
    """A LoRA file without tensors that says this about itself."""
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"__metadata__": metadata}).encode() + b" " * padding
    file = folder / "ink.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    return file


@pytest.mark.parametrize(
    ("text", "idea", "loras"),
    [
        ("a fox <lora:ink:0.7>, at night", "a fox , at night", (("ink", 0.7),)),
        ("<LORA:ink> a fox --lora gold:0.5", "a fox", (("gold", 0.5), ("ink", 1.0))),
        ("a fox --lora ink:0,7,gold", "a fox", (("ink", 0.7), ("gold", 1.0))),
        ('a sign "<lora:ink>"', 'a sign "<lora:ink>"', ()),
        ("a < b lora:ink>", "a < b lora:ink>", ()),
    ],
)
async def test_loras_among_the_words_are_the_option(app: App, text: str, idea: str, loras: object) -> None:
    put_lora(app.settings, "ink")
    put_lora(app.settings, "gold")
    new = read(app, asked(text))
    assert (new.idea, new.request.loras) == (idea, loras)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a fox <lora:inc:0.7>", "The model doodle has no LoRA of that name; what comes nearest is ink."),
        ("a fox <lora:ink:9>", "The weight of a LoRA must be from 0 to 2, such as ink:0.7."),
        ("a fox <lora:ink> --lora ink:0.2", "The LoRA ink is named twice; name it once."),
        ("<lora:ink>", "The prompt has only flags; write what you want to see before them."),
        ("a fox " + "<lora:ink>" * 6, "A picture takes at most 5 LoRAs; leave some out."),
    ],
)
async def test_each_wrong_lora_is_one_sentence(app: App, text: str, sentence: str) -> None:
    put_lora(app.settings, "ink")
    with pytest.raises(Exception, match="^" + sentence) as told:
        await submit.imagine(app, asked(text))
    assert str(told.value) == sentence


async def test_whatever_needs_a_lora_that_is_gone_is_refused_before_the_queue(world: World) -> None:
    put_lora(world.settings, "ink")
    first = await world.painted("a fox <lora:ink:0.5>", quality="draft")
    shown = await world.bob.click(world.message(first), label="Picture")
    assert shown.response
    (world.settings.data / LORAS / "doodle" / "ink.safetensors").unlink()
    await world.restart()
    gone = (
        "The LoRA ink of that request is not there any more; choose Reuse settings in the menu of its message (Apps), "
        "and leave the LoRA out."
    )
    form = await world.ada.click(world.message(first), label="Remix")
    for refused in (
        await world.ada.click(world.message(first), label="Reroll"),
        await world.ada.click(world.message(first), label="Enhance"),
        await world.bob.click(shown.response, label="Vary subtle"),
        await world.bob.click(shown.response, label="Vary strong"),
    ):
        assert told(refused) == gone
    assert told(await world.ada.submit_modal(form, {"idea": "a cat", "negative": ""})).startswith(gone)
    assert (await world.newest()).id == first.id
    assert not (await world.bob.click(shown.response, label="Upscale 2x")).ephemeral
    form = await world.ada.context_menu(world.channel, "Reuse settings", world.message(first))
    await world.ada.submit_modal(form, {"prompt": "a fox", "negative": "", "options": "seed: 7"})
    assert (await world.newest()).generation.loras == ()


async def test_suggestions_name_the_words_and_keep_what_is_typed(world: World) -> None:
    folder = world.settings.data / LORAS / "doodle"
    written(
        folder, {"ss_tag_frequency": json.dumps({"10_ink": {"brush": 3, "ink drawing": 9}, "2_more": {"brush": 1}})}
    )
    put_lora(world.settings, "gold")
    found = await world.ada.autocomplete(world.channel, "imagine", "lora", "gold:0.5, i")
    assert [(one["name"], one["value"]) for one in found] == [
        ("gold:0.5, ink (words: ink drawing, brush)", "gold:0.5, ink")
    ]
    job = await world.imagine("a red fox", lora=found[0]["value"])
    assert job.generation.loras == (("gold", 0.5), ("ink", 1.0))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"modelspec.trigger_phrase": "an  ink\ndrawing"}, "an ink drawing"),
        ({"ss_tag_frequency": "[" * 5000}, ""),
        ({"ss_tag_frequency": '{"a": 7, "b": {"x": "y"}}'}, ""),
        (["no", "table"], ""),
        ({}, ""),
    ],
)
def test_the_words_of_a_file_whatever_it_says(tmp_path: Path, metadata: object, words: str) -> None:
    assert trigger_words(written(tmp_path, metadata)) == words


def test_the_words_beside_a_file_come_first(tmp_path: Path) -> None:
    file = written(tmp_path, {"modelspec.trigger_phrase": "ink"})
    file.with_suffix(".json").write_text('{"activation text": "brush,  bold line"}')
    assert trigger_words(file) == "brush, bold line"
    file.with_suffix(".civitai.info").write_text('{"trainedWords": ["1girl, ink", 7]}')
    assert trigger_words(file) == "1girl, ink"
    file.with_suffix(".civitai.info").write_text("[" * 5000)
    assert trigger_words(file) == "brush, bold line"


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    assert not trigger_words(written(tmp_path, {"modelspec.trigger_phrase": "ink"}, padding=MOST_BYTES))
    assert not trigger_words(tmp_path / "gone.safetensors")


def test_the_model_says_the_words_of_its_loras(tmp_path: Path) -> None:
    (tmp_path / "limner.json").write_text('{"loras": {"ink": "ink.safetensors"}, "lora_words": {"ink": "ink drawing"}}')
    assert ModelCard.read("m", str(tmp_path)).lora_words == {"ink": "ink drawing"}
