# pyright: basic, reportArgumentType=false, reportCallIssue=false
"""The families of 2024 to 2026 paint the stock picture from words, a picture and in a part of one, in any batch."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.abilities import EDITS as NEED_A_PICTURE
from limner.generators.cards.abilities import MASKS, STARTS
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.ladder import Ladder
from limner.generators.diffusion.pipelines import STEPWISE, Family, Pipelines
from limner.generators.diffusion.whole_call import WholeCalls
from limner.generators.requests import GenerationRequest
from tests.generators.test_families import paint
from tests.generators.test_step_skipping import count_rows
from tests.tiny_edits import EDITS
from tests.tiny_models import stock_pipeline, tiny_request
from tests.tiny_transformers import TRANSFORMERS, write_tiny_transformer

SIDE = 32
SIDES = {"Kandinsky 3": 64}
"""Of the pictures of families that paint no smaller ones."""
ROOT = Path(__file__).parents[2]
NAMES = {
    "Stable Diffusion 1.x, 2.x": "StableDiffusionPipeline",
    "Stable Diffusion XL": "StableDiffusionXLPipeline",
    "Stable Diffusion 3": "StableDiffusion3Pipeline",
    "FLUX.1": "FluxPipeline",
}
"""The pipelines that tests/generators/test_families.py proves."""
CLASSES = {
    "Stable Diffusion 3.5": "StableDiffusion3Pipeline",
    "Chroma": "ChromaPipeline",
    "AuraFlow": "AuraFlowPipeline",
    "Kandinsky 3": "Kandinsky3Pipeline",
    "Kandinsky 5": "Kandinsky5T2IPipeline",
    "Lumina 2": "Lumina2Pipeline",
    "Sana": "SanaPipeline",
    "Z-Image": "ZImagePipeline",
    "Qwen-Image": "QwenImagePipeline",
    "PixArt-Sigma": "PixArtSigmaPipeline",
    "FLUX.2 klein": "Flux2KleinPipeline",
}
"""The pipelines of the families that the test below paints."""
EDITING = {
    "FLUX.1 Kontext": "FluxKontextPipeline",
    "Qwen-Image-Edit": "QwenImageEditPipeline",
    "Qwen-Image-Edit 2509, 2511": "QwenImageEditPlusPipeline",
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


def stock_for(folder: Path, request: GenerationRequest) -> Any:
    """The stock pipeline that is made for such requests."""
    loaded = stock_pipeline(folder)
    name = type(loaded).__name__
    if not request.init_image or name in NEED_A_PICTURE:
        return loaded
    task = "Inpaint" if request.mask else "Img2Img"
    pipe = getattr(diffusers, name.replace("Pipeline", f"{task}Pipeline"))(**loaded.components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stock_images(folder: Path, request: GenerationRequest, **more: Any) -> list[np.ndarray]:
    """Each sample painted alone by the stock pipeline, called with ``more``."""
    pipe = stock_for(folder, request)
    pipe.resolutions = [request.size]  # Kandinsky 5 would paint another size
    takes = inspect.signature(pipe.__call__).parameters
    options: dict[str, Any] = {"width": request.width, "height": request.height, "strength": request.strength}
    options |= {"use_resolution_binning": False, "max_area": request.width * request.height}
    options |= {"negative_prompt": request.negative_prompt or None}
    if "true_cfg_scale" in takes and takes["true_cfg_scale"].default > 1:  # it is what guides, as Qwen-Image's does
        options |= {"negative_prompt": request.negative_prompt or " ", "true_cfg_scale": request.guidance_scale}
    for name, path in (("image", request.init_image), ("mask_image", request.mask)):
        options |= {name: ImageOps.fit(Image.open(path), request.size)} if path else {}
    return [
        np.asarray(
            pipe(
                prompt=request.prompt,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                generator=torch.Generator().manual_seed(seed),
                **{name: value for name, value in options.items() if name in takes and value is not None},
                **more,
            ).to_tuple()[0][0],
            dtype=int,
        )
        for seed in request.seeds
    ]


def assert_stock(folder: Path, request: GenerationRequest, left: Any) -> None:
    assert isinstance(left, Finished), (request, left)
    for image, expected in zip(left.images, stock_images(folder, request), strict=True):
        assert np.abs(np.asarray(image, dtype=int) - expected).max() <= 2, request


QUICK = "Z-Image words"
CASES = [
    pytest.param(name, kind, id=f"{name} {kind}", marks=() if f"{name} {kind}" == QUICK else pytest.mark.slow)
    for name, pipeline in CLASSES.items()
    for kind in ("words", *(["picture"] if pipeline in STARTS else []), *(["part"] if pipeline in MASKS else []))
]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a request of each kind says of pictures."""
    folder, random = tmp_path_factory.mktemp("given"), np.random.default_rng(1)
    Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / "picture.png")
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[8:24, 4:20] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    picture = {"init_image": str(folder / "picture.png")}
    part = {**picture, "mask": str(folder / "mask.png"), "strength": 1.0}
    return {"words": {}, "picture": {**picture, "strength": 0.7}, "part": part}


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_alone_in_a_full_batch_and_joined(
    family: str,
    kind: str,
    given: dict[str, dict[str, Any]],
    folder_of: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
):
    folder = folder_of(family)
    assert type(stock_pipeline(folder)).__name__ == CLASSES[family]
    side = SIDES.get(family, SIDE)
    size = {"width": side, "height": side}
    two = tiny_request(num_images_per_prompt=2, num_inference_steps=4, **size, **given[kind])
    other = tiny_request(prompt="a blue dog", seed=3, **size)
    unguided = tiny_request(prompt="a red dog", seed=5, guidance_scale=1.0, num_inference_steps=2, **size)
    generator = load(folder, side)
    rows = count_rows(generator, monkeypatch)
    [alone] = paint(generator, [(0, two)])
    assert_stock(folder, two, alone)
    alone_rows = max(rows)
    rows.clear()
    for left, request in zip(paint(generator, [(0, two), (0, two), (0, two)]), (two, two, two), strict=True):
        assert_stock(folder, request, left)
    assert max(rows) == 3 * alone_rows  # one call for all
    arriving = [(0, two), (1, other), (2, replace(unguided, **given[kind])), (3, replace(other, **given[kind]))]
    for left, (_tick, request) in zip(paint(generator, arriving), arriving, strict=True):
        assert_stock(folder, request, left)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", pytest.param("picture", marks=pytest.mark.slow)])
