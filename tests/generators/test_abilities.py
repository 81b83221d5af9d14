"""What a card says of a model before it is loaded, against what diffusers' pipelines and our own painters do."""

# pyright: basic

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import pytest
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

from limner.generators import base
from limner.generators.cards.abilities import (
    EDITS,
    LEAVES_NOTHING_OUT,
    MASKS,
    NEEDS,
    ONLY_FROM_PICTURES,
    STARTS,
    TAKES_NO_LORA,
    TRUE_GUIDANCE,
    abilities,
)
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.samplers import NOISE
from limner.generators.cards.video_models import VIDEOS
from limner.generators.diffusion.pipelines import STEPWISE, arguments
from limner.generators.errors import NoNegative
from limner.generators.one_pass.cyclegan import CycleGANGenerator
from limner.generators.one_pass.gan import GANGenerator
from limner.generators.one_pass.generator import OnePass
from limner.generators.one_pass.vae import VAEGenerator
from limner.generators.text_files import BadText
from tests.tiny_models import FAMILIES, tiny_request


@cache
def sources() -> dict[str, tuple[str, list[str]]]:
    """The bases of each pipeline of diffusers that reads words, and what it is called with, from its source.

    Importing all takes long.
    """
    spec = find_spec("diffusers")
    assert spec
    assert spec.submodule_search_locations
    found: dict[str, tuple[str, list[str]]] = {}
    for file in (Path(spec.submodule_search_locations[0]) / "pipelines").rglob("*.py"):
        for part in re.split(r"^class ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            called = re.search(r"^    def __call__\(\n(.*?)^    \)", part, re.MULTILINE | re.DOTALL)
            names = re.findall(r"^        (\w+)", called[1], re.MULTILINE) if called else []
            name = re.match(r"\w+Pipeline\b", part)
            if name and {"prompt", "num_inference_steps"} <= set(names):
                found[name[0]] = part.partition(":\n")[0], names
    return found


def signatures() -> dict[str, list[str]]:
    """What each of these pipelines is called with."""
    return {name: names for name, (_bases, names) in sources().items()}


def test_the_pipelines_that_take_no_lora_are_those_without_a_loader_for_it():
    none = {name for name, (bases, _names) in sources().items() if "Lora" not in bases}
    assert {name for name in sources() if TAKES_NO_LORA.match(name)} == none


def test_the_list_of_pipelines_that_leave_nothing_out_is_diffusers_own():
    none = {name for name, names in signatures().items() if "negative_prompt" not in names}
    second = {name for name, names in signatures().items() if "true_cfg_scale" in names}
    only = {name for name in sources() if TRUE_GUIDANCE.match(name)}
    assert only <= second - none
    assert none | (second - only) == LEAVES_NOTHING_OUT


def test_the_pipelines_that_start_from_a_picture_are_those_that_are_stepped():
    taking = {
        name: not family.words for family in STEPWISE if (name := family.words or family.picture) and family.picture
    }
    assert taking == EDITS | dict.fromkeys(STARTS, False) | dict.fromkeys(ONLY_FROM_PICTURES, True)
    assert {family.words for family in STEPWISE if family.words and family.part} == MASKS


def test_a_pipeline_that_needs_more_than_words_is_not_offered():
    more = {"mask_image", "control_image", "control_mask", "control_video", "video", "conditioning_frames"}
    needy = {name for name, names in signatures().items() if more & set(names)}
    assert {name for name in needy if not abilities("diffusion", name)["problem"]} == set()
    assert not any(abilities("diffusion", name)["problem"] for name in STARTS)


def test_of_the_pipelines_that_paint_videos_only_those_that_are_proven_are_offered():
    asked = {name for name, names in signatures().items() if {"num_frames", "num_videos_per_prompt"} & set(names)}
    assert {name for name in asked if not abilities("diffusion", name)["problem"]} == VIDEOS
    pictures = {name for name, names in signatures().items() if "num_images_per_prompt" in names} - asked
    films = next(part for part in NEEDS if part.startswith("Video"))
    assert {name for name in pictures if re.search(films, name)} == set()


@pytest.mark.parametrize("name", ["FluxPipeline", "Flux2Pipeline", "QwenImagePipeline", "StableDiffusionPipeline"])
def test_a_pipeline_refuses_what_its_card_says_it_cannot(tmp_path: Path, name: str):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
    kind = getattr(diffusers, name)
    pipe = kind.__new__(kind)
    can = name in ("QwenImagePipeline", "StableDiffusionPipeline")
    assert ModelCard.read("m", str(tmp_path)).leaves_out == can
    usual = " " if name == "QwenImagePipeline" else None  # without any, it has no guidance
    assert arguments(pipe, tiny_request()).get("negative_prompt") == usual
    if can:
        assert arguments(pipe, tiny_request(negative_prompt="fog"))["negative_prompt"] == "fog"
    else:
        with pytest.raises(NoNegative):
            arguments(pipe, tiny_request(negative_prompt="fog"))


@pytest.mark.parametrize("kind", [GANGenerator, VAEGenerator, CycleGANGenerator])
def test_a_network_of_our_own_refuses_what_its_card_says_it_cannot(tmp_path: Path, kind: type[OnePass]):
    (tmp_path / "limner.json").write_text(json.dumps({"kind": kind.family}))
    card = ModelCard.read("m", str(tmp_path))
    assert not card.leaves_out
    assert card.starts == (kind is CycleGANGenerator)
    painter: Any = kind.__new__(kind)
    with pytest.raises(NoNegative):
        painter._take(tiny_request(negative_prompt="fog", init_image="x"))


@pytest.mark.parametrize(("family", "leaves_out", "starts"), [("sd1", True, True), ("flux_dev", False, True)])
def test_a_card_of_a_real_folder(tmp_path: Path, family: str, leaves_out: bool, starts: bool):
    card = ModelCard.read("m", str(FAMILIES[family](tmp_path)))
    assert (card.leaves_out, card.starts, card.masks, card.other_sizes) == (leaves_out, starts, starts, True)
    assert card.can_leave_out(5.0) == leaves_out
    assert not card.can_leave_out(1.0)


def test_limner_json_wins_over_the_list(tmp_path: Path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    (tmp_path / "limner.json").write_text('{"leaves_out": true}')
    assert ModelCard.read("m", str(tmp_path)).leaves_out
    assert ModelCard.read("m", "somebody/some-model").leaves_out


@pytest.mark.parametrize(
    ("family", "first", "count"),
    [("sd1", "ddim", 18), ("sdxl_refiner", "ddim", 18), ("sd3", "euler", 2), ("flux_schnell", "euler", 1)],
)
def test_a_card_names_the_samplers(tmp_path: Path, family: str, first: str, count: int):
    card = ModelCard.read("m", str(FAMILIES[family](tmp_path)))
    assert (card.samplers[0], len(card.samplers)) == (first, count)


@pytest.mark.parametrize("name", ["doodle", "digits-gan", "digits-vae"])
def test_a_shipped_model_names_only_samplers_that_it_can_use(name: str):
    card = ModelCard.read(name, str(Path(base.__file__).parent / "pretrained" / name))
    assert card.samplers == (("dpmpp_2m", "dpmpp_2s", "unipc") if name == "doodle" else ())


def test_the_schedulers_are_those_that_diffusers_calls_compatible():
    """Less those that need another package or a model trained for them, and with the one for LCM's LoRA files."""
    told = {kind.__name__ for kind in EulerDiscreteScheduler().compatibles}
    assert {sampler.kind for sampler in NOISE.values()} - {"LCMScheduler"} == told - {
        "DPMSolverSDEScheduler",
        "EDMEulerScheduler",
    }


def test_limner_json_cannot_name_samplers(tmp_path: Path):
    (tmp_path / "limner.json").write_text('{"samplers": ["magic"]}')
    assert ModelCard.read("m", str(tmp_path)).samplers == ()


@pytest.mark.parametrize(
    ("limits", "most"), [([77], 77), ([77, 512], 512), ([77, 10**30], None), ([], None), ([{}], None)]
)
def test_a_card_says_how_many_tokens_are_read(tmp_path: Path, limits: list[Any], most: int | None):
    for number, limit in enumerate(limits):
        folder = tmp_path / f"tokenizer_{number}"
        folder.mkdir()
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": limit}))
    assert ModelCard.read("m", str(tmp_path)).max_tokens == most


def test_limner_json_may_say_how_many_tokens_are_read_and_that_no_lora_is_taken(tmp_path: Path):
    (tmp_path / "limner.json").write_text('{"max_tokens": 300, "takes_loras": false}')
    card = ModelCard.read("m", str(tmp_path))
    assert (card.max_tokens, card.takes_loras) == (300, False)


@pytest.mark.parametrize(("read", "masks"), [(8, True), (9, True), (16, False), (4, False)])
def test_a_unet_paints_parts_if_it_reads_latents_alone_or_masks_too(tmp_path: Path, read: int, masks: bool):
    files = {"unet": {"in_channels": read}, "vae": {"latent_channels": 8}}
    for name, config in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    assert ModelCard.read("m", str(tmp_path)).masks == masks


def test_models_with_clip_encoders_alone_read_tags_unless_their_folder_says_otherwise(tmp_path: Path):
    told = {family: abilities("diffusion", family)["dialect"] for family in ("StableDiffusionPipeline", "FluxPipeline")}
    assert told == {"StableDiffusionPipeline": "tags", "FluxPipeline": "sentences"}
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}', encoding="utf-8")
    assert ModelCard.read("m", str(tmp_path)).dialect == "tags"
    (tmp_path / "limner.json").write_text('{"dialect": "sentences"}', encoding="utf-8")
    assert ModelCard.read("m", str(tmp_path)).dialect == "sentences"
    (tmp_path / "limner.json").write_text('{"dialect": "verse"}', encoding="utf-8")
    with pytest.raises(BadText, match="line 1: dialect must be sentences or tags"):
        ModelCard.read("m", str(tmp_path))
