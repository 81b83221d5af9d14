"""The files of a picture: what they say of how it was made, and how small they get."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from limner.bot.storage.image_files import ALT_TEXT, describe, encode_png, parameters, shrink
from limner.bot.storage.models import Job
from limner.generators.base import GenerationRequest, ModelCard

#: AUTOMATIC1111's own expressions for the last line (modules/infotext_utils.py), by which other tools read it.
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def make_job(idea: str = "a red cat", **changes: object) -> Job:
    usual: dict[str, object] = {
        "prompt": idea,
        "model": "doodle",
        "width": 128,
        "height": 64,
        "num_inference_steps": 16,
        "guidance_scale": 4.0,
        "seed": 7,
    }
    request = GenerationRequest(**(usual | changes))  # pyright: ignore[reportArgumentType]
    return Job(created_at=0.0, idea=idea, request=request.to_json())


def make_picture(width: int = 64, height: int = 64) -> Image.Image:
    noise = Image.effect_noise((width, height), 80)
    return Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180)))


def make_card(source: str = "nowhere") -> ModelCard:
    return ModelCard(name="doodle", source=source)


def text_chunk(png: bytes) -> str:
    image = Image.open(io.BytesIO(png))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    return str(image.text["parameters"])


def test_a_png_tells_how_it_was_made_in_the_words_that_other_tools_read(tmp_path: Path) -> None:
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "EulerDiscreteScheduler"}')
    job = make_job(negative_prompt="text, blur")
    text = text_chunk(encode_png(make_picture(), parameters(job, make_card(str(tmp_path)), 8)))
    prompt, negative, last = text.split("\n")
    assert prompt == "a red cat"
    assert negative == "Negative prompt: text, blur"
    pairs = dict(PAIR.findall(last))
    assert pairs.pop("Version").startswith("Limner ")
    assert pairs == {
        "Steps": "16",
        "Sampler": "EulerDiscreteScheduler",
        "CFG scale": "4",
        "Seed": "8",
        "Size": "128x64",
        "Model": "doodle",
    }


def test_a_name_with_a_comma_does_not_break_the_line() -> None:
    job = make_job(model="doodle, the second: v2")
    pairs = dict(PAIR.findall(parameters(job, make_card(), 7).split("\n")[-1]))
    assert json.loads(pairs["Model"]) == "doodle, the second: v2"
    assert pairs["Seed"] == "7"
    assert "Sampler" not in pairs


@pytest.mark.parametrize(("idea", "chunk"), [("a café", b"tEXt"), ("夕阳下的海滩 🦊", b"iTXt")])
def test_any_language_survives_in_the_text_chunk(idea: str, chunk: bytes) -> None:
    png = encode_png(make_picture(), parameters(make_job(idea), make_card(), 7))
    assert chunk in png
    assert text_chunk(png).split("\n")[0] == idea


def test_alt_text_is_the_prompt_or_as_much_of_it_as_fits() -> None:
    job = make_job("a cat")
    assert describe(job) == "a cat"
    job.prompt = "a cat,\n in the snow"
    assert describe(job) == "a cat, in the snow"
    job.prompt = "猫 " * 2000
    assert len(describe(job)) == ALT_TEXT
    assert describe(job).endswith("猫…")


def test_each_step_of_the_ladder_is_a_picture_that_still_tells_how_it_was_made() -> None:
    job = make_job("夕阳下的海滩")
    png = encode_png(make_picture(), parameters(job, make_card(), 7))
    ladder = list(shrink(png))
    assert [extension for extension, _ in ladder[:3]] == ["png", "webp", "jpg"]
    assert ladder[0][1] == png
    original = Image.open(io.BytesIO(png))
    lossless = Image.open(io.BytesIO(ladder[1][1]))
    assert lossless.convert("RGB").tobytes() == original.tobytes()
    jpegs = [len(data) for extension, data in ladder if extension == "jpg"]
    assert len(jpegs) > 3
    assert jpegs == sorted(jpegs, reverse=True)
    assert jpegs[-1] < len(png) / 4
    for _, data in ladder[1:]:
        comment = Image.open(io.BytesIO(data)).getexif().get_ifd(0x8769)[0x9286]
        assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be") == text_chunk(png)


def test_a_transparent_picture_can_be_made_small_too() -> None:
    png = encode_png(Image.new("RGBA", (16, 16), (255, 0, 0, 128)), "x")
    assert [Image.open(io.BytesIO(data)).size for _, data in shrink(png)] == [(16, 16)] * 8
