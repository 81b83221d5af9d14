# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""Every family paints the stock picture, from words, a picture or into a part of one, whatever else is in the batch."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.samplers import samplers
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import BadRequest
from limner.generators.requests import GenerationRequest
from tests.tiny_models import FAMILIES, SIDE, stock_pipeline, tiny_request

MakeFolder = Callable[[str], Path]
SAMPLERS = ["ddim", "euler_a", "dpmpp_2m", "heun"]
DOODLE = Path(__file__).parents[2] / "generators" / "pretrained" / "doodle"
PIPELINES = {
    "sd1": "StableDiffusion",
    "sd2": "StableDiffusion",
    "sd1_inpainting": "StableDiffusion",
    "sdxl": "StableDiffusionXL",
    "sdxl_refiner": "StableDiffusionXL",
    "sd3": "StableDiffusion3",
    "flux_dev": "Flux",
    "flux_schnell": "Flux",
    "doodle": "StableDiffusion",
}


def load(folder: Path) -> DiffusionGenerator:
    card = ModelCard.read("tiny", str(folder), width=SIDE, height=SIDE)
    return DiffusionGenerator.load(card, device="cpu", max_batch=16)


def stock_images(family: str, folder: Path, request: GenerationRequest, **more: Any) -> list[np.ndarray]:
    """Each sample painted alone by the stock pipeline that is made for such requests, called with ``more``."""
    task = "Inpaint" if request.mask else "Img2Img" if request.init_image else ""
    loaded = stock_pipeline(folder)
    if family == "doodle":  # by 4 channels the stock loop that inpaints knows a UNet that reads no mask
        loaded.unet.register_to_config(in_channels=4 if request.mask else 8)
    kind = getattr(diffusers, f"{PIPELINES[family]}{task}Pipeline")
    own = loaded.scheduler
    config = {**own.config, "_class_name": type(own).__name__}
    sampler = samplers(type(loaded).__name__, config)[request.scheduler] if request.scheduler else None
    scheduler, changes = sampler or (type(own).__name__, {})
    takes = inspect.signature(kind).parameters
    known = {**loaded.config, **loaded.components, "requires_safety_checker": False}
    pipe = kind(**{name: part for name, part in known.items() if name in takes})
    pipe.scheduler = getattr(diffusers, scheduler).from_config(
        own.config, **changes
    )  # later, as the constructor would rewrite it
    pipe.set_progress_bar_config(disable=True)
    options = {"width": request.width, "height": request.height, "negative_prompt": request.negative_prompt or None}
    if request.init_image:
        options |= {"image": Image.open(request.init_image)}
    if request.mask:
        options |= {"mask_image": Image.open(request.mask)}
    if request.strength is not None:
        options |= {"strength": request.strength}
    return [
        np.asarray(
            pipe(
                request.prompt,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                generator=torch.Generator().manual_seed(seed),
                **{name: value for name, value in options.items() if name in inspect.signature(pipe).parameters},
                **more,
            ).images[0],
            dtype=int,
        )
        for seed in request.seeds
    ]


def paint(generator: DiffusionGenerator, arrivals: list[tuple[int, GenerationRequest]]) -> list[Event]:
    """Admit each request before its tick, step until all are out, and tell how each left."""
    left: dict[str, Event] = {}
    tick = 0
    while len(left) < len(arrivals):
        for key, (its_tick, request) in enumerate(arrivals):
            if its_tick == tick:
                generator.admit(str(key), request)
        left |= {event.key: event for event in generator.step() if isinstance(event, Finished | Failed)}
        tick += 1
    return [left[str(key)] for key in range(len(arrivals))]


def assert_stock(family: str, folder: Path, request: GenerationRequest, left: Event) -> None:
    assert isinstance(left, Finished), (request, left)
    for image, expected in zip(left.images, stock_images(family, folder, request), strict=True):
        assert np.abs(np.asarray(image, dtype=int) - expected).max() <= 2, request


def enlarged(pictures: dict[str, str], folder: Path) -> dict[str, str]:
    """The same pictures with twice the side."""
    for name, file in pictures.items():
        Image.open(file).resize((2 * SIDE, 2 * SIDE)).save(folder / f"{name}.png")
    return {name: str(folder / f"{name}.png") for name in pictures}


def asks(family: str, pictures: dict[str, str]) -> st.SearchStrategy[GenerationRequest]:
    """Requests of all kinds that the family paints."""
    unet = not family.startswith(("sd3", "flux"))
    words, part = {}, {**pictures, "strength": 0.99}
    picture = {"init_image": pictures["init_image"], "strength": 0.6}
    kinds = {"sd1_inpainting": [part], "sdxl_refiner": [picture]}.get(
        family, [words, words, picture, part, {**part, "strength": 1.0}]
    )
    plain = st.builds(
        tiny_request,
        prompt=st.sampled_from(["a red cat", "two dogs, blue", "x"]),
        negative_prompt=st.sampled_from([""] if family.startswith("flux") else ["", "green"]),
        scheduler=st.sampled_from([None, *SAMPLERS] if unet else [None]),
        num_inference_steps=st.integers(2, 6),
        guidance_scale=st.sampled_from([0.0, 1.0, 1.5, 5.0]),
        num_images_per_prompt=st.integers(1, 2),
        seed=st.sampled_from([0, 1, 2**32 - 1]),
        width=st.sampled_from([SIDE, SIDE, 24]),
    )

    def with_pictures(request: GenerationRequest, kind: dict) -> GenerationRequest:
        return replace(request, **kind, width=SIDE) if kind else request

    return st.builds(with_pictures, plain, st.sampled_from(kinds))


