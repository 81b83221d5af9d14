# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""GGUF files: a denoiser alone, or in the folder of its model, and text encoders."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.generators.cards.configuration import source_fault
from limner.generators.cards.gguf_header import read_gguf
from limner.generators.cards.model_card import UNLOADABLE, ModelCard
from limner.generators.diffusion.pipelines import read_pipeline
from tests.generators.test_checkpoints import painted
from tests.tiny_gguf import write_gguf, write_sd3_gguf, write_t5_gguf
from tests.tiny_models import build_tiny_sd3_pipeline, stock_pipeline, tiny_t5
from tests.tiny_transformers import write_tiny_transformer

ALIGNED = b"GGUF" + struct.pack("<IQQQ17s", 3, 0, 1, 17, b"general.alignment")
"""A header up to the type of its tensors' alignment."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Stable Diffusion 3 pipeline, with T5 of version 1.1."""
    folder = build_tiny_sd3_pipeline(tmp_path_factory.mktemp("sd3") / "folder")
    tiny_t5(64, feed_forward_proj="gated-gelu").save_pretrained(folder / "text_encoder_3")
    return folder


@pytest.fixture(scope="module")
def small(whole: Path) -> Path:
    """The same with its denoiser and its T5 encoder as GGUF files."""
    folder = whole.with_name("small")
    shutil.copytree(whole, folder)
    pipe = stock_pipeline(whole)
    for part in ("transformer", "text_encoder_3"):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
    write_sd3_gguf(pipe.transformer.state_dict(), folder / "transformer" / "sd3-Q8_0.gguf")
    write_t5_gguf(pipe.text_encoder_3, folder / "text_encoder_3" / "t5-Q8_0.gguf")
    return folder


def test_parts_of_a_folder_may_be_gguf_files(whole: Path, small: Path):
    assert ModelCard.read("small", str(small)).problem == ""
    difference = np.abs(painted(small).astype(int) - painted(whole).astype(int))
    assert 0 < difference.mean() < 4
    pipe, stock = read_pipeline(str(small), torch.float32), stock_pipeline(whole)
    assert _bytes(pipe.transformer) < 0.8 * _bytes(stock.transformer)
    words = torch.tensor([[5, 6, 7, 1]])
    torch.testing.assert_close(pipe.text_encoder_3(words)[0], stock.text_encoder_3(words)[0], atol=0.05, rtol=0)


def test_a_denoiser_alone_is_a_model_with_the_parts_beside_it(small: Path, tmp_path: Path):
    file = tmp_path / "mine.gguf"
    shutil.copy(small / "transformer" / "sd3-Q8_0.gguf", file)
    fault = source_fault(str(file), "diffusion")
    assert fault is not None
    assert fault.what == "it holds no text_encoder, text_encoder_2, vae"
    shutil.copytree(small, tmp_path / "mine", ignore=shutil.ignore_patterns("sd3-Q8_0.gguf"))
    card = ModelCard.read("mine", str(file))
    assert (card.problem, card.starts, card.multiple_of) == ("", True, 4)
    np.testing.assert_array_equal(painted(file), painted(small))


@pytest.mark.slow
def test_a_newer_familys_denoiser_too(tmp_path: Path):
    whole = write_tiny_transformer("Qwen-Image", tmp_path / "whole")
    small = Path(shutil.copytree(whole, tmp_path / "small"))
    for file in (small / "transformer").glob("*.safetensors"):
        file.unlink()
    write_gguf(stock_pipeline(whole).transformer.state_dict(), small / "transformer" / "q.gguf", "qwen_image")
    size = {"width": 32, "height": 32}
    difference = np.abs(painted(small, **size).astype(int) - painted(whole, **size).astype(int))
    assert 0 < difference.mean() < 4


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "the checkpoint is a Git LFS pointer, not the file itself"),
        (b"GG", "the checkpoint is no GGUF file"),
        (b"GGUF" + struct.pack("<I", 3), "the checkpoint is no GGUF file, or is cut off"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "the checkpoint is a GGUF file of a version that is not known here"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "the checkpoint is no GGUF file, or is cut off"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "the checkpoint is no GGUF file, or is cut off"),
        (
            b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"a", 1, 32, 99, 0),
            "the checkpoint is no GGUF file, or is cut off",
        ),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"a", 1, 32, 0, 0), "the checkpoint is cut off"),
        (ALIGNED + struct.pack("<II", 4, 0), "the checkpoint is no GGUF file, or is cut off"),
        (ALIGNED + struct.pack("<IQ", 8, 0), "the checkpoint is no GGUF file, or is cut off"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8), "the checkpoint is a GGUF file of another family; put it"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(content: bytes, fault: str, tmp_path: Path):
    file = tmp_path / "mine.gguf"
    file.write_bytes(content)
    found = source_fault(str(file), "diffusion")
    assert found is not None
    assert found.what.startswith(fault)
    assert ModelCard.read("mine", str(file)).problem == UNLOADABLE


def test_a_folder_with_two_is_not_guessed_at(small: Path, tmp_path: Path):
    folder = Path(shutil.copytree(small, tmp_path / "two"))
    file = folder / "transformer" / "sd3-Q8_0.gguf"
    shutil.copy(file, file.with_name("sd3-Q4_0.gguf"))
    fault = source_fault(str(folder), "diffusion")
    assert fault is not None
    assert fault.what == "transformer has several GGUF files"
    (folder / "transformer" / "sd3-Q4_0.gguf").unlink()
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size - 1)
    fault = source_fault(str(folder), "diffusion")
    assert fault is not None
    assert fault.what == "transformer/sd3-Q8_0.gguf is cut off"


def test_shapes_are_torchs(whole: Path, small: Path):
    tensors = read_gguf(small / "transformer" / "sd3-Q8_0.gguf")
    assert tensors["context_embedder.weight"]["shape"] == list(
        stock_pipeline(whole).transformer.context_embedder.weight.shape
    )


def _bytes(part: torch.nn.Module) -> int:
    return sum(weight.numel() * weight.element_size() for weight in part.parameters())