def test_sizes_share_a_call_where_the_denoiser_takes_lists(
    kind: str,
    given: dict[str, dict[str, Any]],
    folder_of: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
):
    """Z-Image's: sizes whose pixels differ little are painted together, much smaller ones in a call of their own."""
    folder = folder_of("Z-Image")
    sizes = [(SIDE, SIDE), (2 * SIDE, SIDE // 2), (SIDE - 8, SIDE), (SIDE // 2, SIDE // 2)]
    asked = [
        tiny_request(prompt="a red cat " * n, num_images_per_prompt=n, seed=n, width=w, height=h, **given[kind])
        for n, (w, h) in enumerate(sizes, 1)
    ]
    generator = load(folder)
    rows = count_rows(generator, monkeypatch)
    for left, request in zip(paint(generator, [(0, request) for request in asked]), asked, strict=True):
        assert_stock(folder, request, left)
    assert rows[:2] == [2 * (1 + 2 + 3), 2 * 4]
    arriving = [(0, asked[1]), (1, asked[2]), (2, asked[0]), (2, asked[3])]
    for left, (_tick, request) in zip(paint(generator, arriving), arriving, strict=True):
        assert_stock(folder, request, left)
    too_wide = replace(asked[0], width=8 * SIDE, height=SIDE // 8)
    [failed, *others] = paint(generator, [(0, too_wide), (0, asked[0]), (0, asked[1])])
    assert isinstance(failed, Failed)
    assert "change its size" in str(failed.error)
    for left, request in zip(others, asked[:2], strict=True):
        assert_stock(folder, request, left)


@pytest.mark.slow
def test_prompts_of_any_length_share_a_call_where_the_denoiser_takes_a_mask(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    """Qwen-Image's."""
    folder = folder_of("Qwen-Image")
    usual = tiny_request(width=SIDE, height=SIDE)
    asked = [
        replace(usual, prompt="a red cat " * n, negative_prompt="dog" * n, num_images_per_prompt=n) for n in (1, 2, 5)
    ]
    generator = load(folder)
    rows = count_rows(generator, monkeypatch)
    for left, request in zip(paint(generator, [(0, request) for request in asked]), asked, strict=True):
        assert_stock(folder, request, left)
    assert set(rows) == {8}
    arriving = [(tick, replace(request, guidance_scale=1 + tick)) for tick, request in enumerate(asked)]
    for left, (_tick, request) in zip(paint(generator, arriving), arriving, strict=True):
        assert_stock(folder, request, left)


@pytest.mark.slow
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
    calls = WholeCalls(Pipelines(pipe, ModelCard(name="tiny", source="")), ladder, None, lambda _request: None)
    asked = [tiny_request(prompt=words, width=SIDE, height=SIDE) for words in ("a red cat", "a red dog")]
    for request in asked:
        calls.admit(request.prompt, request)
    left: list[Event] = []
    while not left:
        left = [event for event in calls.step() if isinstance(event, Finished | Failed)]
    for request, each in zip(asked, left, strict=True):
        assert_stock(folder, request, each)


def proven(family: Family) -> str:
    """What the table says of a family: what its pipelines paint from."""
    if (family.words or family.picture) in NEED_A_PICTURE:
        return "words, edits by words" if family.words else "edits by words"
    return ", ".join(filter(None, ("words", family.picture and "a picture", family.part and "a part of one")))


def table() -> list[str]:
    """The table of docs/models.md, from the families that are stepped and those that tests paint."""
    lines = ["| family | shared batches proven for | diffusers' class |", "|---|---|---|"]
    families = {next(filter(None, family)): family for family in STEPWISE}
    named = NAMES | CLASSES | EDITING
    return lines + [f"| {name} | {proven(families[kind])} | `{kind}` |" for name, kind in named.items()]


def test_the_table_in_the_docs_is_that_of_the_families():
    editing = {kind for kind in EDITING.values() if not NEED_A_PICTURE[kind]}
    assert {*NAMES.values(), *CLASSES.values()} | editing == {family.words for family in STEPWISE if family.words}
    assert {CLASSES.get(name) or EDITING[name] for name in EDITS} == NEED_A_PICTURE.keys()
    assert CLASSES.keys() == TRANSFORMERS.keys()
    assert "\n".join(table()) in (ROOT / "docs" / "models.md").read_text("utf-8")
