# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import weakref
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPAGPipeline,
    StableDiffusionPipeline,
)

from limner.generators.base import Event, Failed, Finished, Progress
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.ladder import Ladder
from limner.generators.diffusion.pipelines import Pipelines
from limner.generators.diffusion.suspended_call import SuspendedCall
from limner.generators.diffusion.whole_call import WholeCalls
from limner.generators.errors import BadRequest, NotNumbers, OutOfMemory
from limner.generators.requests import GenerationRequest
from tests.tiny_models import SIDE, tiny_request


class NoCallback(StableDiffusionPAGPipeline):
    """Like pipelines from before callbacks could change anything."""

    def __call__(
        self,
        prompt,
        width,
        height,
        num_inference_steps,
        guidance_scale,
        generator,
        output_type,
    ):
        return super().__call__(
            prompt,
            width=width,
            height=height,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            generator=generator,
            output_type=output_type,
        )


def build(tiny: Path, kind: type = StableDiffusionPAGPipeline) -> StableDiffusionPAGPipeline:
    """Its attention layers know where in a batch the guided rows are: its calls cannot be joined by rows."""
    parts = StableDiffusionPipeline.from_pretrained(tiny, dtype=torch.float32).components
    pipe = kind(**parts, requires_safety_checker=False, pag_applied_layers=["up"])
    pipe.set_progress_bar_config(disable=True)
    return pipe


def start(pipe: StableDiffusionPAGPipeline, samples: int = 8) -> tuple[WholeCalls, Ladder]:
    ladder = Ladder(pipe, samples * SIDE**2, can_offload=False)
    return WholeCalls(Pipelines(pipe, ModelCard(name="tiny", source="")), ladder, None, lambda _request: None), ladder


@pytest.fixture
def pipe(tiny: Path) -> StableDiffusionPAGPipeline:
    return build(tiny)


