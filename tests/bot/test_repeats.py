"""Repeat exactly: what a picture was painted with, and requests from files alone, also from other programs'."""

from __future__ import annotations

import asyncio
import io
import json
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from sqlalchemy import update

from limner.bot import submit
from limner.bot.app import App
from limner.bot.cli.again import read_again
from limner.bot.errors import BadOption, BadPicture, UserError
from limner.bot.options.ask import Ask
from limner.bot.options.from_picture import read_request
from limner.bot.options.notes import sentences
from limner.bot.options.picture_files import MOST_TEXT, parse, read_parameters
from limner.bot.options.repeats import compared, made_with, sentence_of, shown
from limner.bot.queue.enqueue import NewJob
from limner.bot.settings.settings import Settings
from limner.bot.storage.tables.models import Job
from limner.bot.ui.job.job_details import details
from limner.generators.measured import Measured
from limner.generators.revisions import Revisions
from tests.bot.test_worker import AddingExpander, ask, make_worker, tiny
from tests.rows import asked

__all__ = ["tiny"]
NOBODYS = Ask(text="")
WEB_UI = """masterpiece, (red fox:1.2) <lora:ink:0.7>
in deep snow
Negative prompt: blurry, (text:1.4)
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 2179987202, Size: 24x16, \
Model hash: 93b79e09ed, Model: tiny, Clip skip: 2, Lora hashes: "ink: 0123456789ab", Version: v1.10.1"""
INVOKE = {
    "app_version": "5.4.2",
    "generation_mode": "txt2img",
    "positive_prompt": "a landscape",
    "negative_prompt": "low quality",
    "width": 24,
    "height": 16,
    "seed": 356120443,
    "cfg_scale": 7.5,
    "steps": 50,
    "scheduler": "dpmpp_2m_k",
    "model": {"key": "1234", "hash": "blake3:12", "name": "tiny", "base": "sd-1", "type": "main"},
    "loras": [{"model": {"name": "ink"}, "weight": 0.75}],
}
OLD_INVOKE = {
    "model_weights": "tiny",
    "image": {
        "prompt": [{"prompt": "a fox [blurry] in snow", "weight": 1}],
        "steps": 12,
        "cfg_scale": 7,
        "seed": 5,
        "sampler": "k_euler",
        "width": 24,
        "height": 16,
    },
}


@pytest.fixture
def settings(settings: Settings, tiny: Path) -> Settings:
    return settings.using(models={"tiny": str(tiny)}, device="cpu")


def png(**texts: str) -> bytes:
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    for keyword, text in texts.items():
        info.add_text(keyword.replace("_", "-") if keyword == "sd_metadata" else keyword, text)
    Image.new("RGB", (24, 16), "red").save(file, "PNG", pnginfo=info)
    return file.getvalue()


async def paint(app: App, new: NewJob | Job) -> Job:
    job = new if isinstance(new, Job) else await submit.submit(app, new)
    await make_worker(app, AddingExpander()).run(burst=True)
    return await app.jobs.get(job.id)


def picture(app: App, job: Job, number: int = 0) -> Image.Image:
    return app.images.open(job.images[number].sha256)


async def test_a_request_is_repeated_from_its_file_alone(app: App) -> None:
    """Two pictures with an expansion, a negative prompt, a sampler and a change: the second comes again by itself."""
    options = {
        "count": 2,
        "steps": 4,
        "guidance": 3.25,
        "negative": "text, blur",
        "sampler": "euler_a",
        "size": "24x16",
    }
    new = read(app, "a red cat, {in} snow --upscale 2", **options)
    new = replace(new, request=replace(new.request, steering=((2, "a blue cat"),), stop_after=3))
    job = await paint(app, new)
    file = app.images.read(job.images[1].sha256)

    found = read_request(app, read_parameters(file), NOBODYS)

    request = found.new.request
    assert (found.new.idea, found.new.prompt, found.new.expand) == (job.idea, job.prompt, "off")
    assert request == replace(job.generation, prompt=job.idea, num_images_per_prompt=1, seed=8)
    assert (found.left_out, found.made_with) == ((), job.made_with)
    again = await paint(app, found.new)
    assert picture(app, again).tobytes() == picture(app, job, 1).tobytes() != picture(app, job).tobytes()


async def test_what_was_made_from_pictures_is_repeated_with_those_of_the_log(app: App, tmp_path: Path) -> None:
    start, mask = [await app.inputs.store(data) for data in (squares("red", "blue"), squares("black", "white"))]
    new = read(app, "a blue cat", image=start, strength=0.8, steps=4)
    job = await paint(app, replace(new, request=replace(new.request, mask=mask, part="the cat")))
    file = tmp_path / "edit.png"
    file.write_bytes(app.images.read(job.images[0].sha256))

    again = await read_again(app, file, NOBODYS)

    assert again.new.request == replace(job.generation, prompt=job.idea)
    assert await again.notes(app, await paint(app, again.new)) == ["The same as edit.png, pixel by pixel."]
    app.images.delete(mask)
    with pytest.raises(BadOption, match="the mask of what was painted is not stored any more"):
        await read_again(app, file, NOBODYS)
    app.images.delete(start)
    with pytest.raises(BadOption, match="not stored any more; give that one with --image too"):
        await read_again(app, file, NOBODYS)
    other = await app.inputs.store(squares("green", "black"))
    assert (await read_again(app, file, NOBODYS.saying(image=other))).new.request.given == (other,)


