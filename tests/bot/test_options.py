"""What /imagine can be asked for: declared once, found everywhere, and kept by a remix."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.errors import BadOption, UserError
from limner.bot.options.ask import Ask, read
from limner.bot.options.declarations import OPTIONS, by_name, values
from limner.bot.options.flags import parse_prompt
from limner.bot.options.option import Option, OptionKind
from limner.bot.place import OUTSIDE
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.requests import Finish, GenerationRequest
from limner.generators.style_mix import StyleMix
from tests.rows import asked, put_lora, put_references, put_restyler
from tests.simulated_discord import World
from tests.tiny_models import build_tiny_flux_pipeline

ROOT = Path(__file__).resolve().parent.parent.parent

SAID: dict[str, Any] = {
    "negative": "fog",
    "aspect": "3:2",
    "size": "288x224",
    "count": "2",
    "repeat": "3",
    "quality": "draft",
    "refine": "2",
    "steps": "9",
    "sampler": "unipc",
    "skipping": "magcache",
    "guidance": "2.5",
    "guided": "0.2-0.8",
    "seed": "7",
    "style": "noir",
    "model": "doodle",
    "lora": "ink:0.5",
    "mix": "7@2",
    "image": "0" * 64,
    "link": "https://discord.com/channels/1/2/3",
    "strength": "0.6",
    "sref": "1" * 64,
    "sw": "0.3",
    "cref": "2" * 64,
    "cw": "0.9",
    "areas": "all",
    "smask": "6" * 64,
    "cmask": "7" * 64,
    "blend": f"{'3' * 64},{'4' * 64}",
    "control": "5" * 64,
    "controls": "edges:0.5:0-0.5, depth",
    "tile": "on",
    "upscale": "2",
    "crop": "2:1",
    "resize": "640x480",
    "colour": "0.5",
    "sharpen": "1.5",
    "expand": "off",
    "private": "on",
}
NAMES = {
    "negative": ["fog", "text, people"],
    "sampler": ["unipc", "dpmpp_2m"],
    "quality": ["draft", "fine"],
    "skipping": ["teacache", "magcache", "off"],
    "guided": ["0.2-0.8", "0-0.5"],
    "style": ["noir", "watercolor"],
    "model": ["doodle"],
    "lora": ["ink", "ink:0.125"],
    "mix": ["7@2", "3x4@1", "the digit two@3"],
    "image": ["0" * 64],
    "link": ["https://discord.com/channels/1/2/3", "https://discord.com/channels/1/2/3 2"],
    "sref": ["1" * 64, f"{'1' * 64},{'2' * 64}"],
    "cref": ["2" * 64],
    "areas": ["all"],
    "smask": ["6" * 64],
    "cmask": ["7" * 64],
    "blend": [f"{'3' * 64},{'4' * 64}"],
    "control": ["5" * 64],
    "controls": ["pose", "edges:0.5:0-0.5, depth"],
    "expand": ["on", "off"],
    "private": ["on"],
    "tile": ["on"],
}


def test_there_is_an_example_of_every_option_here() -> None:
    assert SAID.keys() == {option.name for option in OPTIONS}


def test_discord_takes_every_help_text_and_every_flag_is_of_one_option() -> None:
    assert [option.name for option in OPTIONS if not 1 <= len(option.help) <= 100] == []
    flags = [flag for option in OPTIONS for flag in (*option.flags, *option.bare)]
    assert len(flags) == len(set(flags))


def written(option: Option) -> st.SearchStrategy[Any]:
    """Values of an option that the shipped model and the default settings allow."""
    if option.kind == OptionKind.WHOLE:
        return st.integers(int(option.least), int(option.most or 50))
    if option.kind == OptionKind.NUMBER:
        return st.decimals(int(option.least * 100), int((option.most or 30) * 100), places=0).map(
            lambda number: float(number) / 100
        )
    if option.kind in (OptionKind.RATIO, OptionKind.SIZE):
        side = st.sampled_from([192, 224, 320])
        return st.tuples(side, side)
    return st.sampled_from(NAMES[option.name])


ABOUT = {"areas": "cref", "smask": "sref", "cmask": "cref", "sw": "sref", "cw": "cref", "controls": "control"}
"""Options about a picture, which are refused without it."""


def whole(said: dict[str, Any]) -> dict[str, Any]:
    """The options without those about a picture that is not given, and without one mask for several pictures."""
    said = {name: value for name, value in said.items() if ABOUT.get(name, name) in said}
    return {name: value for name, value in said.items() if name != "smask" or "," not in said["sref"]}


SOME = st.fixed_dictionaries({}, optional={option.name: written(option) for option in OPTIONS}).map(whole)


@given(SOME)
def test_what_is_written_is_read_again(said: dict[str, Any]) -> None:
    for option in OPTIONS:
        if option.name in said:
            assert option.parse(option.write(said[option.name])) == said[option.name]


@given(SOME)
def test_every_flag_says_what_its_option_says(said: dict[str, Any]) -> None:
    said = {name: "12-1" if by_name()[name].kind == OptionKind.PICTURE else value for name, value in said.items()}
    options = [option for option in OPTIONS if option.flags and option.name in said]
    text = " ".join(["a fox", *(f'--{one.flags[-1]} "{one.write(said[one.name])}"' for one in options)])
    read_back = parse_prompt(text, max_length=1500).options
    assert {name: str(value).strip('"') for name, value in read_back.items()} == {
        one.name: str(said[one.name]) for one in options
    }


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With a model that takes references and control pictures and, by its card, mixes styles, and one that reads."""
    put_references(settings)
    folder = shutil.copytree(PRETRAINED / "doodle", tmp_path / "mixing", copy_function=os.symlink)
    card = json.loads((folder / "limner.json").read_text())
    (folder / "limner.json").unlink()
    (folder / "limner.json").write_text(json.dumps(card | {"style_layers": 4}))
    models = settings.models | {"doodle": str(folder)}
    return settings.using(models=models, image_text_model="pretrained:image-text")


