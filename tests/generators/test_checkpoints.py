"""Checkpoints, whole models in one file, paint what the same weights in a diffusers folder paint."""

# pyright: basic, reportAttributeAccessIssue=false

import json
import os
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from accelerate import init_empty_weights
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_sd3_transformer_checkpoint_to_diffusers,
)
from safetensors.torch import load_file, save_file

from limner.generators.base import Finished
from limner.generators.cards.checkpoints.checkpoint import UNET_INPUT
from limner.generators.cards.checkpoints.families import FAMILIES as KNOWN
from limner.generators.cards.configuration import source_fault
from limner.generators.cards.model_card import UNLOADABLE, ModelCard
from limner.generators.diffusion.checkpoint_pipelines import clip_tokenizer
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import ModelNotFound
from tests.original_layout import checkpoint_tensors, write_checkpoint
from tests.tiny_models import (
    FAMILIES,
    build_tiny_pipeline,
    build_tiny_sd3_pipeline,
    build_tiny_xl_pipeline,
    tiny_request,
)


def build_sd3(folder: Path) -> Path:
    """Write one whose first text encoder projects nothing: checkpoints leave that layer out."""
    build_tiny_sd3_pipeline(folder, second=48)
    encoder = transformers.CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder")
    encoder.text_projection.weight.data = torch.eye(32)
    encoder.save_pretrained(folder / "text_encoder")
    return folder


BUILT: dict[str, Callable[[Path], Path]] = FAMILIES | {
    "sdxl": partial(build_tiny_xl_pipeline, second=48),
    "sd3": build_sd3,
}
PUBLISHED = {
    "sd1": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sd2": {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840},
    "sdxl": {"unet": 2_567_463_684, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840},
    "sdxl_refiner": {"unet": 2_259_526_660},
    "sd3": {"transformer": 2_028_328_000},
    "sd35_medium": {"transformer": 2_243_171_520},
    "sd35_large": {"transformer": 8_056_627_520},
    "flux_dev": {"transformer": 11_901_408_320},
    "flux_schnell": {"transformer": 11_891_178_560},
}
"""Parameters of the published models' parts."""
CHROMA = {
    "double_blocks.0.img_attn.norm.key_norm.scale": [8],
    "distilled_guidance_layer.norms.0.scale": [8],
    "img_in.weight": [8, 64],
}
"""What tells a file of Chroma from one of FLUX."""


def painted(source: Path, **changes) -> np.ndarray:
    """The picture that our generator paints with a folder or a checkpoint."""
    generator = DiffusionGenerator.load(ModelCard.read("tiny", str(source)), device="cpu", max_batch=2)
    generator.admit("one", tiny_request(**changes))
    while True:
        for event in generator.step():
            if isinstance(event, Finished):
                generator.close()
                return np.asarray(event.images[0])


def fault_of(file: Path) -> str:
    fault = source_fault(str(file), "diffusion")
    return fault.what if fault else ""