def check_arrivals(family: str, folder: Path, arriving: list[tuple[int, GenerationRequest]]) -> None:
    for (_, request), left in zip(arriving, paint(load(folder), arriving), strict=True):
        assert_stock(family, folder, request, left)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_arrivals(family: str, data: st.DataObject, family_folder: MakeFolder, pictures: dict[str, str]) -> None:
    """Up to five requests that join at random steps."""
    arriving = data.draw(st.lists(st.tuples(st.integers(0, 6), asks(family, pictures)), min_size=1, max_size=5))
    check_arrivals(family, family_folder(family), arriving)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("sd1", "flux_dev"))) for name in FAMILIES]
)
def test_requests_of_all_kinds_share_a_batch(family: str, family_folder: MakeFolder, pictures: dict[str, str]):
    folder = family_folder(family)
    picture = {"init_image": pictures["init_image"], "strength": 0.7}
    words, picture, part = {
        "sd1_inpainting": (pictures, pictures, pictures),
        "sdxl_refiner": (picture, picture, picture),
    }.get(family, ({}, picture, pictures))
    arriving = [
        (0, tiny_request(num_inference_steps=5, num_images_per_prompt=2, **words)),
        (0, tiny_request(num_inference_steps=4, seed=1, guidance_scale=1.0, **picture)),
        (1, tiny_request(num_inference_steps=4, seed=2, num_images_per_prompt=2, **part)),
        (2, tiny_request(num_inference_steps=3, seed=3, prompt="blue", **picture)),
    ]
    check_arrivals(family, folder, arriving)


def test_latents_with_other_channels_than_stable_diffusions_are_inpainted(pictures: dict[str, str], tmp_path: Path):
    pictures = enlarged(pictures, tmp_path)
    picture = {"init_image": pictures["init_image"], "strength": 0.7}
    arriving = [
        (tick, tiny_request(num_inference_steps=4, width=2 * SIDE, height=2 * SIDE, **kind))
        for tick, kind in enumerate((pictures, picture))
    ]
    check_arrivals("doodle", DOODLE, arriving)


@pytest.mark.parametrize("family", ["sd1", pytest.param("flux_dev", marks=pytest.mark.slow)])
def test_one_call_of_the_denoiser_serves_all_kinds(family: str, family_folder: MakeFolder, pictures: dict[str, str]):
    generator, rows = load(family_folder(family)), []
    parts = generator._pipelines.loaded.components
    denoiser = parts.get("unet") or parts["transformer"]
    denoiser.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(args[0] if args else kwargs["hidden_states"])), with_kwargs=True
    )
    asked = [{}, {"init_image": pictures["init_image"], "strength": 1.0}, {**pictures, "strength": 1.0}]
    for key, kind in enumerate(asked):
        generator.admit(str(key), tiny_request(guidance_scale=1.0, num_inference_steps=2, **kind))
    generator.step()
    assert rows == [3]


@pytest.mark.slow
@pytest.mark.parametrize("family", [*FAMILIES, "doodle"])
def test_every_sampler_on_the_card(family: str, family_folder: MakeFolder, pictures: dict[str, str], tmp_path: Path):
    """Alone, and in a full batch that is joined at later steps."""
    folder, side = (DOODLE, 2 * SIDE) if family == "doodle" else (family_folder(family), SIDE)
    pictures = enlarged(pictures, tmp_path) if family == "doodle" else pictures
    picture = {"init_image": pictures["init_image"], "strength": 0.5}
    known = {"sd1_inpainting": [pictures], "sdxl_refiner": [picture]}
    kinds = known.get(family, [{}, picture, pictures])
    wanted = [
        tiny_request(scheduler=name, num_inference_steps=6, seed=seed, width=side, height=side, **kind)
        for seed, name in enumerate(ModelCard.read("m", str(folder)).samplers)
        for kind in kinds
    ]
    for request in wanted:
        check_arrivals(family, folder, [(0, request)])
    room = 8 * SIDE**2 // side**2
    for start in range(0, len(wanted), room):
        check_arrivals(family, folder, [(i % 5, request) for i, request in enumerate(wanted[start : start + room])])


def test_a_picture_of_another_shape_is_fitted(family_folder: MakeFolder, pictures: dict[str, str], tmp_path: Path):
    generator = load(family_folder("sd1"))
    wide = Image.new("RGB", (3 * SIDE, SIDE), "blue")
    wide.paste(Image.open(pictures["init_image"]), (SIDE, 0))
    wide.save(tmp_path / "wide.png")
    request = tiny_request(init_image=pictures["init_image"], strength=0.5, num_inference_steps=4)
    left = paint(generator, [(0, request), (0, replace(request, init_image=str(tmp_path / "wide.png")))])
    assert np.array_equal(left[0].images[0], left[1].images[0])


@pytest.mark.parametrize(
    ("family", "change"),
    [("sd1_inpainting", {}), ("sdxl_refiner", {}), ("flux_dev", {"negative_prompt": "green"})],
)
def test_what_a_family_cannot_do_is_told(family: str, change: dict, family_folder: MakeFolder):
    with pytest.raises(BadRequest, match=r"^This model [^.]+\.$"):
        load(family_folder(family)).admit("a", tiny_request(**change))


def test_a_broken_picture_is_told(family_folder: MakeFolder, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for path in (tmp_path / "broken.png", tmp_path / "missing.png"):
        with pytest.raises(BadRequest, match="cannot be read"):
            load(family_folder("sd1")).admit("a", tiny_request(init_image=str(path)))
