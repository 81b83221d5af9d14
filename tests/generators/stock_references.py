# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""What the stock pipelines paint with references and control pictures, built as diffusers' documentation says."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from diffusers import ControlNetModel, DiffusionPipeline, FluxControlNetModel, SD3ControlNetModel
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image, ImageOps
from transformers import CLIPVisionModelWithProjection, SiglipImageProcessor, SiglipVisionModel

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.references import Area, Reference, Role
from limner.generators.requests import GenerationRequest
from limner.generators.vision.outlines import edges, sketch
from tests.generators.test_families import PIPELINES, paint
from tests.tiny_models import SIDE, tiny_request
from tests.tiny_references import write_pictures

CONTROLNETS = {"flux_dev": FluxControlNetModel, "sd3": SD3ControlNetModel}


class Model(NamedTuple):
    """A tiny model with reference files, and pictures."""

    family: str
    folder: Path
    card: ModelCard
    given: list[str]
    start: dict[str, str]


def model_in(family: str, folder: Path, data: Path, pictures: dict[str, str]) -> Model:
    """The tiny model of a family whose reference files are in ``data``."""
    card = ModelCard.read("tiny", str(folder), data=data, width=SIDE, height=SIDE)
    return Model(family, folder, card, write_pictures(data / "given"), pictures)


def read(path: str) -> Image.Image:
    return Image.open(path).convert("RGB")


def stock_pipeline(model: Model, request: GenerationRequest) -> DiffusionPipeline:
    """What diffusers' documentation builds for such a request."""
    task = "Inpaint" if request.mask else "Img2Img" if request.init_image else ""
    kinds = [one.kind for one in request.controls]
    more: dict[str, Any] = {}
    if kinds:
        task, kind = f"ControlNet{task}", CONTROLNETS.get(model.family, ControlNetModel)
        nets = [kind.from_pretrained(model.card.controlnets[name]) for name in kinds]
        more["controlnet"] = nets if len(nets) > 1 else nets[0]
    if request.image_prompts:
        more |= _image_encoder(model)
    pipe = getattr(diffusers, f"{PIPELINES[model.family]}{task}Pipeline").from_pretrained(model.folder, **more)
    pipe.set_progress_bar_config(disable=True)
    if request.image_prompts:
        _load_adapters(model, pipe, request)
    return pipe


def _image_encoder(model: Model) -> dict[str, Any]:
    if model.family != "sd3":
        return {"image_encoder": CLIPVisionModelWithProjection.from_pretrained(model.card.image_encoder)}
    return {
        "image_encoder": SiglipVisionModel.from_pretrained(model.card.image_encoder),
        "feature_extractor": SiglipImageProcessor.from_pretrained(model.card.image_encoder),
    }


def _load_adapters(model: Model, pipe: DiffusionPipeline, request: GenerationRequest) -> None:
    files = [Path(model.card.adapters[role]) for role, _ in request.image_prompts]
    weights = [weight for _, weight in request.image_prompts]
    if model.family == "sd3":
        pipe.load_ip_adapter(str(files[0].parent), weight_name=files[0].name, subfolder="", image_encoder_folder=None)
        pipe.set_ip_adapter_scale(weights[0])
    else:
        pipe.load_ip_adapter([str(file.parent) for file in files], subfolder="", weight_name=[f.name for f in files])
        pipe.set_ip_adapter_scale(weights)


def stock_pictures(model: Model, request: GenerationRequest, **more: Any) -> list[np.ndarray]:
    """Each sample painted alone by the stock pipeline, called with ``more``."""
    pipe = stock_pipeline(model, request)
    made = {Role.EDGES: edges, Role.SKETCH: sketch}
    controls = [one for one in request.references if one.is_control]
    images = [
        made.get(one.role, lambda image: image)(ImageOps.fit(read(one.picture), request.size)) for one in controls
    ]
    one = len(controls) == 1
    options: dict[str, Any] = {"width": request.width, "height": request.height}
    options |= {"negative_prompt": request.negative_prompt or None}
    takes = inspect.signature(pipe.__call__).parameters
    if controls:
        name = "control_image" if "control_image" in takes else "image"
        options |= {
            name: images[0] if one else images,
            "controlnet_conditioning_scale": controls[0].weight if one else [each.weight for each in controls],
            "control_guidance_start": [each.start for each in controls],
            "control_guidance_end": [each.end for each in controls],
        }
    if request.init_image:
        options |= {"image": read(request.init_image), "strength": request.strength}
    if request.mask:
        options |= {"mask_image": Image.open(request.mask)}
    if request.image_prompts:
        prompts = [[read(one.picture) for one in some] for some in request.image_prompts.values()]
        options |= {"ip_adapter_image": prompts[0][0] if model.family == "sd3" else prompts}
        options |= {"negative_ip_adapter_image": prompts}  # FLUX's img2img else makes one for one adapter; none is read
    if any(one.place != Area.ALL for one in request.references):
        drawn = [Image.open(one.mask) if one.mask else _half(one.area) for one in request.references]
        masks = IPAdapterMaskProcessor().preprocess(drawn, height=request.height, width=request.width)
        options |= {"cross_attention_kwargs": {"ip_adapter_masks": [masks.reshape(1, 2, *masks.shape[2:])]}}
    options = {name: value for name, value in options.items() if name in takes}
    return [
        np.asarray(
            pipe(
                request.prompt,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                generator=torch.Generator().manual_seed(seed),
                **options,
                **more,
            ).images[0],
            dtype=int,
        )
        for seed in request.seeds
    ]


