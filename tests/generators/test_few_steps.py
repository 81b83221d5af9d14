"""Models and LoRAs for few steps: how they are known, and what their cards say."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from limner.generators.cards.checkpoints.checkpoint import UNET_INPUT
from limner.generators.cards.configuration import configuration
from limner.generators.cards.few_steps import few_step_lora, few_steps, named_few_steps
from limner.generators.cards.model_card import ModelCard

XL = "StableDiffusionXLPipeline"


@pytest.mark.parametrize(
    ("pipeline", "tables", "name", "steps", "guidance"),
    [
        (XL, {}, "sdxl-turbo", 4, 0),
        (XL, {}, "dreamshaperXL_lightningDPMSDE", 4, 0),
        (XL, {}, "sdxlTurbo_v10", 4, 0),
        (XL, {}, "SDXL-Lightning-8step", 8, 0),
        (XL, {}, "realvisxlV50_v50HyperBakedvae", 8, 0),
        (XL, {"scheduler/scheduler_config.json": {"_class_name": "LCMScheduler"}}, "mine", 6, 1),
        ("LatentConsistencyModelPipeline", {}, "mine", 6, 8),
        ("FluxPipeline", {"transformer/config.json": {"guidance_embeds": False}}, "mine", 4, 0),
        ("ZImagePipeline", {}, "Z-Image-Turbo", 9, 0),
        ("Flux2KleinPipeline", {"model_index.json": {"is_distilled": True}}, "mine", 4, 1),
    ],
)
def test_a_model_for_few_steps_is_known(
    pipeline: str, tables: dict[str, Any], name: str, steps: int, guidance: float
) -> None:
    few = few_steps(pipeline, tables, name)
    assert few is not None
    assert (few.steps, few.guidance, few.most) == (steps, guidance, max(8, steps))


@pytest.mark.parametrize(
    ("pipeline", "tables", "name"),
    [
        (XL, {}, "mine"),
        (XL, {}, "hyper-realistic-v3"),
        (XL, {}, "turbocharged"),
        ("FluxPipeline", {"transformer/config.json": {"guidance_embeds": True}}, "FLUX.1-dev"),
        ("ZImagePipeline", {}, "Z-Image"),
        ("Flux2KleinPipeline", {"model_index.json": {"is_distilled": False}}, "FLUX.2-klein-base-4B"),
    ],
)
def test_others_are_not(pipeline: str, tables: dict[str, Any], name: str) -> None:
    assert few_steps(pipeline, tables, name) is None


def test_a_few_step_lora_is_not_one_that_paints_lightning() -> None:
    assert few_step_lora(["ink", "lightning storm", "Turbo"]) is None
    for name, steps in (("sdxl_lightning_4step_lora", 4), ("lcm-lora-sdv1-5", 6), ("Hyper-SD15-2steps-lora", 2)):
        found = few_step_lora(["ink", name])
        assert found is not None
        assert (found[0], found[1].steps) == (name, steps)
    assert named_few_steps("SDXL-Lightning-40steps") == named_few_steps("lightning")


def test_a_limner_json_wins(tmp_path: Path) -> None:
    folder = tmp_path / "my-turbo"
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": XL}))
    card = ModelCard.read("m", str(folder))
    assert (card.num_inference_steps, card.guidance_scale, card.most_steps) == (4, 0, 8)
    (folder / "limner.json").write_text(json.dumps({"num_inference_steps": 12, "most_steps": 30}))
    card = ModelCard.read("m", str(folder))
    assert (card.num_inference_steps, card.guidance_scale, card.most_steps) == (12, 0, 30)


@pytest.mark.parametrize(
    ("name", "scheduler", "spacing"),
    [
        ("dreamshaper_lightning", "EulerDiscreteScheduler", "trailing"),
        ("mine-LCM", "LCMScheduler", "leading"),
        ("mine", "PNDMScheduler", "leading"),
    ],
)
def test_a_checkpoint_has_the_scheduler_of_its_kind(tmp_path: Path, name: str, scheduler: str, spacing: str) -> None:
    header = json.dumps({UNET_INPUT: {"dtype": "F32", "shape": [320, 4, 3, 3], "data_offsets": [0, 0]}}).encode()
    file = tmp_path / f"{name}.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    table = configuration(str(file)).table("scheduler/scheduler_config.json")
    assert (table["_class_name"], table["timestep_spacing"]) == (scheduler, spacing)
