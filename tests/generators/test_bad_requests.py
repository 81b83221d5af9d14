# pyright: basic, reportArgumentType=false, reportPrivateImportUsage=false
"""Requests that a model cannot paint, and folders of several precisions: one sentence, and neighbours go on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from limner.generators.base import Finished
from limner.generators.cards.configuration import source_fault
from limner.generators.cards.model_card import UNLOADABLE, ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import BadRequest, ModelNotFound
from tests.generators.test_families import paint
from tests.tiny_models import tiny_request


def test_requests_that_no_model_paints(tiny: Path):
    generator = DiffusionGenerator.load(ModelCard.read("tiny", str(tiny)), device="cpu", max_batch=2)
    generator.admit("good", tiny_request())
    for wrong, sentence in (
        ({"num_inference_steps": 0}, "at least one step"),
        ({"num_images_per_prompt": 0}, "at least one step and one picture"),
        ({"width": 17}, "multiples of"),
        ({"height": 0}, "multiples of"),
        ({"strength": 0.5}, "need a picture"),
        ({"scheduler": "none"}, "name one of ddim"),
    ):
        with pytest.raises(BadRequest, match=sentence) as raised:
            generator.admit("bad", tiny_request(**wrong))
        assert str(raised.value).count(". ") == 0
    left = [event for _ in range(9) for event in generator.step() if isinstance(event, Finished)]
    assert [event.key for event in left] == ["good"]


def test_parts_of_several_precisions_are_read_as_one(tiny: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny, tmp_path / "mixed"))
    for kind, part, dtype in (
        (UNet2DConditionModel, "unet", torch.bfloat16),
        (AutoencoderKL, "vae", torch.float16),
    ):
        kind.from_pretrained(tiny, subfolder=part).to(dtype).save_pretrained(folder / part)
    pictures = []
    for source in (tiny, folder):
        generator = DiffusionGenerator.load(ModelCard.read("tiny", str(source)), device="cpu", max_batch=1)
        [left] = paint(generator, [(0, tiny_request())])
        assert isinstance(left, Finished), left
        pictures.append(np.asarray(left.images[0], dtype=float))
    assert 0 < np.abs(pictures[0] - pictures[1]).mean() < 4


def test_weights_of_a_package_that_is_not_installed(tiny: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny, tmp_path / "small"))
    file = folder / "unet" / "config.json"
    for said in ({"quant_method": "sdnq"}, {"load_in_4bit": True}):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": said}))
        package = "sdnq" if "quant_method" in said else "bitsandbytes"
        fault = source_fault(str(folder), "diffusion")
        assert fault == (f"unet was saved with {package}, which is not installed", f"pip install {package}")
        assert ModelCard.read("small", str(folder)).problem == UNLOADABLE
        with pytest.raises(ModelNotFound):
            DiffusionGenerator.load(ModelCard.read("small", str(folder)), device="cpu", max_batch=1)