@pytest.mark.parametrize("family", ["sdxl", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sd2", "sd3"))])
def test_a_checkpoint_paints_what_its_folder_paints(family: str, tmp_path: Path):
    folder = BUILT[family](tmp_path / "folder")
    file = write_checkpoint(folder, tmp_path / "mine.safetensors", open_clip=family == "sd2")
    np.testing.assert_array_equal(painted(file), painted(folder))


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Stable Diffusion pipeline."""
    return build_tiny_pipeline(tmp_path_factory.mktemp("sd1") / "folder")


def test_parts_beside_a_file_replace_or_complete_its_own(sd1: Path, tmp_path: Path):
    expected = painted(sd1)
    bare = write_checkpoint(sd1, tmp_path / "bare.safetensors", without=["first_stage_model."])
    assert fault_of(bare) == "it holds no vae"
    shutil.copytree(sd1 / "vae", tmp_path / "parts" / "sd1" / "vae")
    np.testing.assert_array_equal(painted(bare), expected)
    whole = write_checkpoint(sd1, tmp_path / "whole.safetensors")
    other = build_tiny_pipeline(tmp_path / "other", 1)
    shutil.rmtree(whole.with_suffix("") / "vae")
    shutil.copytree(other / "vae", whole.with_suffix("") / "vae")
    shutil.copytree(sd1, tmp_path / "mixed", ignore=shutil.ignore_patterns("vae"))
    shutil.copytree(other / "vae", tmp_path / "mixed" / "vae")
    np.testing.assert_array_equal(painted(whole), painted(tmp_path / "mixed"))


def test_limner_json_names_the_file_of_another_autoencoder(sd1: Path, tmp_path: Path):
    """As Stable Diffusion's code lays it out for a checkpoint, as diffusers does for a folder."""
    other = build_tiny_pipeline(tmp_path / "other", 1)
    mixed = shutil.copytree(sd1, tmp_path / "mixed", ignore=shutil.ignore_patterns("vae"))
    shutil.copytree(other / "vae", mixed / "vae")
    expected = painted(mixed)
    tensors, prefix = load_file(write_checkpoint(other, tmp_path / "whole.safetensors")), "first_stage_model."
    vae = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    save_file(vae, tmp_path / "vae.safetensors")
    file, folder = write_checkpoint(sd1, tmp_path / "mine.safetensors"), shutil.copytree(sd1, tmp_path / "plain")
    said = file.with_suffix("") / "limner.json", folder / "limner.json"
    named = "../vae.safetensors", "../other/vae/diffusion_pytorch_model.safetensors"
    for source, place, name in zip((file, folder), said, named, strict=True):
        place.write_text(json.dumps({"vae": name}))
        np.testing.assert_array_equal(painted(source), expected)
    for wrong in ("../missing.safetensors", "../plain/unet/diffusion_pytorch_model.safetensors"):
        said[1].write_text(json.dumps({"vae": wrong}))
        with pytest.raises(ModelNotFound, match="names as vae is no autoencoder"):
            painted(folder)


def test_a_file_says_that_it_predicts_velocity(sd1: Path, tmp_path: Path):
    """By the empty tensors that other tools read too, or by limner.json, which wins."""
    empty = {"v_pred": torch.empty(0), "ztsnr": torch.empty(0)}
    file = write_checkpoint(sd1, tmp_path / "velocity.safetensors", more=empty)
    velocity = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    folder = shutil.copytree(sd1, tmp_path / "folder")
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | velocity))
    expected = painted(folder)
    np.testing.assert_array_equal(painted(file), expected)
    (file.with_suffix("") / "limner.json").write_text('{"prediction_type": "epsilon", "zero_snr": false}')
    np.testing.assert_array_equal(painted(file), painted(sd1))


@pytest.mark.slow
def test_a_replaced_file_does_not_change_what_is_loaded(sd1: Path, tmp_path: Path):
    file = write_checkpoint(sd1, tmp_path / "mine.safetensors")
    generator = DiffusionGenerator.load(ModelCard.read("tiny", str(file)), device="cpu", max_batch=1)
    with file.open("r+b") as opened:
        opened.truncate(100)
    generator.admit("one", tiny_request())
    (image,) = next(event.images for _ in range(9) for event in generator.step() if isinstance(event, Finished))
    np.testing.assert_array_equal(np.asarray(image), painted(sd1))


def test_broken_weights_are_named_at_loading(sd1: Path, tmp_path: Path):
    weight = torch.full((8, 4, 3, 3), torch.nan)
    name = "model.diffusion_model.input_blocks.0.0.weight"
    nan = write_checkpoint(sd1, tmp_path / "nan.safetensors", more={name: weight})
    with pytest.raises(ModelNotFound, match="has broken weights"):
        painted(nan)
    for number, part in enumerate(("model.diffusion_model.out.2.", "cond_stage_model.transformer.text_model.final_")):
        lacking = write_checkpoint(sd1, tmp_path / f"lacking{number}.safetensors", without=[part])
        with pytest.raises(ModelNotFound, match="lacks weights"):
            painted(lacking)


