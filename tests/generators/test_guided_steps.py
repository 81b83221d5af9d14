# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""Guidance in a part of the steps: fewer rows, and the stock picture with guidance switched at these steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limner.generators.base import Finished
from limner.generators.cards.guided_part import read_part, write_part
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion import step_skipping
from limner.generators.requests import GenerationRequest
from tests.generators.test_families import assert_stock, load, paint, stock_images
from tests.generators.test_step_skipping import assert_same, count_rows
from tests.tiny_models import stock_pipeline, tiny_request

STEPS = 8
GUIDED = (0.25, 0.75)
"""Of eight steps those from the third to the sixth."""


@contextmanager
def guiding_only(folder: Path, guided: range) -> Iterator[None]:
    """Let the stock denoiser's output for the prompt stand in for the unguided one in all other steps."""
    pipe = stock_pipeline(folder)
    kind = type(getattr(pipe, "unet", None) or pipe.transformer)
    forward, step = kind.forward, 0

    def without(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal step
        output = forward(self, *args, **kwargs)
        if step % STEPS not in guided:
            prompt = output[0].chunk(2)[1]
            output = (torch.cat([prompt, prompt]), *output[1:])
        step += 1
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "forward", without)
        yield


@pytest.mark.parametrize(
    "family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow), pytest.param("sd3", marks=pytest.mark.slow)]
)
def test_it_is_the_stock_picture_with_guidance_in_these_steps_alone_and_beside_others(
    family: str, family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    folder = family_folder(family)
    wanted = tiny_request(num_inference_steps=STEPS, num_images_per_prompt=2, guided=GUIDED)
    plain = tiny_request(num_inference_steps=4, seed=3)
    with guiding_only(folder, range(2, 6)):
        expected = stock_images(family, folder, wanted)
    generator = load(folder)
    rows = count_rows(generator, monkeypatch)
    [alone] = paint(generator, [(0, wanted)])
    assert_same(alone, expected)
    assert rows == [2, 2, 4, 4, 4, 4, 2, 2]
    assert np.abs(np.subtract(expected, stock_images(family, folder, wanted))).max() > 2
    rows.clear()
    left = paint(generator, [(0, plain), (1, wanted), (3, plain)])
    assert_same(left[1], expected)
    for neighbour in (left[0], left[2]):
        assert_stock(family, folder, plain, neighbour)
    assert 2 + 2 in rows  # a guided picture and two without guidance share a call
    [second] = paint(generator, [(0, replace(wanted, seed=wanted.seeds[1], num_images_per_prompt=1))])
    assert_same(second, expected[1:])


def test_it_is_what_diffusers_shows_for_switching_guidance_off(family_folder: Callable[[str], Path]):
    """https://huggingface.co/docs/diffusers/using-diffusers/callback"""
    folder, wanted = family_folder("sd1"), tiny_request(num_inference_steps=STEPS, guided=(0, 0.5))
    pipe: Any = stock_pipeline(folder)

    def switch_off(pipe: Any, step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step + 1 == STEPS // 2:
            pipe._guidance_scale = 0.0
            return {"prompt_embeds": tensors["prompt_embeds"].chunk(2)[-1]}
        return {}

    [image] = pipe(
        prompt=wanted.prompt,
        width=wanted.width,
        height=wanted.height,
        num_inference_steps=STEPS,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator().manual_seed(wanted.seed),
        callback_on_step_end=switch_off,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    ).images
    [left] = paint(load(folder), [(0, wanted)])
    assert_same(left, [np.asarray(image, dtype=int)])


@pytest.mark.slow
def test_with_step_skipping_and_new_words(family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    """A change of the prompt and its replay give the same picture; skipping begins anew where guidance does or ends."""
    monkeypatch.setitem(step_skipping.LIMITS, SkipRule.TEACACHE, np.inf)
    generator = load(family_folder("sd1"))
    rows = count_rows(generator, monkeypatch)
    wanted = tiny_request(num_inference_steps=12, guided=(0.25, 0.75), skipping=SkipRule.TEACACHE)
    generator.admit("0", wanted)
    generator.step()
    generator.change("0", "blue")
    left = []
    while not left:
        left = [event for event in generator.step() if isinstance(event, Finished)]
    assert rows == [1, 1, 1, 2, 2, 2, 1, 1, 1]
    replayed = GenerationRequest.from_json(replace(wanted, steering=((1, "blue"),)).to_json())
    assert replayed.guided == (0.25, 0.75)
    [again] = paint(generator, [(0, replayed)])
    assert_same(again, [np.asarray(image, dtype=int) for image in left[0].images])


THOUSANDTHS = st.integers(0, 1000).map(lambda number: number / 1000)


@given(THOUSANDTHS, THOUSANDTHS)
def test_what_is_written_is_read_again(start: float, stop: float):
    assert read_part(write_part((start, stop))) == ((start, stop) if start < stop else None)


@pytest.mark.parametrize("text", ["", "0.5", "1-0", "0.2-1.5", "-1-1", "0.2-0.8-1", "a-b", "0.5-0.5"])
def test_what_is_no_part_of_the_steps(text: str):
    assert read_part(text) is None
