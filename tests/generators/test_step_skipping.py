# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""Step skipping: which denoiser calls a picture does without, and that it is the stock picture without them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner.generators.base import Finished
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.diffusion import step_skipping
from limner.generators.diffusion.flight import _skipping
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.stacked_calls import Call
from limner.generators.diffusion.step_skipping import StepSkipping
from limner.generators.references import Reference, Role
from limner.generators.requests import GenerationRequest
from tests.generators.test_families import assert_stock, load, paint, stock_images
from tests.tiny_models import stock_pipeline, tiny_request

STEPS = 10
CALLED = [0, 1, 5, 9]
"""The calls of ten steps, if as many are skipped as may be: the first fifth, one after three, and the last."""
Change = Callable[[int, int, Callable[..., Any], Any, dict[str, Any]], Any]
"""What a denoiser answers in a step to its first or second call there, with its own function and the arguments."""


def count_rows(generator: DiffusionGenerator, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each denoiser call from now on."""
    rows, answers = [], generator._denoiser.answers

    def counted(calls: Sequence[Call], pixels: int) -> Any:
        rows.append(sum(call.rows for call in calls))
        return answers(calls, pixels)

    monkeypatch.setattr(generator._denoiser, "answers", counted)
    return rows


@contextmanager
def denoising(folder: Path, steps: int, change: Change) -> Iterator[None]:
    """Let the stock denoiser answer in another way to the calls of loops of so many steps."""
    pipe = stock_pipeline(folder)
    kind: Any = type(getattr(pipe, "unet", None) or pipe.transformer)
    forward, step, turn, last = kind.forward, -1, 0, None

    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal step, turn, last
        time = float((kwargs["timestep"] if "timestep" in kwargs else args[1]).flatten()[0])
        step, turn = (step, turn + 1) if time == last else ((step + 1) % steps, 0)
        last = time
        return change(step, turn, lambda *a, **k: forward(self, *a, **k), args, kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "forward", changed)
        yield


@contextmanager
def calling_only(folder: Path, called: list[int]) -> Iterator[None]:
    """Let the stock denoiser repeat its last output for the same prompt in all other steps."""
    last = dict[int, Any]()

    def repeat(step: int, turn: int, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        if step in called:
            last[turn] = forward(*args, **kwargs)
        return last[turn]

    with denoising(folder, STEPS, repeat):
        yield


def assert_same(left: Any, expected: list[np.ndarray]) -> None:
    assert isinstance(left, Finished), left
    for image, wanted in zip(left.images, expected, strict=True):
        assert np.abs(np.asarray(image, dtype=int) - wanted).max() <= 2


FAMILIES = [
    "sd1",
    pytest.param("sdxl", marks=pytest.mark.slow),
    pytest.param("sd3", marks=pytest.mark.slow),
    "flux_dev",
]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_stock_picture_without_those_calls_alone_and_beside_others(
    family: str, family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    folder = family_folder(family)
    monkeypatch.setitem(step_skipping.LIMITS, SkipRule.TEACACHE, np.inf)
    wanted = tiny_request(num_inference_steps=STEPS, num_images_per_prompt=2, skipping=SkipRule.TEACACHE)
    plain = tiny_request(num_inference_steps=4, seed=3)
    with calling_only(folder, CALLED):
        expected = stock_images(family, folder, wanted)
    generator = load(folder)
    rows = count_rows(generator, monkeypatch)
    [alone] = paint(generator, [(0, wanted)])
    assert_same(alone, expected)
    assert len(rows) == len(CALLED)
    assert isinstance(alone, Finished)
    assert (alone.work.steps_denoised, alone.work.steps_skipped) == (2 * len(CALLED), 2 * (STEPS - len(CALLED)))
    assert np.abs(np.subtract(expected, stock_images(family, folder, wanted))).max() > 2

    left = paint(generator, [(0, plain), (1, wanted), (3, plain)])
    assert_same(left[1], expected)
    for neighbour in (left[0], left[2]):
        assert_stock(family, folder, plain, neighbour)
    [second] = paint(generator, [(0, replace(wanted, seed=wanted.seeds[1], num_images_per_prompt=1))])
    assert_same(second, expected[1:])


def test_few_steps_are_all_taken(family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    folder = family_folder("sd1")
    monkeypatch.setitem(step_skipping.LIMITS, SkipRule.MAGCACHE, np.inf)
    wanted = tiny_request(num_inference_steps=8, skipping=SkipRule.MAGCACHE)
    [left] = paint(load(folder), [(0, wanted)])
    assert_stock("sd1", folder, wanted, left)


@pytest.mark.slow
def test_from_new_words_on_nothing_is_known(family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    """A change of the prompt and its replay give the same picture, with two calls from the new words."""
    folder = family_folder("sd1")
    monkeypatch.setitem(step_skipping.LIMITS, SkipRule.TEACACHE, np.inf)
    generator = load(folder)
    rows = count_rows(generator, monkeypatch)
    wanted = tiny_request(num_inference_steps=STEPS, num_images_per_prompt=2, skipping=SkipRule.TEACACHE)
    generator.admit("0", wanted)
    generator.step()
    generator.step()
    generator.change("0", "blue")
    left = []
    while not left:
        left = [event for event in generator.step() if isinstance(event, Finished)]
    assert len(rows) == 5  # steps 0, 1, 5, 6 and 9: it waited for step 5 when the words changed
    replayed = GenerationRequest.from_json(replace(wanted, steering=((5, "blue"),)).to_json())
    [again] = paint(generator, [(0, replayed)])
    assert_same(again, [np.asarray(image, dtype=int) for image in left[0].images])


def outputs(values: Sequence[float]) -> torch.Tensor:
    """One output of two rows, unguided and guided, for each picture."""
    return torch.tensor([*values, *values], dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


@pytest.mark.parametrize(("rule", "small", "large"), [(SkipRule.TEACACHE, 0.02, 0.2), (SkipRule.MAGCACHE, 0.01, 0.2)])
def test_each_picture_skips_as_long_as_its_own_output_changes_little(rule: SkipRule, small: float, large: float):
    skipping, asked = StepSkipping(rule, pictures=2), []
    for step in range(20):
        call = Call(None, (outputs([0, 0]), torch.full((4,), 1000.0 - 50 * step)), {})
        thin = skipping.thin(call, step, 20)
        rows = outputs([(1 + small) ** step, (1 + large) ** step])
        asked.append(0 if thin is None else thin.rows // 2)
        assert skipping.complete(call, rows[[1, 3]] if asked[-1] == 1 else rows).shape == (4, 1, 2, 2)
    assert asked[:4] == [2, 2, 2, 2]
    assert asked[-1] == 2
    assert min(asked[4:-1]) == 1  # the second picture's output is asked for in every step
    assert asked[4:-1].count(2) in range(3, 8)


@pytest.mark.parametrize(
    "scheduler", ["heun", *(pytest.param(name, marks=pytest.mark.slow) for name in ("euler_a", "dpmpp_2m"))]
)
def test_samplers_of_every_order_can_skip(
    scheduler: str, family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(step_skipping.LIMITS, SkipRule.MAGCACHE, np.inf)
    generator = load(family_folder("sd1"))
    rows = count_rows(generator, monkeypatch)
    wanted = tiny_request(num_inference_steps=STEPS, scheduler=scheduler, skipping=SkipRule.MAGCACHE)
    [left] = paint(generator, [(0, wanted)])
    assert isinstance(left, Finished)
    assert len(rows) < (2 * STEPS - 1 if scheduler == "heun" else STEPS)


def test_a_control_picture_leaves_out_nothing() -> None:
    edge = Reference(role=Role.CANNY, picture="x", weight=1.0)
    wanted = tiny_request(num_inference_steps=STEPS, skipping=SkipRule.TEACACHE)
    assert _skipping(wanted)
    assert _skipping(replace(wanted, references=(edge,))) is None
    assert _skipping(replace(wanted, skipping=SkipRule.OFF)) is None