def header(tensor: dict[str, object]) -> bytes:
    """A file with the header of a tensor that another program wrote."""
    text = json.dumps({UNET_INPUT: {"dtype": "F16", "data_offsets": [0, 0], **tensor}}).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("model.ckpt", b"PK", "the checkpoint is a pickle, which is not loaded; save it as safetensors"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1", "the checkpoint is a Git LFS pointer"),
        ("model.safetensors", b"", "the checkpoint is no safetensors file, or is cut off"),
        ("model.safetensors", b"\x02\0\0\0\0\0\0\0[]", "the checkpoint is no safetensors file"),
        ("model.safetensors", header({"shape": 4}), "the checkpoint is no safetensors file"),
        ("model.safetensors", header({"shape": ["a"]}), "the checkpoint is no safetensors file"),
        ("model.safetensors", header({}), "the checkpoint is no safetensors file"),
        ("model.safetensors", {"lora_unet_x.lora_down.weight": [4, 8]}, "the checkpoint is a LoRA, not a model"),
        ("model.safetensors", {"decoder.up.0.block.0.conv1.weight": [8, 8, 3, 3]}, "the checkpoint is a VAE"),
        (
            "model.safetensors",
            {"model.diffusion_model.scaled_fp8": [2]},
            "the checkpoint has 8-bit weights with scales",
        ),
        ("model.safetensors", {"control_model.a": [1]}, "the checkpoint is a ControlNet"),
        ("model.safetensors", {"text_model.a": [1]}, "the checkpoint is a text encoder"),
        ("model.safetensors", {"img_in.weight": [1]}, "the checkpoint is a model of a kind that is not known here"),
        ("model.safetensors", CHROMA, "the checkpoint is a model of a kind that is not known here"),
        ("model.safetensors", {UNET_INPUT: [1, 8, 3, 3]}, "the checkpoint is a model of a kind that is not known"),
        ("model.safetensors", {UNET_INPUT: [1, 4, 3, 3]}, "it holds no text_encoder, vae"),
        (
            "model.safetensors",
            {UNET_INPUT: [8, 4, 3, 3], "cond_stage_model.transformer.a": [1], "first_stage_model.a": [1]},
            "its denoiser is not of the size of stable-diffusion-v1-5",
        ),
    ],
)
def test_what_cannot_be_loaded_is_known_from_its_header(name: str, content: object, fault: str, tmp_path: Path):
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        write_header({key: torch.empty(shape, device="meta") for key, shape in content.items()}, file)
    assert fault_of(file).startswith(fault)
    assert ModelCard.read("mine", str(file)).problem == UNLOADABLE


@pytest.mark.parametrize(
    ("path", "changed", "fault"),
    [
        ("model_index.json", {"_class_name": 3}, "model_index.json is missing, or lacks"),
        ("model_index.json", {"_class_name": "FooPipeline"}, "diffusers knows no pipeline 'FooPipeline'"),
        pytest.param("model_index.json", {"vae": []}, "model_index.json is missing, or lacks", marks=pytest.mark.slow),
        ("model_index.json", {"vae": ["os", "system"]}, "model_index.json is missing, or lacks"),
        ("scheduler/scheduler_config.json", {"_class_name": ""}, "scheduler_config.json is missing, or lacks"),
        ("unet/config.json", {"block_out_channels": 8}, "config.json is missing, or lacks"),
        ("unet/config.json", None, "config.json is missing, or lacks"),
        ("unet/config.json", {"in_channels": 5}, "its denoiser is not of the size of"),
    ],
)
def test_a_configuration_beside_a_file_that_cannot_be_used_is_named(
    path: str, changed: dict[str, object] | None, fault: str, sd1: Path, tmp_path: Path
):
    file = write_checkpoint(sd1, tmp_path / "mine.safetensors")
    table = file.with_suffix("") / path
    if changed is None:
        table.unlink()
    else:
        table.write_text(json.dumps(json.loads(table.read_text()) | changed))
    assert fault in fault_of(file)
    assert ModelCard.read("mine", str(file)).problem == UNLOADABLE
    with pytest.raises(ModelNotFound):
        painted(file)


