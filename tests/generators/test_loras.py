# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import BadRequest
from limner.generators.requests import GenerationRequest
from tests.tiny_models import tiny_request, write_tiny_lora


@pytest.fixture(scope="module")
def loras(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two LoRAs for the tiny model's denoiser and text encoder, and a file that is none."""
    folder = tmp_path_factory.mktemp("loras")
    (folder / "broken.safetensors").write_bytes(b"no tensors")
    files = {
        name: write_tiny_lora(tiny, folder / f"{name}.safetensors", seed) for seed, name in enumerate(("ink", "gold"))
    }
    return files | {
        "nan": write_tiny_lora(tiny, folder / "nan.safetensors", 0, scale=float("nan")),
        "broken": str(folder / "broken.safetensors"),
        "missing": str(folder / "missing.safetensors"),
    }


@pytest.fixture
def generator(tiny: Path, loras: dict[str, str]) -> DiffusionGenerator:
    return DiffusionGenerator.load(ModelCard.read("tiny", str(tiny), loras=loras), device="cpu")


def stock_picture(tiny: Path, loras: dict[str, str], request: GenerationRequest) -> np.ndarray:
    pipe = DiffusionPipeline.from_pretrained(tiny)
    pipe.set_progress_bar_config(disable=True)
    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # peft doubts that a second one is meant
        for name, _ in request.loras:
            pipe.load_lora_weights(Path(loras[name]).parent, weight_name=Path(loras[name]).name, adapter_name=name)
    if request.loras:
        pipe.set_adapters([name for name, _ in request.loras], [weight for _, weight in request.loras])
    seed = torch.Generator().manual_seed(request.seed)
    pictures = pipe(request.prompt, 16, 16, request.num_inference_steps, guidance_scale=5.0, generator=seed).images
    return np.asarray(pictures[0], dtype=int)


def finish(generator: DiffusionGenerator, count: int) -> dict[str, Event]:
    left: dict[str, Event] = {}
    while len(left) < count:
        left |= {event.key: event for event in generator.step() if isinstance(event, Finished)}
    return left


def test_requests_with_other_loras_are_painted_as_the_stock_pipeline_paints_them(
    tiny: Path, loras: dict[str, str], generator: DiffusionGenerator
):
    asked = {"none": (), "ink": (("ink", 1.0),), "both": (("ink", 0.5), ("gold", 0.25)), "again": (("ink", 1.0),)}
    requests = {key: tiny_request(loras=each) for key, each in asked.items()}
    for key, request in requests.items():
        generator.admit(key, request)
    left = finish(generator, len(requests))
    stock = {each: stock_picture(tiny, loras, tiny_request(loras=each)) for each in asked.values()}
    for key, each in asked.items():
        assert np.abs(np.asarray(left[key].images[0], int) - stock[each]).max() <= 2, key
    assert np.abs(np.asarray(left["none"].images[0], int) - np.asarray(left["ink"].images[0], int)).max() > 2


def test_requests_with_the_same_loras_share_a_call_without_a_change(
    generator: DiffusionGenerator, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "limner.generators.diffusion.loras")
    rows: list[int] = []
    generator._pipelines.loaded.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    for seed in range(3):
        generator.admit(str(seed), tiny_request(seed=seed, loras=(("ink", 1.0),), guidance_scale=1.0))
    finish(generator, 3)
    assert rows == [3, 3, 3]
    assert [record.message.split()[0] for record in caplog.records] == ["loras_changed"]


def test_a_lora_that_cannot_be_used_is_refused_and_harms_nobody(
    tiny: Path, loras: dict[str, str], generator: DiffusionGenerator
):
    request = tiny_request(loras=(("ink", 1.0),))
    generator.admit("it", request)
    for name in ("unknown", "broken", "missing"):
        with pytest.raises(BadRequest, match=r"^This [^.]+LoRA[^.]+\.$|LoRA cannot be used"):
            generator.admit("bad", tiny_request(loras=((name, 1.0),)))
    left = finish(generator, 1)
    assert np.abs(np.asarray(left["it"].images[0], int) - stock_picture(tiny, loras, request)).max() <= 2


def test_a_lora_that_computes_no_numbers_is_named_and_not_tried_again(tiny: Path, generator: DiffusionGenerator):
    generator.admit("it", tiny_request())
    generator.admit("bad", tiny_request(loras=(("nan", 1.0),)))

    left: dict[str, Event] = {}
    while len(left) < 2:
        left |= {event.key: event for event in generator.step() if isinstance(event, Finished | Failed)}

    assert "With the LoRA nan this model computes values that are not numbers" in str(left["bad"].error)
    assert not left["bad"].error.retryable
    assert np.abs(np.asarray(left["it"].images[0], int) - stock_picture(tiny, {}, tiny_request())).max() <= 2


def test_a_models_folder_may_name_its_loras(tmp_path: Path):
    (tmp_path / "limner.json").write_text('{"loras": {"ink": "loras/ink.safetensors"}}', encoding="utf-8")
    assert ModelCard.read("m", str(tmp_path)).loras == {"ink": str(tmp_path / "loras" / "ink.safetensors")}
