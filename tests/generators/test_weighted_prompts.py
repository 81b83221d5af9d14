# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""Weights, BREAK and chunks: the stock pipeline's picture from Compel's embeddings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compel import Compel, CompelForSDXL

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.weights import is_weighted, parts, without_weights
from tests.tiny_models import SIDE, stock_pipeline, tiny_request

MakeFolder = Callable[[str], Path]


@pytest.mark.parametrize(
    ("text", "found", "read"),
    [
        ("a (red:1.3) fox", [[("a ", 1.0), ("red", 1.3), (" fox", 1.0)]], "a red fox"),
        ("snow::2 fox::0.5", [[("snow", 2.0), (" ", 1.0), ("fox", 0.5)]], "snow fox"),
        ("a fox BREAK (deep snow:,5)", [[("a fox ", 1.0)], [(" ", 1.0), ("deep snow", 0.5)]], "a fox deep snow"),
        ("(na:1.1)(ked:1.1)", [[("na", 1.1), ("ked", 1.1)]], "naked"),
        ("at (12:30) by Mark (4:9), ratio 3:2", None, None),
        ("FOX BREAK SNOW", None, None),
        ('a sign "(red:1.3)"', None, None),
        ("std::vector", None, None),
        ("", [[("", 1.0)]], ""),
    ],
)
def test_weights_are_read_and_prose_is_not(text: str, found: Any, read: str | None):
    assert parts(text) == (found or [[(text, 1.0)]])
    assert without_weights(text) == (read if read is not None else text)
    assert is_weighted(text) == (bool(found) and bool(text))


def load(folder: Path, **card: Any) -> DiffusionGenerator:
    return DiffusionGenerator.load(
        ModelCard.read("tiny", str(folder), width=SIDE, height=SIDE, **card), device="cpu", max_batch=8
    )


def paint(generator: DiffusionGenerator, *requests: Any) -> list[Finished]:
    """The requests in one batch; the second one joins a step later."""
    left: dict[str, Any] = {}
    for key, request in enumerate(requests):
        generator.admit(str(key), request)
        left |= {event.key: event for event in generator.step() if isinstance(event, Finished)}
    while len(left) < len(requests):
        left |= {event.key: event for event in generator.step() if not hasattr(event, "step")}
    return [left[str(key)] for key in range(len(requests))]


def stock(folder: Path, **embeds: torch.Tensor) -> np.ndarray:
    usual = {"num_inference_steps": 3, "guidance_scale": 5.0, "generator": torch.Generator().manual_seed(7)}
    return np.asarray(stock_pipeline(folder)(width=SIDE, height=SIDE, **usual, **embeds).images[0], dtype=int)


def assert_same(finished: Finished, expected: np.ndarray) -> None:
    assert np.abs(np.asarray(finished.images[0], dtype=int) - expected).max() <= 2


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_a_weighted_prompt_paints_compels_picture(family: str, family_folder: MakeFolder):
    folder = family_folder(family)
    pipe = stock_pipeline(folder)
    with torch.no_grad():
        if family == "sd1":
            compel = Compel(pipe.tokenizer, pipe.text_encoder)
            embeds = {"prompt_embeds": compel("a (red)1.8 (cat)0.5"), "negative_prompt_embeds": compel("green")}
        else:
            made = CompelForSDXL(pipe)("a (red)1.8 (cat)0.5", negative_prompt="green")
            embeds = {
                "prompt_embeds": made.embeds,
                "negative_prompt_embeds": made.negative_embeds,
                "pooled_prompt_embeds": CompelForSDXL(pipe)("a red cat").pooled_embeds,
                "negative_pooled_prompt_embeds": made.negative_pooled_embeds,
            }
    expected = stock(folder, **embeds)
    weighted = tiny_request(prompt="a (red:1.8) (cat:0.5)", negative_prompt="green")
    generator = load(folder)
    assert_same(paint(generator, weighted)[0], expected)
    first, joined = paint(generator, tiny_request(seed=1, num_inference_steps=5), weighted)
    assert_same(joined, expected)
    assert not first.unread


def test_a_break_and_long_prompts_are_read_in_parts(family_folder: MakeFolder):
    folder = family_folder("sd1")
    pipe, long = stock_pipeline(folder), "a red cat and dogs in blue snow"
    with torch.no_grad():
        compel = Compel(pipe.tokenizer, pipe.text_encoder)
        words = torch.cat([compel("a cat"), compel("dogs")], dim=1)
        nothing = compel("")
    expected = stock(folder, prompt_embeds=words, negative_prompt_embeds=torch.cat([nothing, nothing], dim=1))
    cut, whole = load(folder), load(folder, chunks=True)
    assert_same(paint(cut, tiny_request(prompt="a cat BREAK dogs"))[0], expected)
    unread, read = paint(cut, tiny_request(prompt=long))[0], paint(whole, tiny_request(prompt=long))[0]
    assert (bool(unread.unread), read.unread) == (True, "")
    assert np.abs(np.subtract(unread.images[0], read.images[0], dtype=int)).max() > 0
    assert_same(paint(whole, tiny_request())[0], stock(folder, prompt=tiny_request().prompt))


def test_the_card_says_which_encoders_weigh_words(family_folder: MakeFolder):
    weighs = {name: ModelCard.read("m", str(family_folder(name))).weighs for name in ("sd1", "sdxl", "sd3", "flux_dev")}
    assert weighs == {"sd1": True, "sdxl": True, "sd3": False, "flux_dev": False}