@pytest.mark.slow
def test_a_published_configuration_may_name_parts_that_no_checkpoint_has(sd1: Path, tmp_path: Path):
    """As Stable Diffusion 1.5 names its safety checker."""
    file = write_checkpoint(sd1, tmp_path / "mine.safetensors")
    index = file.with_suffix("") / "model_index.json"
    more = {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    index.write_text(json.dumps(json.loads(index.read_text()) | more))
    assert not fault_of(file)
    np.testing.assert_array_equal(painted(file), painted(sd1))


def test_clips_tokenizer_reads_as_published():
    """The ids of openai/clip-vit-large-patch14."""
    tokenizer = clip_tokenizer(model_max_length=77, pad_token="!")
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert (tokenizer.vocab_size, tokenizer.pad_token_id, tokenizer.model_max_length) == (49408, 0, 77)


def parts_on_meta(family: str) -> dict[str, dict[str, torch.Tensor]]:
    """The state dictionaries of a published model's parts, without numbers."""
    found = {}
    for name, table in KNOWN[family].parts.items():
        kind, said = table["_class_name"], {key: value for key, value in table.items() if key != "_class_name"}
        with init_empty_weights(include_buffers=True):
            if kind.startswith(("CLIPText", "T5Enc")):
                made = getattr(transformers, kind)
                found[name] = made(made.config_class(**said)).state_dict()
            elif "Tokenizer" not in kind and "Scheduler" not in kind:
                found[name] = getattr(diffusers, kind).from_config(said).state_dict()
    return found


def write_header(tensors: dict[str, torch.Tensor], file: Path) -> Path:
    """Write a file of the right size whose numbers are all zero and take no room."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [end, end + 2 * tensor.numel()]}
        end += 2 * tensor.numel()
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(file, 8 + len(text) + end)
    return file


def shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["sdxl", *(pytest.param(name, marks=pytest.mark.slow) for name in KNOWN if name != "sdxl")]
)
def test_the_shipped_configuration_is_that_of_the_published_model(family: str, tmp_path: Path):
    """Names, shapes and numbers of weights; and the card knows the family from the file's header."""
    parts = parts_on_meta(family)
    for name, count in PUBLISHED.get(family, {}).items():
        assert sum(tensor.numel() for tensor in parts[name].values()) - _buffers(name, parts[name]) == count
    known = KNOWN[family]
    tensors = checkpoint_tensors(known.pipeline, parts, open_clip=family.startswith("sd2"))
    file = write_header(tensors, tmp_path / "mine.safetensors")
    if family == "sd2_base":
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "limner.json").write_text('{"prediction_type": "epsilon"}')
    card = ModelCard.read("mine", str(file))
    assert card.width == {"sd1": 512, "sd2": 768}.get(family, 512 if family.startswith(("sd1", "sd2")) else 1024)
    assert fault_of(file) == ("it holds no tokenizer_2" if "flux" in family else "")
    assert (card.problem == UNLOADABLE) == ("flux" in family)
    assert card.needs_picture == (family == "sdxl_refiner")
    if "unet" in parts:
        assert shapes(convert_ldm_unet_checkpoint(tensors, known.parts["unet"])) == shapes(parts["unet"])
        assert shapes(convert_ldm_vae_checkpoint(tensors, known.parts["vae"])) == shapes(parts["vae"])
    else:
        write = (
            convert_flux_transformer_checkpoint_to_diffusers
            if "flux" in family
            else convert_sd3_transformer_checkpoint_to_diffusers
        )
        denoiser = {name: tensor for name, tensor in tensors.items() if name.startswith("model.diffusion_model.")}
        assert shapes(write(denoiser)) == shapes(parts["transformer"])


def _buffers(name: str, tensors: dict[str, torch.Tensor]) -> int:
    """Numbers in a state dictionary that are no parameters: the places of Stable Diffusion 3's latents."""
    return tensors["pos_embed.pos_embed"].numel() if name == "transformer" and "pos_embed.pos_embed" in tensors else 0
