# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""Encoded prompts are kept: the same prompt again runs no text encoder, and paints the stock picture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.prompt_cache import PromptCache
from tests.generators.test_families import assert_stock, load, paint
from tests.tiny_models import SIDE, tiny_request, write_tiny_lora


def count_encodings(generator: DiffusionGenerator) -> list[str]:
    """The class of each text encoder that runs from now on."""
    ran: list[str] = []
    parts = generator._pipelines.loaded.components
    for name in parts:
        if name.startswith("text_encoder") and parts[name] is not None:
            parts[name].register_forward_pre_hook(lambda module, _: ran.append(type(module).__name__))
    return ran


@pytest.mark.parametrize(
    "family", ["sd1", *(pytest.param(family, marks=pytest.mark.slow) for family in ("sdxl", "sd3", "flux_dev"))]
)
def test_the_same_prompt_again_runs_no_text_encoder(family: str, family_folder: Callable[[str], Path]):
    folder = family_folder(family)
    generator = load(folder)
    ran = count_encodings(generator)
    first = tiny_request(prompt="a red cat", num_inference_steps=3)
    paint(generator, [(0, first)])
    once = len(ran)
    assert once
    rerolled = [replace(first, seed=seed, num_inference_steps=2) for seed in (5, 6)]
    for request, left in zip(rerolled, paint(generator, [(0, rerolled[0]), (1, rerolled[1])]), strict=True):
        assert_stock(family, folder, request, left)
        assert isinstance(left, Finished)
        assert (left.work.prompts_encoded, left.work.prompts_cached, left.work.steps_denoised) == (0, 1, 2)
    assert len(ran) == once
    other = replace(first, prompt="a blue cat")
    assert_stock(family, folder, other, paint(generator, [(0, other)])[0])
    assert len(ran) > once


def test_a_lora_has_encoded_prompts_of_its_own_until_its_file_is_loaded_again(tiny: Path, tmp_path: Path):
    lora = write_tiny_lora(tiny, tmp_path / "ink.safetensors", seed=1)
    card = replace(ModelCard.read("tiny", str(tiny), width=SIDE, height=SIDE), loras={"ink": lora})
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=4)
    ran = count_encodings(generator)
    plain, with_lora = tiny_request(num_inference_steps=2), tiny_request(num_inference_steps=2, loras=(("ink", 1.0),))
    counts = []
    for request in (plain, with_lora, with_lora, plain, with_lora):
        [left] = paint(generator, [(0, request)])
        assert isinstance(left, Finished)
        counts.append(len(ran))
    first, attached, again, detached, attached_again = counts
    assert first < attached == again == detached < attached_again


def test_the_least_recently_used_are_dropped_beyond_so_many_bytes():
    calls, cache = [], PromptCache(most=3 * 4 * 10)

    def encode_prompt(prompt: str) -> tuple[torch.Tensor, None]:
        calls.append(prompt)
        return torch.zeros(10), None

    for prompt in "abcabdabc":
        cache.encode((), encode_prompt, prompt=prompt)
    assert "".join(calls) == "abcdc"
    for _ in range(2):
        cache.encode((), encode_prompt, prompt=torch.zeros(1))
    assert len(calls) == 7, "embeddings are no key"
