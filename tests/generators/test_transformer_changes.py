# pyright: basic, reportArgumentType=false, reportCallIssue=false
"""The families of 2024 to 2026 take other words while they paint, end early, skip steps and guide in some of them.

Each picture is that of the stock loop whose denoiser is asked, or answers, as the change says.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.schedulers.scheduling_utils import SchedulerOutput

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion import step_skipping
from limner.generators.diffusion.flight import WORDS
from limner.generators.requests import GenerationRequest
from tests.generators.test_steering import paint
from tests.generators.test_step_skipping import CALLED, STEPS, Change, assert_same, calling_only, count_rows, denoising
from tests.generators.test_transformer_families import SIDE, SIDES, load, stock_images
from tests.tiny_models import stock_pipeline, tiny_request
from tests.tiny_transformers import TRANSFORMERS, write_tiny_transformer

AT, NEW = 1, "two dogs, blue"
GUIDANCE = {"AuraFlow": 20_000.0}
"""Where 40 is too little for the tiny model's words to be seen."""
QUICK = "Qwen-Image"
"""It asks its denoiser twice in a step, once for each prompt."""
FAMILIES = [
    pytest.param(name, marks=() if name == QUICK else pytest.mark.slow)
    for name in TRANSFORMERS
    if name not in ("Stable Diffusion 3.5", "FLUX.2 klein")
]
"""Those that take other words; the class of SD 3.5 is steered in tests/generators/test_steering.py."""


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny pipeline of the named family."""

    @cache
    def folder(name: str) -> Path:
        return write_tiny_transformer(name, tmp_path_factory.mktemp("tiny"))

    return folder


def asked(family: str, **changes: Any) -> GenerationRequest:
    side = SIDES.get(family, SIDE)
    usual = {"negative_prompt": "green", "num_images_per_prompt": 2, "guidance_scale": GUIDANCE.get(family, 40.0)}
    return tiny_request(**{**usual, "num_inference_steps": 4, "width": side, "height": side, **changes})


def with_words(folder: Path, request: GenerationRequest) -> Change:
    """From step `AT` on the denoiser gets the words of another request's first call."""
    found: dict[str, Any] = {}

    def record(step: int, turn: int, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        if step == turn == 0 and not found:
            found.update(kwargs={name: kwargs[name] for name in WORDS if name in kwargs}, args=args[2:])
        return forward(*args, **kwargs)

    with denoising(folder, request.num_inference_steps, record):
        stock_images(folder, replace(request, num_images_per_prompt=1))

    def change(step: int, turn: int, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        if step < AT or turn:
            return forward(*args, **kwargs)
        return forward(*args[:2], *found["args"], **{**kwargs, **found["kwargs"]})

    return change


@pytest.mark.parametrize("family", FAMILIES)
def test_the_remaining_steps_go_on_from_the_new_words(family: str, folder_of: Callable[[str], Path]):
    folder, wanted = folder_of(family), asked(family)
    assert ModelCard.read("tiny", str(folder)).steers
    with denoising(folder, wanted.num_inference_steps, with_words(folder, replace(wanted, prompt=NEW))):
        expected = stock_images(folder, wanted)
    assert np.abs(np.subtract(stock_images(folder, wanted), expected)).max() > 2
    generator = load(folder, wanted.width)
    neighbour = replace(wanted, seed=3, num_images_per_prompt=1, prompt="blue")
    others = [(0, neighbour), (2, replace(neighbour, num_inference_steps=3))]
    crowd = paint(generator, wanted, lambda key: generator.change(key, NEW), others)
    assert_same(crowd["0"], expected)
    assert_same(crowd["1"], stock_images(folder, neighbour))
    again = GenerationRequest.from_json(replace(wanted, steering=((AT, NEW),)).to_json())
    assert_same(paint(generator, again, lambda _: None, [(0, neighbour)])["0"], expected)


def clean(scheduler: Any, predicted: torch.Tensor, time: Any, sample: torch.Tensor) -> torch.Tensor:
    """The latents without noise that the denoiser predicts."""
    if hasattr(scheduler, "alphas_cumprod"):
        kept = scheduler.alphas_cumprod[int(time)]
        return (sample - (1 - kept) ** 0.5 * predicted) / kept**0.5
    return sample - scheduler.sigmas[scheduler.step_index - 1] * predicted


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_an_early_end_shows_the_predicted_picture(
    family: str, folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    folder, wanted = folder_of(family), asked(family)
    scheduler: Any = type(stock_pipeline(folder).scheduler)
    take_step, noted, steps = scheduler.step, list[torch.Tensor](), wanted.num_inference_steps

    def step(self: Any, predicted: torch.Tensor, time: Any, sample: torch.Tensor, **more: Any) -> Any:
        taken = take_step(self, predicted, time, sample, **{**more, "return_dict": True})
        noted.append(clean(self, predicted, time, sample))
        place = (len(noted) - 1) % steps
        return SchedulerOutput(taken.prev_sample if place < AT else noted[AT - place - 1])

    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "step", step)
        expected = stock_images(folder, wanted)
    generator = load(folder, wanted.width)
    rows = count_rows(generator, monkeypatch)
    [alone] = paint(generator, replace(wanted, stop_after=AT + 1), lambda _: None, []).values()
    assert_same(alone, expected)
    assert len(rows) == (AT + 1) * calls_a_step(family)
    neighbour = replace(wanted, seed=3, num_images_per_prompt=1, prompt="blue")
    crowd = paint(generator, wanted, lambda key: generator.change(key, None), [(0, neighbour)])
    assert_same(crowd["0"], expected)
    assert_same(crowd["1"], stock_images(folder, neighbour))


def calls_a_step(family: str) -> int:
    """How often the family's loop asks its denoiser in a guided step."""
    return 2 if family in ("Chroma", "Kandinsky 5", "Lumina 2", "Qwen-Image") else 1


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_stock_picture_without_the_skipped_calls(
    family: str, folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    folder = folder_of(family)
    assert ModelCard.read("tiny", str(folder)).skips
    monkeypatch.setitem(step_skipping.LIMITS, SkipRule.TEACACHE, np.inf)
    wanted = asked(family, num_inference_steps=STEPS, skipping=SkipRule.TEACACHE, guidance_scale=5.0)
    with calling_only(folder, CALLED):
        expected = stock_images(folder, wanted)
    assert np.abs(np.subtract(expected, stock_images(folder, wanted))).max() > 2
    generator = load(folder, wanted.width)
    rows = count_rows(generator, monkeypatch)
    neighbour = replace(wanted, seed=3, skipping=None, num_inference_steps=4)
    [alone] = paint(generator, wanted, lambda _: None, []).values()
    assert_same(alone, expected)
    assert len(rows) == len(CALLED) * calls_a_step(family)
    assert isinstance(alone, Finished)
    assert (alone.work.steps_denoised, alone.work.steps_skipped) == (2 * len(CALLED), 2 * (STEPS - len(CALLED)))
    left = paint(generator, wanted, lambda _: None, [(0, neighbour), (3, neighbour)])
    assert_same(left["0"], expected)
    assert_same(left["1"], stock_images(folder, neighbour))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_stock_picture_with_guidance_in_some_steps(
    family: str, folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    folder, answered = folder_of(family), dict[int, Any]()
    assert ModelCard.read("tiny", str(folder)).guides_in_part
    wanted = asked(family, num_inference_steps=4, guided=(0.25, 0.75))

    def without(step: int, turn: int, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """The prompt's output stands in for that of the negative prompt in the first and the last step."""
        output = forward(*args, **kwargs)[0]
        if step in (0, 3) and turn:
            output = answered[0]
        elif step in (0, 3) and calls_a_step(family) == 1:
            half = len(output) // 2
            prompt = output[:half] if family == "Z-Image" else output[half:]
            output = prompt * 2 if isinstance(output, list) else torch.cat([prompt, prompt])
        answered[turn] = output
        return Transformer2DModelOutput(output)

    with denoising(folder, 4, without):
        expected = stock_images(folder, wanted)
    assert np.abs(np.subtract(expected, stock_images(folder, wanted))).max() > 2
    generator = load(folder, wanted.width)
    rows = count_rows(generator, monkeypatch)
    [alone] = paint(generator, wanted, lambda _: None, []).values()
    assert_same(alone, expected)
    assert sum(rows) == 2 * (1 + 2 + 2 + 1)
    neighbour = replace(wanted, seed=3, guided=None)
    left = paint(generator, wanted, lambda _: None, [(0, neighbour)])
    assert_same(left["0"], expected)
    assert_same(left["1"], stock_images(folder, neighbour))
