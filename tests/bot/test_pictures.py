"""The files of a picture: what they say of how it was made, and how small they get."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from limner.bot.limits import ALT_TEXT
from limner.bot.parameters import parameters
from limner.bot.storage.copies import fit, small_copy
from limner.bot.storage.image_files import describe, encode_png
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
    assert [*pairs] == ["Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Version"]
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


def test_a_picture_that_is_too_large_becomes_the_best_that_fits_and_still_tells_how_it_was_made() -> None:
    job = make_job("夕阳下的海滩")
    image = Image.effect_noise((20, 20), 60).resize((320, 320), Image.Resampling.BICUBIC).convert("RGB")
    png = encode_png(image, parameters(job, make_card(), 7))
    assert fit(png, len(png)) == ("png", png)
    found: dict[str, bytes] = {}
    for most in (int(len(png) * share) for share in (0.99, 0.4, 0.2)):
        kind, data = fit(png, most) or ("", b"")
        assert len(data) <= most
        found[kind] = data
        copy = Image.open(io.BytesIO(data))
        assert copy.size == image.size
        comment = copy.getexif().get_ifd(0x8769)[0x9286]
        assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be") == text_chunk(png)
    assert [*found] == ["webp", "jpg"]
    assert Image.open(io.BytesIO(found["webp"])).convert("RGB").tobytes() == image.tobytes()
    assert fit(png, 300) is None


@pytest.mark.parametrize("most", [60, 2000])
def test_a_transparent_picture_can_be_made_small_too(most: int) -> None:
    noise = Image.effect_noise((48, 48), 90)
    clear = Image.merge("RGBA", (noise, noise.rotate(90), noise.rotate(180), noise))
    found = fit(encode_png(clear, "x"), most)
    assert found is None if most == 60 else found and Image.open(io.BytesIO(found[1])).size == (48, 48)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_copy_is_small_and_keeps_its_shape(kind: str) -> None:
    copy = Image.open(io.BytesIO(small_copy(encode_png(Image.new("RGB", (300, 150)), "x"), 100, kind)))
    assert (copy.format, copy.size) == (kind, (100, 50))
