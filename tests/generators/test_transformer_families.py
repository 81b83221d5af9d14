# pyright: basic, reportArgumentType=false, reportCallIssue=false
"""The families of 2024 to 2026 paint the stock picture alone, in a full batch and joined at any step."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.abilities import EDITS as NEED_A_PICTURE
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.ladder import Ladder
from limner.generators.diffusion.pipelines import STEPWISE, Pipelines
from limner.generators.diffusion.whole_call import WholeCalls
from limner.generators.errors import BadRequest
from limner.generators.requests import GenerationRequest
from tests.generators.test_families import paint
from tests.generators.test_step_skipping import count_rows
from tests.tiny_edits import EDITS
from tests.tiny_models import stock_pipeline, tiny_request
from tests.tiny_transformers import TRANSFORMERS, write_tiny_transformer

SIDE = 32
ROOT = Path(__file__).parents[2]
NAMES = {
    "StableDiffusionPipeline": "Stable Diffusion 1.x, 2.x",
    "StableDiffusionXLPipeline": "Stable Diffusion XL",
    "StableDiffusion3Pipeline": "Stable Diffusion 3",
    "FluxPipeline": "FLUX.1",
}
"""Families with pictures to start from, which tests/generators/test_families.py proves."""
CLASSES = {
    "Stable Diffusion 3.5": "StableDiffusion3Pipeline",
    "Chroma": "ChromaPipeline",
    "AuraFlow": "AuraFlowPipeline",
    "Lumina 2": "Lumina2Pipeline",
    "Sana": "SanaPipeline",
    "Z-Image": "ZImagePipeline",
    "Qwen-Image": "QwenImagePipeline",
    "FLUX.2 klein": "Flux2KleinPipeline",
}
"""The pipelines of the families that the test below paints."""
EDITING = {
    "FLUX.1 Kontext": "FluxKontextPipeline",
    "InstructPix2Pix": "StableDiffusionInstructPix2PixPipeline",
}
"""Those made to edit pictures by words, which tests/generators/test_edits.py proves, as it does klein's edits."""


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny pipeline of the named family."""

    @cache
    def folder(name: str) -> Path:
        return write_tiny_transformer(name, tmp_path_factory.mktemp("tiny"))

    return folder


def load(folder: Path, side: int = SIDE) -> DiffusionGenerator:
    card = ModelCard.read("tiny", str(folder), width=side, height=side)
    return DiffusionGenerator.load(card, device="cpu", max_batch=16)


def stock_images(folder: Path, request: GenerationRequest) -> list[np.ndarray]:
    """Each sample painted alone by the stock pipeline."""
    pipe: Any = stock_pipeline(folder)
    takes = inspect.signature(pipe.__call__).parameters
    options: dict[str, Any] = {"width": request.width, "height": request.height}
    options |= {"use_resolution_binning": False, "max_area": request.width * request.height}
    options |= {"negative_prompt": request.negative_prompt or None}
    if "true_cfg_scale" in takes and takes["true_cfg_scale"].default > 1:  # it is what guides, as Qwen-Image's does
        options |= {"negative_prompt": request.negative_prompt or " ", "true_cfg_scale": request.guidance_scale}
    options |= {"image": Image.open(request.init_image)} if request.init_image else {}
    return [
        np.asarray(
            pipe(
                prompt=request.prompt,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                generator=torch.Generator().manual_seed(seed),
                **{name: value for name, value in options.items() if name in takes and value is not None},
            ).images[0],
            dtype=int,
        )
        for seed in request.seeds
    ]


def assert_stock(folder: Path, request: GenerationRequest, left: Any) -> None:
    assert isinstance(left, Finished), (request, left)
    for image, expected in zip(left.images, stock_images(folder, request), strict=True):
        assert np.abs(np.asarray(image, dtype=int) - expected).max() <= 2, request


@pytest.mark.parametrize(
    "family", ["Z-Image", *(pytest.param(name, marks=pytest.mark.slow) for name in TRANSFORMERS if name != "Z-Image")]
)
def test_alone_in_a_full_batch_and_joined(
    family: str, folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    folder = folder_of(family)
    assert type(stock_pipeline(folder)).__name__ == CLASSES[family]
    size = {"width": SIDE, "height": SIDE}
    two = tiny_request(num_images_per_prompt=2, num_inference_steps=4, **size)
    other = tiny_request(prompt="a blue dog", seed=3, **size)
    unguided = tiny_request(prompt="a red dog", seed=5, guidance_scale=1.0, num_inference_steps=2, **size)
    generator = load(folder)
    rows = count_rows(generator, monkeypatch)
    [alone] = paint(generator, [(0, two)])
    assert_stock(folder, two, alone)
    alone_rows = max(rows)
    rows.clear()
    for left, request in zip(paint(generator, [(0, two), (0, two), (0, two)]), (two, two, two), strict=True):
        assert_stock(folder, request, left)
    assert max(rows) == 3 * alone_rows  # one call for all
    arriving = [(0, two), (1, other), (2, unguided), (3, other)]
    for left, (_tick, request) in zip(paint(generator, arriving), arriving, strict=True):
        assert_stock(folder, request, left)


def test_qwen_image_follows_guidance_and_leaves_out(folder_of: Callable[[str], Path]):
    folder = folder_of("Qwen-Image")
    usual = tiny_request(width=SIDE, height=SIDE, num_inference_steps=2)
    asked = [replace(usual, **more) for more in ({}, {"guidance_scale": 1.0}, {"negative_prompt": "a blue dog"})]
    left = paint(load(folder), [(0, request) for request in asked])
    for request, each in zip(asked, left, strict=True):
        assert_stock(folder, request, each)
    assert len({each.images[0].tobytes() for each in left if isinstance(each, Finished)}) == 3


def test_requests_in_one_whole_call_are_guided_too(folder_of: Callable[[str], Path]):
    """As Qwen-Image's other pipelines are called."""
    folder = folder_of("Qwen-Image")
    pipe = stock_pipeline(folder)
    ladder = Ladder(pipe, 4 * SIDE**2, can_offload=False)
    calls = WholeCalls(Pipelines(pipe, ModelCard(name="tiny", source="")), ladder, None)
    asked = [tiny_request(prompt=words, width=SIDE, height=SIDE) for words in ("a red cat", "a red dog")]
    for request in asked:
        calls.admit(request.prompt, request)
    left: list[Event] = []
    while not left:
        left = [event for event in calls.step() if isinstance(event, Finished | Failed)]
    for request, each in zip(asked, left, strict=True):
        assert_stock(folder, request, each)


