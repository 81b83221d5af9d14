# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""Another prompt between two steps, and an early end: the pictures of the stock loop whose callback does the same."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPAGPipeline

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import BadRequest
from limner.generators.executor import Executor
from limner.generators.loading import loading
from limner.generators.requests import GenerationRequest
from tests.generators.test_families import load, stock_images
from tests.tiny_models import stock_pipeline, tiny_request

MakeFolder = Callable[[str], Path]
AT, STEPS = 1, 4
GUIDANCE = 40.0
"""So much that the few words of the tiny models' pictures are seen."""
NEW = "two dogs, blue"
WORDS = ["sd1", "sdxl", "sd3", "flux_dev"]
"""Families whose stock loop lets a callback change the prompt."""
KINDS = [*((family, "words") for family in WORDS), ("sd1", "picture"), ("sdxl", "part"), ("sdxl_refiner", "picture")]


def swap(family: str) -> Callable[..., dict[str, Any]]:
    """A callback that gives the stock loop the embeddings of `NEW` after `AT` steps."""

    def at_step_end(pipe: Any, step: int, _time: Any, _tensors: Any) -> dict[str, Any]:
        if step + 1 != AT:
            return {}
        if family == "flux_dev":
            return {"prompt_embeds": pipe.encode_prompt(NEW, None)[0]}
        guided = {"negative_prompt": "green", "do_classifier_free_guidance": True}
        if family == "sd3":
            guided |= {"prompt_2": None, "prompt_3": None}
        count = {"device": "cpu", "num_images_per_prompt": 1}
        words, without, *pooled = pipe.encode_prompt(NEW, **guided, **count)
        found = {"prompt_embeds": torch.cat([without, words])}
        if pooled:
            found["pooled_prompt_embeds" if family == "sd3" else "add_text_embeds"] = torch.cat(pooled[::-1])
        return found

    return at_step_end