async def test_a_remix_loses_nothing(app: App) -> None:
    put_lora(app.settings, "ink")

    @given(SOME)
    @hypothesis.settings(max_examples=3 * hypothesis.settings().max_examples)
    def check(said: dict[str, Any]) -> None:
        first = read(app, asked("a fox", **said))
        request = GenerationRequest.from_json(json.loads(json.dumps(first.request.to_json())))
        own = app.styles.own_negative(first.style, request.negative_prompt)
        again = read(app, Ask(text="a fox", options=values(first, request) | {"negative": own}))
        assert (again.request, again.style, again.expand) == (first.request, first.style, first.expand)

    check()


@pytest.mark.parametrize(
    "names",
    [*(pytest.param([name], marks=pytest.mark.slow) for name in SAID), [*SAID]],
    ids=lambda names: names[-1],
)
async def test_the_button_keeps_every_option(app: App, names: list[str]) -> None:
    put_lora(app.settings, "ink")
    if names[-1] in ("strength", *ABOUT) and len(names) == 1:
        names = [{"strength": "image", **ABOUT}[names[0]], *names]
    first = await submit.imagine(app, asked("a fox", image_name="a.png", **{name: SAID[name] for name in names}))
    own = app.styles.own_negative(first.style, first.request["negative_prompt"])
    again = await submit.imagine(app, submit.remixed(app, first, "a fox", own, user_id=0, where=OUTSIDE))
    assert (again.request, again.style, again.expand) == (first.request, first.style, first.expand)
    assert (again.input_name, again.parent_id) == ("a.png", first.id)


async def test_a_model_that_takes_no_lora_says_so_whatever_lies_in_its_folder(settings: Settings) -> None:
    async with open_app(settings.using(models={"digits": "pretrained:digits-gan"})) as app:
        put_lora(app.settings, "ink", model="digits")
        with pytest.raises(BadOption, match="The model digits takes no LoRA; ask again without one"):
            read(app, asked("a seven --lora ink"))


async def test_flags_win_over_what_a_remix_keeps_one_by_one(app: App) -> None:
    first = await submit.imagine(app, asked("a fox --upscale 2 --crop 2:1 --steps 9 --seed 7"))
    again = await submit.imagine(
        app, submit.remixed(app, first, "a hare --upscale 1 --ar 2:3", "", user_id=0, where=OUTSIDE)
    )
    assert again.generation.finish == Finish(crop=(2, 1))
    assert again.generation.height > again.generation.width
    assert (again.steps, again.request["seed"]) == (9, 7)


async def test_a_remix_with_another_model_has_that_ones_own_steps_and_size(settings: Settings, tmp_path: Path) -> None:
    models = settings.models | {"flux": str(build_tiny_flux_pipeline(tmp_path / "flux"))}
    async with open_app(settings.using(models=models)) as app:
        put_lora(app.settings, "ink")
        first = await submit.imagine(app, asked("a fox --lora ink --sampler unipc --steps 9 --seed 7 --count 2"))
        again = await submit.imagine(
            app, submit.remixed(app, first, "a hare --model flux", "", user_id=0, where=OUTSIDE)
        )
        card = app.settings.cards["flux"]
        assert (again.request["model"], again.request["loras"], again.request["scheduler"]) == ("flux", [], None)
        assert (again.steps, again.generation.width) == (card.num_inference_steps, card.width)
        assert (again.request["seed"], again.generation.count) == (7, 2)


