# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""Textual inversion embeddings: a file's name in a prompt stands for its vectors, as in diffusers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

from limner.bot.settings import Settings
from limner.generators.base import Finished
from limner.generators.cards.embedding_files import find_embeddings
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from tests.generators.test_families import paint
from tests.tiny_models import SIDE, build_tiny_xl_pipeline, tiny_request

VECTORS = {"emb_params": torch.linspace(-1, 1, 64).view(2, 32)}
"""Two vectors, as AUTOMATIC1111 saves them."""


def painted(card: ModelCard, *prompts: tuple[str, str]) -> list[np.ndarray]:
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=8)
    asked = [tiny_request(prompt=prompt, negative_prompt=negative) for prompt, negative in prompts]
    left = paint(generator, [(0, request) for request in asked])
    assert all(isinstance(each, Finished) for each in left), left
    return [np.asarray(each.images[0], dtype=int) for each in left]


def test_a_word_stands_for_its_vectors(tiny: Path, tmp_path: Path):
    save_file(VECTORS, tmp_path / "Ink-style.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    files = {name: str(tmp_path / f"{name}.safetensors") for name in ("Ink-style", "broken", "missing")}
    card = ModelCard.read("tiny", str(tiny), embeddings=files)
    pipe: Any = DiffusionPipeline.from_pretrained(tiny)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(VECTORS["emb_params"], token="<ink>")

    def stock(prompt: str, negative: str = "") -> np.ndarray:
        seed = torch.Generator().manual_seed(7)
        options = {"negative_prompt": negative or None, "guidance_scale": 5.0, "generator": seed}
        return np.asarray(pipe(prompt, SIDE, SIDE, 3, **options).images[0], dtype=int)

    plain, word, any_case, negative, weighted, longer = painted(
        card,
        *(("a cat", ""), ("a cat Ink-style", ""), ("a cat, ink-STYLE", ""), ("a cat", "Ink-style")),
        *(("a cat (Ink-style:1.5)", ""), ("a Ink-styles", "")),
    )
    for picture, wanted in (
        (plain, stock("a cat")),
        (word, stock("a cat <ink>")),
        (any_case, stock("a cat, <ink>")),
        (negative, stock("a cat", "<ink>")),
        (longer, stock("a Ink-styles")),
    ):
        assert np.abs(picture - wanted).max() <= 2
    assert np.abs(plain - word).max() > 2
    assert np.abs(plain - negative).max() > 2
    assert np.abs(weighted - word).max() > 2


@pytest.mark.slow
def test_both_encoders_of_stable_diffusion_xl_have_it(tmp_path: Path):
    folder = build_tiny_xl_pipeline(tmp_path / "xl")
    vectors = {"clip_g": torch.ones(1, 32), "clip_l": -torch.ones(1, 32)}
    save_file(vectors, tmp_path / "ink.safetensors")
    card = ModelCard.read("tiny", str(folder), embeddings={"ink": str(tmp_path / "ink.safetensors")})
    pipe: Any = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    for name, number in (("clip_l", ""), ("clip_g", "_2")):
        parts = {
            "text_encoder": getattr(pipe, f"text_encoder{number}"),
            "tokenizer": getattr(pipe, f"tokenizer{number}"),
        }
        pipe.load_textual_inversion(vectors[name], token="<ink>", **parts)
    seed = torch.Generator().manual_seed(7)
    size = {"width": SIDE, "height": SIDE, "num_inference_steps": 3}
    wanted = np.asarray(pipe("a cat <ink>", generator=seed, **size).images[0], dtype=int)
    [picture] = painted(card, ("a cat ink", ""))
    assert np.abs(picture - wanted).max() <= 2


@pytest.mark.parametrize(
    ("name", "tensors", "fault"),
    [
        ("two words", VECTORS, "its embedding two words has a name that is not one word"),
        ("xl", {"clip_l": torch.ones(1, 32), "clip_g": torch.ones(1, 48)}, "its embedding xl was made for another"),
        ("cut", None, "its embedding cut is no safetensors file, or is cut off"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(
    name: str, tensors: dict[str, torch.Tensor] | None, fault: str, tmp_path: Path
):
    save_file(VECTORS, tmp_path / "good.safetensors")
    file = tmp_path / f"{name}.safetensors"
    save_file(tensors, file) if tensors else file.write_bytes(b"\x00")
    found = find_embeddings(tmp_path, 32)
    assert list(found.usable) == ["good"]
    assert [one.what[: len(fault)] for one in found.faults] == [fault]


def test_those_in_the_data_folder_are_a_models_own(tiny: Path, tmp_path: Path):
    (tmp_path / "embeddings" / "mine").mkdir(parents=True)
    save_file(VECTORS, tmp_path / "embeddings" / "mine" / "ink.safetensors")
    settings = Settings(data=tmp_path, models={"mine": str(tiny), "other": str(tiny)}, device="cpu")
    assert (list(settings.cards["mine"].embeddings), list(settings.cards["other"].embeddings)) == (["ink"], [])