def test_their_words_stay(folder_of: Callable[[str], Path]):
    folder = folder_of("Z-Image")
    assert not ModelCard.read("tiny", str(folder)).steers
    generator = load(folder)
    generator.admit("one", tiny_request(width=SIDE, height=SIDE))
    with pytest.raises(BadRequest, match="takes no other words while it paints"):
        generator.change("one", "other words")


def table() -> list[str]:
    """The table of docs/models.md, from the families that are stepped and those that tests paint."""
    lines = ["| family | shared batches proven for | diffusers' class |", "|---|---|---|"]
    lines += [f"| {name} | words, a picture, a part of one | `{kind}` |" for kind, name in NAMES.items()]
    lines += [
        f"| {name} | {'words, edits by words' if name in EDITS else 'words'} | `{kind}` |"
        for name, kind in CLASSES.items()
    ]
    return lines + [
        f"| {name} | {'edits by words' if NEED_A_PICTURE[kind] else 'words, edits by words'} | `{kind}` |"
        for name, kind in EDITING.items()
    ]


def test_the_table_in_the_docs_is_that_of_the_families():
    assert set(NAMES) == {family.words for family in STEPWISE if family.words and family.part}
    editing = {kind for kind in EDITING.values() if not NEED_A_PICTURE[kind]}
    assert set(NAMES) | set(CLASSES.values()) | editing == {family.words for family in STEPWISE if family.words}
    assert {CLASSES.get(name) or EDITING[name] for name in EDITS} == NEED_A_PICTURE.keys()
    assert CLASSES.keys() == TRANSFORMERS.keys()
    assert "\n".join(table()) in (ROOT / "docs" / "models.md").read_text("utf-8")
