"""A model's files are looked at before it is loaded: what is missing, cut off or not itself is told with its remedy."""

# pyright: basic

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from limner.generators.cards.model_card import UNLOADABLE, ModelCard
from limner.generators.cards.model_files import fault_of, read_header
from limner.generators.diffusion.pipelines import read_pipeline
from limner.generators.trial import attempt

DIGITS = Path(__file__).parents[2] / "generators" / "pretrained" / "digits-gan"
UNET = "unet/diffusion_pytorch_model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny pipeline, to spoil."""
    return shutil.copytree(tiny, tmp_path / "model")


def name_checker(model: Path) -> None:
    told = json.loads((model / "model_index.json").read_text())
    told["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (model / "model_index.json").write_text(json.dumps(told))


def name_class(model: Path) -> None:
    told = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps(told | {"_class_name": "MagicPipeline"}))


def pickle(model: Path) -> None:
    (model / UNET).rename((model / UNET).with_suffix(".bin"))


def shard(model: Path) -> None:
    index = {"weight_map": {"a": Path(UNET).name, "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}}
    (model / f"{UNET}.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "what", "mend"),
    [
        (lambda model: (model / UNET).write_text(POINTER), "is a Git LFS pointer", "git lfs pull"),
        (lambda model: (model / UNET).write_bytes((model / UNET).read_bytes()[:-1000]), "is cut off", "download it"),
        (lambda model: (model / UNET).write_text("no tensors"), "is no safetensors file", "download it"),
        (lambda model: (model / UNET).unlink(), "unet has no safetensors weights", "copy that folder"),
        (pickle, "unet has no safetensors weights", "safe_serialization=True"),
        (shard, "has no file diffusion_pytorch_model-00002-of-00002.safetensors", "copy that folder"),
        (lambda model: shutil.rmtree(model / "vae"), "no folder vae (AutoencoderKL)", "copy that folder"),
        (lambda model: (model / "vae" / "config.json").unlink(), "vae has no config.json", "copy that folder"),
        (lambda model: shutil.rmtree(model / "tokenizer"), "no folder tokenizer", "copy that folder"),
        (name_checker, "no folder safety_checker", '"safety_checker": [null, null]'),
        (name_class, "diffusers knows no pipeline 'MagicPipeline'", "newer diffusers"),
        (lambda model: (model / "model_index.json").unlink(), "no model_index.json", "diffusers folder"),
        (lambda model: (model / "model_index.json").write_text("{}"), "no pipeline None", "another model"),
    ],
)
def test_what_is_wrong_is_told_and_the_model_is_not_offered(
    model: Path, spoil: Callable[[Path], None], what: str, mend: str
):
    assert fault_of(model, "diffusion") is None
    spoil(model)

    fault = fault_of(model, "diffusion")

    assert fault
    assert what in fault.what
    assert mend in fault.mend
    assert ModelCard.read("m", str(model)).problem == UNLOADABLE


def test_the_advice_about_a_safety_checker_can_be_followed(model: Path):
    name_checker(model)
    text = (model / "model_index.json").read_text()
    (model / "model_index.json").write_text(json.dumps(json.loads(text) | {"safety_checker": [None, None]}))
    assert fault_of(model, "diffusion") is None
    assert read_pipeline(str(model), torch.float32).safety_checker is None


def test_weights_of_a_variant_only_are_loaded(model: Path):
    for file in model.glob("*/*.safetensors"):
        half = {name: part.half() for name, part in load_file(file).items()}
        save_file(half, file.with_suffix(".fp16.safetensors"), {"format": "pt"})
        file.unlink()
    assert fault_of(model, "diffusion") is None
    pipe = read_pipeline(str(model), torch.float32)
    assert all(bool(part.isfinite().all()) for part in pipe.unet.parameters())


@pytest.mark.parametrize("spoiled", [POINTER.encode(), b""])
def test_a_network_of_our_own_is_looked_at_too(tmp_path: Path, spoiled: bytes):
    folder = shutil.copytree(DIGITS, tmp_path / "digits")
    assert not ModelCard.read("digits", str(folder)).problem
    (folder / "model.safetensors").write_bytes(spoiled)
    assert ModelCard.read("digits", str(folder)).problem == UNLOADABLE


@given(data=st.data())
def test_a_file_of_any_other_length_is_found(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory):
    file = tmp_path_factory.mktemp("files") / "a.safetensors"
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2)}, file)
    whole = file.read_bytes()
    assert read_header(file).keys() == {"a", "b"}
    length = data.draw(st.integers(0, len(whole) + 8).filter(lambda length: length != len(whole)))
    file.write_bytes((whole + bytes(8))[:length])
    with pytest.raises(ValueError, match=r"cut off|safetensors|JSON|Expecting|Unterminated|Extra|utf"):
        read_header(file)


@given(start=st.binary(max_size=64), length=st.integers(0, 2**64 - 1))
def test_no_file_is_taken_for_weights_or_makes_the_look_fail(
    start: bytes, length: int, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.safetensors").write_bytes(struct.pack("<Q", length) + start)
    assert fault_of(folder, "gan")


@pytest.mark.parametrize(
    "path",
    [
        *("model_index.json", "scheduler/scheduler_config.json", "vae/config.json"),
        pytest.param("unet/config.json", marks=pytest.mark.slow),
    ],
)
def test_no_odd_value_in_a_configuration_makes_the_look_fail(model: Path, path: str):
    told = json.loads((model / path).read_text())
    for name in told:
        for odd in (None, 3, "x", [], {}, [1]):
            (model / path).write_text(json.dumps(told | {name: odd}))
            assert ModelCard.read("mine", str(model)).name == "mine", (name, odd)


def test_a_trial_tells_what_no_header_does(model: Path, tmp_path: Path):
    good = shutil.copytree(model, tmp_path / "good")
    refiner_like = shutil.copytree(model, tmp_path / "wrong")
    told = json.loads((refiner_like / "unet" / "config.json").read_text())
    (refiner_like / "unet" / "config.json").write_text(json.dumps(told | {"cross_attention_dim": 48}))
    nan = {name: torch.full_like(part, torch.nan) for name, part in load_file(model / UNET).items()}
    save_file(nan, model / UNET, {"format": "pt"})
    models = {"good": str(good), "nan": str(model), "wrong": str(refiner_like)}

    found = attempt(models, device="cpu", dtype="auto", offload="none")

    assert found["good"]["seconds"] > 0
    assert "values that are not numbers in float32" in found["nan"]["error"]
    assert "shape" in found["wrong"]["error"] or "size" in found["wrong"]["error"]
    assert attempt(models, device="cuda:99", dtype="auto", offload="none") == {}