@contextmanager
def pooled_swapped(family: str, folder: Path):
    """FLUX's callback cannot change the pooled embedding, so the transformer itself gets another one then."""
    if family != "flux_dev":
        yield
        return
    pipe, calls = stock_pipeline(folder), []

    def hook(_: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        calls.append(1)
        is_new = (len(calls) - 1) % STEPS >= AT
        return args, kwargs | ({"pooled_projections": pipe.encode_prompt(NEW, None)[1]} if is_new else {})

    handle = pipe.transformer.register_forward_pre_hook(hook, with_kwargs=True)
    yield
    handle.remove()


def asked(family: str, kind: str, pictures: dict[str, str]) -> GenerationRequest:
    given = {"words": {}, "picture": {"init_image": pictures["init_image"], "strength": 1.0}, "part": pictures}[kind]
    negative = "" if family == "flux_dev" else "green"
    strong = {"guidance_scale": GUIDANCE, "num_inference_steps": STEPS}
    return tiny_request(num_images_per_prompt=2, negative_prompt=negative, **strong, **given)


def paint(
    generator: DiffusionGenerator,
    wanted: GenerationRequest,
    change: Callable[[str], object],
    others: list[tuple[int, GenerationRequest]],
) -> dict[str, Event]:
    """Paint a request that is changed after `AT` steps, with others that come at their ticks."""
    left: dict[str, Event] = {}
    arriving, tick = [(1, wanted), *others], 0
    while len(left) < len(arriving):
        for key, (its_tick, request) in enumerate(arriving):
            if its_tick == tick:
                generator.admit(str(key), request)
        if tick == 1 + AT:
            change("0")
        left |= {event.key: event for event in generator.step() if isinstance(event, Finished | Failed)}
        tick += 1
    return left


def assert_same(left: Event, expected: list[np.ndarray]) -> None:
    assert isinstance(left, Finished), left
    for image, want in zip(left.images, expected, strict=True):
        assert np.abs(np.asarray(image, dtype=int) - want).max() <= 2


QUICK = [("sd1", "words")]


@pytest.mark.parametrize(
    ("family", "kind"), [pytest.param(*kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_the_remaining_steps_go_on_from_the_new_words(
    family: str, kind: str, family_folder: MakeFolder, pictures: dict[str, str]
):
    """Alone, in a batch that is joined half-way, and when the request is repeated."""
    folder, wanted = family_folder(family), asked(family, kind, pictures)
    with pooled_swapped(family, folder):
        expected = stock_images(family, folder, wanted, callback_on_step_end=swap(family))
    generator = load(folder)

    def change(key: str) -> None:
        generator.change(key, NEW)

    plain = stock_images(family, folder, wanted)
    assert np.abs(np.subtract(plain, expected)).max() > 2
    assert_same(paint(generator, wanted, change, [])["0"], expected)
    neighbour = replace(wanted, seed=3, num_images_per_prompt=1, prompt="blue")
    crowd = paint(generator, wanted, change, [(0, neighbour), (2, replace(neighbour, num_inference_steps=3))])
    assert_same(crowd["0"], expected)
    assert_same(crowd["1"], stock_images(family, folder, neighbour))
    again = GenerationRequest.from_json(replace(wanted, steering=((AT, NEW),)).to_json())
    assert_same(paint(generator, again, lambda _: None, [(0, neighbour)])["0"], expected)


def stop(noted: list[torch.Tensor]) -> Callable[..., dict[str, Any]]:
    """A callback that ends the stock loop after `AT` + 1 steps, with the sample that its scheduler predicted."""

    def at_step_end(pipe: Any, step: int, _time: Any, _tensors: Any) -> dict[str, Any]:
        if step != AT:
            return {}
        pipe._interrupt = True
        return {"latents": noted[-1]}

    return at_step_end


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("sd1", "words"),
        pytest.param("sdxl", "picture", marks=pytest.mark.slow),
        pytest.param("flux_dev", "words", marks=pytest.mark.slow),
    ],
)
def test_an_early_end_shows_the_predicted_picture(
    family: str, kind: str, family_folder: MakeFolder, pictures: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    folder, wanted = family_folder(family), asked(family, kind, pictures)
    scheduler, noted = type(stock_pipeline(folder).scheduler), []
    take_step = scheduler.step

    def step(self: Any, predicted: torch.Tensor, time: Any, sample: torch.Tensor, **more: Any) -> Any:
        taken = take_step(self, predicted, time, sample, **{**more, "return_dict": True})
        sigma = self.sigmas[self.step_index - 1]
        noted.append(sample - sigma * predicted)
        return (taken.prev_sample,)

    with monkeypatch.context() as patched:
        patched.setattr(scheduler, "step", step)
        expected = stock_images(family, folder, wanted, callback_on_step_end=stop(noted))
    generator = load(folder)
    neighbour = replace(wanted, seed=3, num_images_per_prompt=1, prompt="blue")
    crowd = paint(generator, wanted, lambda key: generator.change(key, None), [(0, neighbour)])
    assert_same(crowd["0"], expected)
    assert_same(crowd["1"], stock_images(family, folder, neighbour))
    again = GenerationRequest.from_json(replace(wanted, stop_after=AT + 1).to_json())
    assert_same(paint(generator, again, lambda _: None, [])["0"], expected)


@pytest.mark.parametrize(
    "family", ["sd1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sd1_inpainting", "sd3", "flux_dev"))]
)
def test_an_early_end_leaves_what_is_outside_the_mask(family: str, family_folder: MakeFolder, pictures: dict[str, str]):
    """As far as the family's whole loop does: the latents there are the picture's, and only decoding changes them."""
    generator, wanted = load(family_folder(family)), asked(family, "part", pictures)
    whole, early = (
        np.asarray(paint(generator, wanted, change, [])["0"].images[0], dtype=int)[:, 13:]
        for change in (lambda _: None, lambda key: generator.change(key, None))
    )
    assert np.abs(whole - early).max() <= (255 if family == "sd1_inpainting" else 60)


def test_a_change_after_the_last_step_is_told(family_folder: MakeFolder):
    folder = family_folder("sd1")
    executor = Executor({"tiny": ModelCard.read("tiny", str(folder))}, device="cpu")
    with pytest.raises(BadRequest, match="taken its last step"):
        executor.change("1", NEW)
    executor.admit("1", tiny_request(num_inference_steps=1))
    executor.change("1", NEW)
    executor.step()
    with pytest.raises(BadRequest, match="taken its last step"):
        executor.change("1", NEW)


@pytest.mark.slow
def test_a_pipeline_of_whole_calls_is_not_steered(tiny: Path, tmp_path: Path):
    with loading():
        pipe = StableDiffusionPAGPipeline.from_pretrained(tiny, pag_applied_layers=[])
    pipe.save_pretrained(tmp_path)
    card = ModelCard.read("tiny", str(tmp_path))
    assert not card.steers
    generator = load(tmp_path)
    generator.admit("1", tiny_request())
    with pytest.raises(BadRequest, match="takes no other words"):
        generator.change("1", NEW)
    for change in ({"steering": ((1, NEW),)}, {"stop_after": 1}):
        with pytest.raises(BadRequest, match="takes no other words"):
            generator.admit("2", tiny_request(**change))