@pytest.fixture
def calls(pipe: StableDiffusionPAGPipeline, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The prompts of each call that the pipeline gets."""
    prompts: list[list[str]] = []
    check = pipe.check_inputs  # the first thing that a call does

    def counted(prompt, *arguments):
        prompts.append(prompt)
        return check(prompt, *arguments)

    monkeypatch.setattr(pipe, "check_inputs", counted)
    return prompts


def paint(painter: WholeCalls, *keys: str) -> dict[str, Event]:
    """Step until all these have left, and return how each did."""
    left: dict[str, Event] = {}
    while not left.keys() >= {*keys}:
        left |= {event.key: event for event in painter.step() if isinstance(event, Finished | Failed)}
    return left


@cache
def stock(tiny: Path) -> StableDiffusionPAGPipeline:
    return build(tiny)


def assert_stock(tiny: Path, event: Event | None, request: GenerationRequest) -> None:
    assert isinstance(event, Finished), event
    pipe = stock(tiny)
    kind = EulerAncestralDiscreteScheduler if request.scheduler else EulerDiscreteScheduler
    pipe.scheduler = kind.from_config(pipe.scheduler.config)
    expected = pipe(
        request.prompt,
        negative_prompt=request.negative_prompt or None,
        width=request.width,
        height=request.height,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        num_images_per_prompt=request.num_images_per_prompt,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
    ).images
    assert len(event.images) == len(expected) == len(event.seeds)
    for image, want in zip(event.images, expected, strict=True):
        assert np.abs(np.asarray(image, int) - np.asarray(want, int)).max() <= 2


def test_equal_parameters_share_a_call_and_each_gets_the_stock_picture(tiny: Path, pipe, calls: list[list[str]]):
    painter, _ = start(pipe)
    requests = {
        "cat": tiny_request(num_images_per_prompt=2),
        "dog": tiny_request(prompt="two dogs", seed=3),
        "steps": tiny_request(num_inference_steps=5),
        "negative": tiny_request(negative_prompt="green"),
        "scheduler": tiny_request(scheduler="euler_a"),
        "after": tiny_request(num_inference_steps=4),
    }
    for key, request in requests.items():
        painter.admit(key, request)

    left = paint(painter, *requests)

    seen = list(calls)
    for key, request in requests.items():
        assert_stock(tiny, left[key], request)
    assert seen == [["a red cat", "a red cat", "two dogs"], *([["a red cat"]] * 4)]
    assert list(left) == list(requests)


def test_each_step_is_told_and_newcomers_wait_for_the_next_call(tiny: Path, pipe):
    painter, _ = start(pipe)
    painter.admit("a", tiny_request())
    assert painter.step() == [Progress("a", 1, 3)]
    painter.admit("b", tiny_request(seed=8))
    assert painter.step() == [Progress("a", 2, 3)]
    progress, finished = painter.step()
    assert progress == Progress("a", 3, 3)
    assert_stock(tiny, finished, tiny_request())
    assert 0 < finished.busy_seconds <= finished.seconds
    assert painter.step() == [Progress("b", 1, 3)]


@pytest.mark.slow
def test_more_images_than_fit_into_one_call_are_painted_in_several(tiny: Path, pipe):
    painter, _ = start(pipe, samples=2)
    wanted = tiny_request(num_images_per_prompt=3, num_inference_steps=2)
    painter.admit("many", wanted)
    events = [event for _ in range(4) for event in painter.step()]
    assert [event.step for event in events[:-1]] == [0, 1, 1, 2]
    assert_stock(tiny, events[-1], wanted)


def test_evicting_the_last_of_a_call_ends_it_at_once(tiny: Path, pipe):
    rows: list[int] = []
    pipe.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    painter, _ = start(pipe)
    painter.admit("gone", tiny_request(num_inference_steps=50))
    painter.step()
    painter.admit("it", tiny_request())
    painter.evict("gone")
    painter.evict("never there")
    left = paint(painter, "it")
    assert list(left) == ["it"]
    assert_stock(tiny, left["it"], tiny_request())
    assert len(rows) == 1 + 3


@pytest.mark.slow
def test_evicting_one_of_several_does_not_touch_its_neighbour(tiny: Path, pipe):
    painter, _ = start(pipe)
    painter.admit("gone", tiny_request(seed=1))
    painter.admit("it", tiny_request())
    assert {event.key for event in painter.step()} == {"gone", "it"}
    painter.evict("gone")
    painter.admit("gone", tiny_request(seed=2))  # the same name again is another request
    left = paint(painter, "it", "gone")
    assert_stock(tiny, left["it"], tiny_request())
    assert_stock(tiny, left["gone"], tiny_request(seed=2))


def test_one_that_breaks_its_call_fails_alone(tiny: Path, pipe):
    encode = pipe.encode_prompt

    def refuse(prompt, *args, **kwargs):
        if "poison" in prompt:
            raise KeyError("a secret detail")
        return encode(prompt, *args, **kwargs)

    pipe.encode_prompt = refuse
    painter, _ = start(pipe)
    for key in ("a", "poison", "b"):
        painter.admit(key, tiny_request(prompt=key))
    left = paint(painter, "a", "b", "poison")
    assert isinstance(left["poison"], Failed)
    assert "secret" not in str(left["poison"].error)
    for key in ("a", "b"):
        assert_stock(tiny, left[key], tiny_request(prompt=key))


def test_what_is_no_picture_fails_alone(tiny: Path, pipe):
    encode = pipe.encode_prompt

    def poison(prompt, *args, **kwargs):
        words, others = encode(prompt, *args, **kwargs)
        words[[each == "poison" for each in prompt]] = torch.nan
        return words, others

    pipe.encode_prompt = poison
    painter, _ = start(pipe)
    painter.admit("poison", tiny_request(prompt="poison"))
    painter.admit("it", tiny_request())
    left = paint(painter, "it", "poison")
    assert isinstance(left["poison"].error, NotNumbers)
    assert_stock(tiny, left["it"], tiny_request())


def test_out_of_memory_is_painted_again_in_smaller_calls(tiny: Path, pipe):
    rows: list[int] = []

    def hook(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        rows.append(len(args[0]))
        if len(args[0]) > 3 * 2:
            torch.empty(2**60)  # more than any machine has

    pipe.unet.register_forward_pre_hook(hook)
    painter, ladder = start(pipe)
    requests = {str(seed): tiny_request(seed=seed, num_inference_steps=2) for seed in range(4)}
    for key, request in requests.items():
        painter.admit(key, request)
    left = paint(painter, *requests)
    for key, request in requests.items():
        assert_stock(tiny, left[key], request)
    assert rows == [12, 6, 6, 6, 6]
    assert ladder.rows(SIDE**2, decoding=True) == 2


@pytest.mark.slow
def test_what_never_fits_fails_after_the_last_rung(tiny: Path, pipe):
    tiled: list[bool] = []

    def hook(_: torch.nn.Module, __: tuple[torch.Tensor, ...]) -> None:
        tiled.append(pipe.vae.use_tiling)
        torch.empty(2**60)

    pipe.vae.post_quant_conv.register_forward_pre_hook(hook)
    painter, _ = start(pipe)
    painter.admit("a", tiny_request(num_inference_steps=1))
    left = paint(painter, "a")
    assert isinstance(left["a"].error, OutOfMemory)
    assert tiled == [False, True]
    assert not pipe.vae.use_tiling


def test_a_pipeline_without_callbacks_runs_to_its_end(tiny: Path):
    painter, _ = start(build(tiny, NoCallback))
    painter.admit("a", tiny_request())
    painter.admit("b", tiny_request(seed=1))
    progress = [Progress("a", 3, 3), Progress("b", 3, 3)]
    *told, a, b = painter.step()
    assert told == progress
    assert_stock(tiny, a, tiny_request())
    assert_stock(tiny, b, tiny_request(seed=1))
    with pytest.raises(BadRequest, match="negative prompt"):
        painter.admit("c", tiny_request(negative_prompt="green"))


def test_what_the_pipeline_refuses_is_told_as_a_bad_request(pipe):
    painter, _ = start(pipe)
    painter.admit("a", tiny_request(width=20))
    assert isinstance(paint(painter, "a")["a"].error, BadRequest)


@pytest.mark.slow
def test_closing_frees_the_weights_of_a_call_that_is_under_way(pipe: StableDiffusionPAGPipeline, tmp_path: Path):
    pipe.save_pretrained(tmp_path)
    card = ModelCard.read("tiny", str(tmp_path), width=SIDE, height=SIDE)
    generator = DiffusionGenerator.load(card, device="cpu")
    denoiser = weakref.ref(generator._pipelines.loaded.unet)
    generator.admit("a", tiny_request(num_inference_steps=5))
    assert generator.step() == [Progress("a", 1, 5)]
    generator.close()
    assert denoiser() is None


def test_torch_makes_errors_in_a_call_that_goes_on_from_elsewhere():
    """Where torch makes an error it reads the whole stack, also below the call: a greenlet's would have changed."""
    taken: list[bool] = []

    def steps() -> str:
        for _ in range(3):
            taken.append(torch.ones(1) != "a text")  # an error that torch makes and catches
            assert not torch.is_grad_enabled()
            call.pause()
        return str(torch.ones(2) @ torch.ones(3))

    call = SuspendedCall(steps)
    assert call.go_on() is None
    assert [*(call.go_on() for _turn in range(1))] == [None]
    assert sorted([1], key=lambda _turn: call.go_on() or 0) == [1]
    with pytest.raises(RuntimeError, match="size"):
        max([1], key=lambda _turn: call.go_on() or 0)
    assert (taken, call.ended) == ([True] * 3, True)
    call.stop()
    assert torch.is_grad_enabled()