@pytest.mark.slow
def test_an_option_that_is_declared_once_is_everywhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bot.made_up_option", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "slash command": ["Which part of a picture is painted"],
        "flag": "sky",
        "option": "sea",
        "form": {"mask": "sky"},
        "Remix": "sky",
        "Details": "sky",
        "parameters": "sky",
        "limner imagine": "sky",
        "docs/members.md": ["`mask`", "`--mask NAME`", "Which part of a picture is painted"],
    }


@pytest.mark.parametrize("name", ["dpmpp_2m", "DPM++ 2M", "dpm++-2m"])
async def test_a_sampler_is_known_as_people_write_it(app: App, name: str) -> None:
    job = await submit.imagine(app, asked("a fox", sampler=name))
    assert job.request["scheduler"] == "dpmpp_2m"


async def test_a_sampler_that_the_model_does_not_have_is_refused_with_the_nearest(settings: Settings, tmp_path: Path):
    models = settings.models | {"flux": str(build_tiny_flux_pipeline(tmp_path / "flux"))}
    async with open_app(settings.using(models=models)) as app:
        with pytest.raises(BadOption, match=r"doodle has no sampler of that name; what comes nearest is unipc;"):
            await submit.imagine(app, asked("a fox", sampler="unipcs"))
        with pytest.raises(BadOption, match=r"flux has no sampler of that name; choose one of: euler\.$"):
            await submit.imagine(app, asked("a fox --sampler ddim", model="flux"))
        assert await app.history.count(None, every_status=True) == 0


async def test_what_a_model_does_nothing_with_is_refused_unless_it_is_what_it_has_anyway(
    settings: Settings, tmp_path: Path
):
    models = {"gan": "pretrained:digits-gan", "cyclegan": put_restyler(tmp_path / "cyclegan", guidance_scale=1.0)}
    async with open_app(settings.using(models=models)) as app:
        for model, text, option in (("gan", "seven --steps 9", "steps"), ("cyclegan", "a --guidance 4", "guidance")):
            with pytest.raises(BadOption, match=f"The model {model} does nothing with the option {option}; leave it"):
                await submit.imagine(app, asked(text, model=model, image="0" * 64 if model == "cyclegan" else None))
        job = await submit.imagine(app, asked("seven --steps 1 --guidance 2", model="gan"))
        again = await submit.imagine(app, submit.remixed(app, job, "eight", "", user_id=0, where=OUTSIDE))
        assert (again.steps, again.generation.guidance_scale) == (1, 2)


async def test_a_mix_that_cannot_be_is_refused_before_the_queue(settings: Settings) -> None:
    async with open_app(settings.using(models=settings.models | {"vae": "pretrained:digits-vae"})) as app:
        for text, sentence in (
            ("seven --mix 3 --model vae", "The model vae cannot mix styles; leave out the option mix."),
            ("a fox --mix 3@4", "The model doodle mixes after layer 1 to 3; write one of these behind the @."),
            ("a fox --mix 3@0", "The model doodle mixes after layer 1 to 3; write one of these behind the @."),
            ("a fox --mix 9x2", "A grid of mixes has 1 to 5 rows and columns, such as 3x4."),
            ("a fox --mix 4294967296", "needs a seed below 4294967296, a grid such as 3x4, or words of at most"),
            ("a fox --mix @2", "needs a seed below 4294967296, a grid such as 3x4, or words of at most"),
        ):
            with pytest.raises(BadOption, match=re.escape(sentence)):
                await submit.imagine(app, asked(text))
        await app.filters.add(0, "boat", by=1)
        with pytest.raises(UserError, match="The mix has words that are not allowed here"):
            await submit.imagine(app, asked("a fox --mix a blue boat"))
        job = await submit.imagine(app, asked("a fox --mix 3x4@1"))
        assert (job.generation.mix, job.samples) == (StyleMix(1, grid=(3, 4)), 19)
        again = await submit.imagine(app, submit.remixed(app, job, "seven --model vae", "", user_id=0, where=OUTSIDE))
        assert again.generation.mix is None


async def test_the_samplers_of_the_chosen_model_are_offered(world: World) -> None:
    found = await world.ada.autocomplete(world.channel, "imagine", "sampler", "dpm")
    assert [choice["value"] for choice in found] == ["dpmpp_2m", "dpmpp_2s"]
    job = await world.imagine("a red fox", sampler="dpmpp_2s")
    assert job.generation.scheduler == "dpmpp_2s"