def squares(left: str, right: str) -> bytes:
    """A PNG file of two colours beside each other."""
    image, file = Image.new("RGB", (16, 16), left), io.BytesIO()
    image.paste(right, (8, 0, 16, 16))
    image.save(file, "PNG")
    return file.getvalue()


def read(app: App, text: str, **options: Any) -> NewJob:
    from limner.bot.options.ask import read

    return read(app, asked(text, seed=7, **options))


async def test_the_row_and_the_file_say_what_it_was_painted_with_and_repeat_compares(app: App) -> None:
    job = await paint(app, await ask(app))
    assert job.made_with
    assert list(job.made_with) == ["Model hash", "Scheduler", "Device", "torch", "diffusers", "Version"]
    pairs = parse(picture(app, job).info["parameters"]).pairs
    assert {**pairs, **job.made_with} == pairs

    again = await paint(app, await submit.repeat(app, job, where=job.where))
    assert sentences(again, app.styles)[0] == f"The same as request {job.id}, pixel by pixel."

    async with app.database.begin() as session:
        others = job.made_with | {"diffusers": "0.1", "Model hash": "0" * 16}
        request = job.request | {"seed": 99}  # stands for another library's random numbers
        await session.execute(update(Job).where(Job.id == job.id).values(made_with=others, request=request))
        await session.execute(update(Job).values(click_key=None))  # the next one is no double click
    other = await paint(app, await submit.repeat(app, await app.jobs.get(job.id), where=job.where))
    said = sentences(other, app.styles)[0]
    now = job.made_with
    assert said == (
        f"Not quite the same as request {job.id}: the model's files {'0' * 16} then, {now['Model hash']} now, "
        f"diffusers 0.1 then, {now['diffusers']} now."
    )

    await app.history.delete(job.id)
    async with app.database.read() as session:
        assert (await session.get_one(Job, job.id)).made_with is None


def test_what_cannot_be_compared_is_told() -> None:
    red, blue = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    assert "are gone" in sentence_of(compared({}, {}, []), "it")
    assert "not known" in sentence_of(compared(None, {}, [(red, blue)]), "it")
    assert "may round" in sentence_of(compared({}, {}, [(red, blue)]), "it")
    assert "pixel by pixel" in sentence_of(compared({}, {}, [(red, red)]), "it")
    assert "pixel by pixel" not in sentence_of(compared({}, {}, [(red, red.resize((4, 4)))]), "it")


def test_a_file_is_hashed_once_as_long_as_it_stays_as_it_is(tmp_path: Path) -> None:
    folder, kept = tmp_path / "model", tmp_path / "measured.json"
    weights = folder / "unet" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    (folder / "model_index.json").write_text("{}")
    (folder / ".cache").mkdir()
    first, state = Revisions(Measured(kept)).of(folder), weights.stat()
    (folder / ".cache" / "left.json").write_text("{}")
    weights.write_bytes(b"two")
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    revisions = Revisions(Measured(kept))
    assert revisions.of(folder) == first, "it was read again"
    os.utime(weights, ns=(0, 0))
    assert revisions.of(folder) not in (first, "")
    assert revisions.of(folder / "nowhere") == ""
    assert len(revisions.of(weights)) == 16


async def test_loras_and_adapters_are_named_with_their_hashes(app: App, tmp_path: Path) -> None:
    (tmp_path / "ink.safetensors").write_bytes(b"ink")
    card = replace(app.settings.cards["tiny"], loras={"ink": str(tmp_path / "ink.safetensors")})
    request = replace(read(app, "a fox").request, loras=(("ink", 0.5),), scheduler="euler_a")
    found = made_with(card, request, "cuda:1", Revisions(Measured()))
    assert found["Lora hashes"].startswith("ink: ")
    assert (found["Device"], found["Scheduler"]) == ("cuda", "EulerAncestralDiscreteScheduler")
    assert "Adapter hashes" not in found


async def test_the_web_uis_parameters_are_read(app: App) -> None:
    for file in (png(parameters=WEB_UI), jpeg(WEB_UI)):
        with pytest.raises(BadOption, match="LoRA"):  # the model has none of that name
            read_request(app, read_parameters(file), NOBODYS)
        said = read_parameters(file)
        found = read_request(app, replace(said, prompt=said.prompt.replace("<lora:ink:0.7>", "")), NOBODYS)
        request = found.new.request
        assert found.new.prompt == "masterpiece, (red fox:1.2) in deep snow"
        assert request.negative_prompt == "blurry, (text:1.4)"
        assert (request.num_inference_steps, request.guidance_scale, request.seed) == (20, 7.5, 2179987202)
        assert (request.size, request.scheduler, request.model) == ((24, 16), "dpmpp_2m_karras", "tiny")
        assert (found.left_out, found.made_with) == (("Clip skip",), None)


