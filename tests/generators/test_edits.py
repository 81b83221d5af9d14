# pyright: basic, reportArgumentType=false, reportCallIssue=false
"""Models that change a picture as the prompt says get the stock picture alone, in a full batch and joined."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion import step_skipping
from limner.generators.errors import BadRequest
from limner.generators.requests import GenerationRequest
from limner.generators.trial import attempt
from tests.generators.test_families import paint
from tests.generators.test_step_skipping import CALLED, STEPS, assert_same, calling_only, count_rows
from tests.generators.test_transformer_families import CLASSES, EDITING, assert_stock, load, stock_images
from tests.tiny_edits import EDITS
from tests.tiny_models import stock_pipeline, tiny_request

SIDE = 64
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in EDITS if name != "InstructPix2Pix"]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny pipeline of the named family."""

    @cache
    def folder(name: str) -> Path:
        return EDITS[name](tmp_path_factory.mktemp("tiny"))

    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two pictures to change."""
    folder, random = tmp_path_factory.mktemp("given"), np.random.default_rng(1)
    for number in range(2):
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return [str(folder / f"{number}.png") for number in range(2)]


def assert_edited(folder: Path, request: GenerationRequest, left: Any) -> None:
    """The stock pipeline's pictures, in the size that was asked for."""
    assert_stock(folder, request, left)
    assert {image.size for image in left.images} == {request.size}


def asked(picture: str | None, **changes: Any) -> GenerationRequest:
    return tiny_request(width=SIDE, height=SIDE, num_inference_steps=2, init_image=picture, **changes)


@pytest.mark.parametrize("family", ["InstructPix2Pix", *SLOW])
def test_alone_in_a_full_batch_and_joined(
    family: str, folder_of: Callable[[str], Path], given: list[str], monkeypatch: pytest.MonkeyPatch
):
    folder = folder_of(family)
    assert type(stock_pipeline(folder)).__name__ == (CLASSES | EDITING)[family]
    generator = load(folder, SIDE)
    rows = count_rows(generator, monkeypatch)
    two = asked(given[0], prompt="make it night", num_images_per_prompt=2)
    [alone] = paint(generator, [(0, two)])
    assert_edited(folder, two, alone)
    alone_rows = max(rows)
    rows.clear()
    other = asked(given[1], prompt="make it blue", seed=3)
    full = [two, other, other]
    for left, request in zip(paint(generator, [(0, request) for request in full]), full, strict=True):
        assert_edited(folder, request, left)
    assert max(rows) == 2 * alone_rows  # one call for all
    arriving = [(0, two), (1, other)]
    if not ModelCard.read("tiny", str(folder)).needs_picture:
        arriving.append((1, asked(None, prompt="a red dog", seed=5)))
    for left, (_tick, request) in zip(paint(generator, arriving), arriving, strict=True):
        assert_edited(folder, request, left)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["InstructPix2Pix", *SLOW])
def test_skipped_steps_are_those_of_the_stock_loop(
    family: str, folder_of: Callable[[str], Path], given: list[str], monkeypatch: pytest.MonkeyPatch
):
    folder = folder_of(family)
    card = ModelCard.read("tiny", str(folder))
    assert (card.skips, card.steers, card.guides_in_part) == (True, False, False)
    monkeypatch.setitem(step_skipping.LIMITS, SkipRule.TEACACHE, np.inf)
    wanted = replace(asked(given[0], skipping=SkipRule.TEACACHE), num_inference_steps=STEPS)
    with calling_only(folder, CALLED):
        expected = stock_images(folder, wanted)
    generator = load(folder, SIDE)
    rows = count_rows(generator, monkeypatch)
    left = paint(generator, [(0, wanted), (1, asked(given[1], seed=3))])
    assert_same(left[0], expected)
    assert_edited(folder, asked(given[1], seed=3), left[1])
    assert len(rows) == len(CALLED) * (2 if family.startswith("Qwen") else 1)  # one for each prompt


def test_the_card_says_so_and_nothing_else_is_taken(folder_of: Callable[[str], Path], given: list[str]):
    folder = folder_of("InstructPix2Pix")
    card = ModelCard.read("tiny", str(folder))
    assert (card.edits, card.starts, card.needs_picture, card.masks, card.problem) == (True, True, True, False, "")
    assert [name for name in ("steers", "tiles", "weighs") if getattr(card, name)] == []
    generator = load(folder, SIDE)
    for wrong, sentence in (
        (asked(given[0], strength=0.5), "ask again without a strength"),
        (asked(None), "only changes pictures"),
        (asked(given[0], mask=given[1]), "only changes pictures"),
    ):
        with pytest.raises(BadRequest, match=sentence):
            generator.admit("one", wrong)
    [tried] = attempt({"tiny": str(folder)}, device="cpu", dtype="auto", offload="none").values()
    assert "seconds" in tried