def _half(area: Area) -> Image.Image:
    """The mask of the left or the right half, or of all."""
    mask = Image.new("L", (SIDE, SIDE))
    mask.paste(
        255, {Area.LEFT: (0, 0, SIDE // 2, SIDE), Area.RIGHT: (SIDE // 2, 0, SIDE, SIDE)}.get(area, (0, 0, SIDE, SIDE))
    )
    return mask


def all_left(generator: DiffusionGenerator, *keys: str) -> dict[str, Event]:
    """How the requests in flight left."""
    left: dict[str, Event] = {}
    while not left.keys() >= set(keys):
        left |= {event.key: event for event in generator.step() if isinstance(event, Finished | Failed)}
    return left


def references(model: Model, *said: tuple[Any, ...]) -> tuple[Reference, ...]:
    """References by role, the number of their picture, and perhaps weight, start and end."""
    names = ("role", "picture", "weight", "start", "end", "area", "mask")
    found = [dict(zip(names, one, strict=False)) for one in said]
    return tuple(Reference(**{**one, "picture": model.given[one["picture"]]}) for one in found)


def kinds(model: Model) -> dict[str, GenerationRequest]:
    """One request of every kind."""
    part = {**model.start, "strength": 0.99}
    start = {"init_image": model.start["init_image"], "strength": 0.7}
    negative = {} if model.family.startswith("flux") else {"negative_prompt": "green"}
    style, edge = (Role.STYLE, 0, 0.7), (Role.EDGES, 1, 0.8)
    said: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]] = {
        "plain": ({}, []),
        "style": ({"num_images_per_prompt": 2}, [style]),
        "style more weakly": ({"num_inference_steps": 5}, [(Role.STYLE, 1, 0.2)]),
        "style and subject": (negative, [style, (Role.SUBJECT, 2, 0.5)]),
        "blend": ({"guidance_scale": 1.0}, [(Role.BLEND, number) for number in range(4)]),
        "style from a picture": (start, [style]),
        "style and subject from a picture": (start, [style, (Role.SUBJECT, 2, 0.5)]),
        "style in a part": (part, [style]),
        "two subjects side by side": (
            {},
            [(Role.SUBJECT, number, 1.0, 0.0, 1.0, area) for number, area in enumerate((Area.LEFT, Area.RIGHT))],
        ),
        "a subject in a shape and one everywhere": (
            {},
            [(Role.SUBJECT, 0, 1.0, 0.0, 1.0, Area.ALL, model.start["mask"]), (Role.SUBJECT, 1, 1.0)],
        ),
        "edges": ({"num_images_per_prompt": 2}, [edge]),
        "edges of another picture": ({}, [(Role.EDGES, 2, 0.8)]),
        "depth for some steps": ({"num_inference_steps": 5}, [(Role.DEPTH, 2, 1.2, 0.2, 0.7)]),
        "two controls": ({"guidance_scale": 1.0}, [(Role.POSE, 0, 0.5), (Role.SKETCH, 1, 1.0, 0.0, 0.6)]),
        "control from a picture": (start, [edge]),
        "control in a part": (part, [edge]),
        "control and style": ({}, [edge, style]),
    }
    return {
        name: tiny_request(seed=seed, references=references(model, *refs), **changes)
        for seed, (name, (changes, refs)) in enumerate(said.items())
    }


def assert_stock(model: Model, name: str, request: GenerationRequest, left: Event, **more: Any) -> None:
    assert isinstance(left, Finished), (name, left)
    for image, expected in zip(left.images, stock_pictures(model, request, **more), strict=True):
        assert np.abs(np.asarray(image, dtype=int) - expected).max() <= 2, name


def assert_stock_wherever(model: Model, generator: DiffusionGenerator, wanted: dict[str, GenerationRequest]) -> None:
    """Each request gets the stock picture alone, in a batch of all, and joined at a step; so do their neighbours."""
    plain = tiny_request(seed=99, num_inference_steps=6)
    arrivals = [(i % 3, request) for i, request in enumerate(wanted.values())]
    together = paint(generator, [*arrivals, (0, plain), (1, plain)])
    for (name, request), left in zip(wanted.items(), together, strict=False):
        assert_stock(model, name, request, left)
        [alone] = paint(generator, [(0, request)])
        for one, other in zip(alone.images, left.images, strict=True):
            assert np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max() <= 2, name
    for left in together[-2:]:
        assert_stock(model, "neighbour", plain, left)


def assert_they_count(generator: DiffusionGenerator, wanted: dict[str, GenerationRequest]) -> None:
    """Each request's references change its picture."""
    for name, request in wanted.items():
        left, without = paint(generator, [(0, request), (0, replace(request, references=()))])
        pictures = [np.asarray(one.images[0], dtype=int) for one in (left, without)]
        assert (np.abs(pictures[0] - pictures[1]).max() > 2) == bool(request.references), name