async def test_invokeais_metadata_are_read(app: App) -> None:
    said = read_parameters(png(invokeai_metadata=json.dumps(INVOKE)))
    assert said.pairs["LoRA"] == "ink:0.75"
    said = replace(said, pairs={key: value for key, value in said.pairs.items() if key != "LoRA"})
    request = read_request(app, said, NOBODYS).new.request
    assert (request.prompt, request.negative_prompt, request.seed) == ("a landscape", "low quality", 356120443)
    assert (request.size, request.scheduler, request.num_inference_steps) == ((24, 16), "dpmpp_2m_karras", 50)

    found = read_request(app, read_parameters(png(sd_metadata=json.dumps(OLD_INVOKE))), NOBODYS)
    assert (found.new.prompt, found.new.request.negative_prompt) == ("a fox in snow", "blurry")
    assert found.left_out == ("Sampler k_euler",)


async def test_options_and_words_that_are_given_win_over_the_files(app: App) -> None:
    said = read_parameters(png(parameters="a fox\nSteps: 20, Seed: 7, Size: 24x16, Model: other"))
    with pytest.raises(BadOption, match="the model other, which is not offered here; add --model and one of: tiny"):
        read_request(app, said, NOBODYS)
    found = read_request(app, said, Ask(text="a whale --steps 3", options={"model": "tiny", "seed": "9"}))
    request = found.new.request
    assert (found.new.idea, request.num_inference_steps, request.seed, request.size) == ("a whale", 3, 9, (24, 16))


async def test_what_a_file_does_not_hold_is_asked_for(app: App) -> None:
    ours = "a fox\nSteps: 20, Seed: 7, Size: 24x16, Model: tiny, Denoising strength: 0.5, Version: Limner 1"
    with pytest.raises(BadOption, match="give that one with --image too"):
        read_request(app, parse(ours), NOBODYS)
    with pytest.raises(BadOption, match="give that one with --blend too"):
        read_request(app, parse(ours.replace("Denoising strength: 0.5", "Blended pictures: 2")), NOBODYS)
    with pytest.raises(BadOption, match="which words"):
        read_request(app, parse("\nSteps: 20, Seed: 7, Size: 24x16"), NOBODYS)
    flags = read_request(app, parse("a fox --seed 5 {a,b} __animal__\nSteps: 2, Seed: 7, Size: 24x16"), NOBODYS)
    assert (flags.new.request.seed, flags.new.prompt) == (7, "a fox --seed 5 {a,b} __animal__")


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "no parameters": png(),
    "too long": png(parameters="x" * (MOST_TEXT + 1)),
    "deep": png(invokeai_metadata="[" * 50_000),
    "no table": png(invokeai_metadata="7"),
    "half a value": png(parameters='a\nSteps: 1, Seed: 2, Size: "half'),
    "cut off": png(parameters=WEB_UI)[:60],
}


@pytest.mark.parametrize("file", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_file_gets_one_sentence(app: App, file: bytes) -> None:
    with pytest.raises((BadPicture, BadOption)) as refused:
        read_request(app, read_parameters(file), NOBODYS)
    assert isinstance(refused.value, UserError)


async def test_a_text_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(300_000_000), 1)
    chunk = b"zTXt" + b"parameters\0\0" + bomb
    length, check = len(chunk) - 4, zlib.crc32(chunk)
    plain = png()
    file = plain[:33] + length.to_bytes(4, "big") + chunk + check.to_bytes(4, "big") + plain[33:]
    with pytest.raises(BadPicture):
        await asyncio.to_thread(read_parameters, file)


def test_a_line_without_end_takes_no_time() -> None:
    assert parse(f"a fox\n{' ' * (MOST_TEXT // 2)}{'a' * (MOST_TEXT // 2)}").pairs == {}
    assert len(parse(", ".join(f"Key {number}: v" for number in range(20_000))).pairs) <= 200


def jpeg(parameters: str) -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + parameters.encode("utf-16-be")
    Image.new("RGB", (24, 16), "red").save(file, "JPEG", exif=exif)
    return file.getvalue()


async def test_details_name_what_it_was_painted_with_and_the_hashes_in_short(app: App) -> None:
    job = await paint(app, read(app, "a red cat", steps=1, size="24x16"))
    assert job.made_with
    assert len(job.made_with["Model hash"]) == 16
    fields = {field.name: field.value for field in details(job, app.styles).fields}
    said = str(fields["Painted with"])
    assert said.startswith(f"the model's files {job.made_with['Model hash'][:8]} · the scheduler ")
    assert f"· torch {job.made_with['torch']} ·" in said
    others = {"Lora hashes": f"ink: {'a' * 16}, {'b' * 16}: {'c' * 16}", "Label": "0123456789abcdef here"}
    assert shown(others) == (
        f"the LoRA's files ink: {'a' * 8}, {'b' * 16}: {'c' * 8} · the label in the corner 0123456789abcdef here"
    )
