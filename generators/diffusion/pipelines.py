"""Stock pipelines: loaded from a folder, placed on a device, and given their arguments."""

# pyright: basic

from __future__ import annotations

import copy
import inspect
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from PIL import Image, ImageOps

from limner.generators.cards.abilities import EDITS, EXPLAINS, TRUE_GUIDANCE, UNETS
from limner.generators.cards.checkpoints.checkpoint import is_checkpoint
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.model_files import variant_of
from limner.generators.cards.samplers import samplers
from limner.generators.cards.video_models import VIDEOS
from limner.generators.diffusion.adapter_loading import images_for
from limner.generators.diffusion.checkpoint_pipelines import read_checkpoint
from limner.generators.diffusion.controlnets import ControlNets, controls_of
from limner.generators.diffusion.gguf_parts import gguf_parts
from limner.generators.diffusion.ip_adapters import IpAdapters, masks_of
from limner.generators.diffusion.picture_processors import picture_processors
from limner.generators.errors import BadRequest, ModelNotFound, NoNegative, OutOfMemory
from limner.generators.image_canvas import canvas, canvas_mask
from limner.generators.image_files import BadImage, open_image, read_file
from limner.generators.language.unread import unread_by
from limner.generators.loading import loading
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence
from limner.generators.weights import parts

Scheduler = Any
"""One of diffusers' schedulers; they share `set_timesteps`, `scale_model_input` and `step`, but no typed base."""


class Family(NamedTuple):
    """Stock pipeline classes that share their models: text-to-image, image-to-image, inpainting."""

    words: str | None = None
    picture: str | None = None
    part: str | None = None


OTHER_SAMPLER = sentence("This model cannot be used with that sampler; name one of {samplers}.")
NO_SAMPLER = sentence("This model cannot be used with that sampler; ask again without naming one.")
STEPWISE = (
    Family("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    Family("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
    Family("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    Family("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
    Family("ChromaPipeline", "ChromaImg2ImgPipeline"),  # its stock inpainting asks for a setting that it lacks
    Family("QwenImagePipeline", "QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline"),
    Family("ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"),
    # from words only
    Family("AuraFlowPipeline"),
    Family("Kandinsky3Pipeline"),
    Family("Kandinsky5T2IPipeline"),
    Family("Lumina2Pipeline"),
    Family("PixArtSigmaPipeline"),
    Family("SanaPipeline"),
    # changing a picture as the words say
    Family("Flux2KleinPipeline", "Flux2KleinPipeline"),
    Family("FluxKontextPipeline", "FluxKontextPipeline"),
    Family(picture="QwenImageEditPipeline"),
    Family(picture="QwenImageEditPlusPipeline"),
    Family(picture="StableDiffusionInstructPix2PixPipeline"),
    # image-to-image models, such as SDXL's refiner
    Family(picture="StableDiffusionImg2ImgPipeline"),
    Family(picture="StableDiffusionXLImg2ImgPipeline"),
    Family(picture="StableDiffusion3Img2ImgPipeline"),
    Family(picture="FluxImg2ImgPipeline"),
    # denoisers with picture and mask channels beside the latents, which can only inpaint
    Family(part="StableDiffusionInpaintPipeline"),
)
"""The families that are proven to paint the same pictures step by step; the loaded class is a family's first."""

OF_ONE_PICTURE = (
    "Flux2KleinPipeline",
    "FluxKontextPipeline",
    "QwenImageEditPipeline",
    "QwenImageEditPlusPipeline",
)
"""Pipelines that take a second picture for another one that all samples are made from."""

CONTROLLED = {
    "StableDiffusionPipeline": Family(
        "StableDiffusionControlNetPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "StableDiffusionControlNetInpaintPipeline",
    ),
    "StableDiffusionXLPipeline": Family(
        "StableDiffusionXLControlNetPipeline",
        "StableDiffusionXLControlNetImg2ImgPipeline",
        "StableDiffusionXLControlNetInpaintPipeline",
    ),
    "FluxPipeline": Family("FluxControlNetPipeline", "FluxControlNetImg2ImgPipeline", "FluxControlNetInpaintPipeline"),
    "StableDiffusion3Pipeline": Family("StableDiffusion3ControlNetPipeline"),
}
"""The stock pipelines that also read control pictures, by the class of the loaded one."""


class Pipelines:
    """One loaded model, as the pipelines that use it; they share its parts.

    Attributes:
        loaded: the pipeline that the model's folder names.
        stepwise: whether its family is one of `STEPWISE`.
        steers: whether its loop takes other words between two steps, and ends early.
        animates: whether its words can be mixed.
        is_video: whether it paints videos.
        edits: whether it changes a picture as the prompt says.
        has_unet: whether it has a UNet and CLIP's text encoders alone.
        samplers: the samplers that work with it, by name.
        controlnets: the ControlNets of the model.
        adapters: its IP-Adapters.
    """

    def __init__(self, pipe: DiffusionPipeline, card: ModelCard) -> None:
        self.loaded = pipe
        name = type(pipe).__name__
        found = [family for family in STEPWISE if name == next(filter(None, family))]
        self.stepwise = bool(found)
        self.has_unet = name in UNETS
        self._family = found[0] if found else Family(words=name)
        self.edits = name in EDITS
        self.steers = self.stepwise and not self.edits
        self.animates = name in EXPLAINS
        self.is_video = name in VIDEOS
        self._controlled = CONTROLLED.get(name, Family())
        self.controlnets = ControlNets(pipe, card.controlnets)
        self.adapters = IpAdapters(pipe, card)
        self._made: dict[Hashable, DiffusionPipeline] = {(name,): pipe}
        own = self._own = pipe.scheduler  # a whole call leaves its own in the pipeline
        self._fresh: dict[str | None, Scheduler] = {}
        self.samplers = samplers(name, {**own.config, "_class_name": type(own).__name__})

    def pipeline(self, request: GenerationRequest) -> DiffusionPipeline:
        """The stock pipeline for this request, with the ControlNets and the image encoder that it needs.

        Raises:
            BadRequest: diffusers has none for this model, or one of its parts cannot be loaded.
        """
        family = self._controlled if request.controls else self._family
        name = family.words
        if request.init_image:
            name = family.part if request.mask or request.box else family.picture
        if name is None:
            raise BadRequest(_refusal(family))
        parts = self.adapters.encoder(request)
        if request.controls:
            parts = parts | {"controlnet": self.controlnets.together(request)}
        key = (name, *parts.values())
        if key not in self._made:
            self._made[key] = self._make(getattr(diffusers, name), parts)
        return self._made[key]

    def move(self, device: torch.device) -> None:
        """Move the weights to a device."""
        self.adapters.forget()
        self.controlnets.move(device)
        self.loaded.to(device)

    def scheduler(self, name: str | None) -> Scheduler:
        """A scheduler for one request: the model's own settings, and its own class if no sampler is named.

        Raises:
            BadRequest: the model cannot be used with it.
        """
        if name is not None and name not in self.samplers:
            text = OTHER_SAMPLER if self.samplers else NO_SAMPLER
            raise BadRequest(text.format(samplers=", ".join(self.samplers)))
        if name not in self._fresh:
            kind, changes = self.samplers[name] if name else ("", {})
            made = getattr(diffusers, kind) if kind else type(self._own)
            self._fresh[name] = made.from_config(self._own.config, **changes)
        return copy.copy(self._fresh[name])  # its loop sets it up anew; what a copy shares is only read

    def longest(self, request: GenerationRequest) -> int | None:
        """The tokens that a request's pipeline reads with encoders other than CLIP's; None for all."""
        longest = inspect.signature(self.pipeline(request).__call__).parameters.get("max_sequence_length")
        return longest.default if longest else None

    def unread(self, request: GenerationRequest) -> tuple[str, str]:
        """The ends of a request's prompt and negative prompt that exceed every text encoder."""
        limit = self.longest(request)
        return self._unread(request.prompt, limit), self._unread(request.negative_prompt, limit)

    def _unread(self, text: str, limit: int | None) -> str:
        """The ends of its parts between BREAKs, if the encoders read those one after the other."""
        alone = ["".join(words for words, _ in part) for part in parts(text)] if self.has_unet else [text]
        return ", ".join(filter(None, (unread_by(self.loaded, limit, part) for part in alone)))

    def _make(self, kind: type[DiffusionPipeline], parts: dict[str, Any]) -> DiffusionPipeline:
        known = {**self.loaded.config, **self.loaded.components, **parts}
        pipe = kind(**{name: known[name] for name in inspect.signature(kind).parameters if name in known})
        pipe.set_progress_bar_config(disable=True)
        return pipe


def arguments(pipe: DiffusionPipeline, request: GenerationRequest) -> dict[str, Any]:
    """The arguments of the pipeline's call; those left open by the request are left to the pipeline.

    Raises:
        BadRequest: the pipeline does not support the request, or a picture cannot be read.
    """
    takes = inspect.signature(pipe.__call__).parameters
    is_true = bool(TRUE_GUIDANCE.match(type(pipe).__name__))
    if request.negative_prompt and ("negative_prompt" not in takes or ("true_cfg_scale" in takes and not is_true)):
        raise NoNegative
    without = " " if is_true and request.guidance_scale > 1 else None  # they guide only if there is a negative prompt
    count = request.num_images_per_prompt
    given = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt or without,
        **_pictures(request, 1 if type(pipe).__name__ in OF_ONE_PICTURE else count),
        **_references(pipe, request),
        "strength": request.strength,
        "width": request.width,
        "height": request.height,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "true_cfg_scale": request.guidance_scale if is_true else None,
        "num_images_per_prompt": count,
        "num_frames": request.frames if request.is_video else None,
        "generator": [torch.Generator().manual_seed(seed) for seed in request.seeds],
        "use_resolution_binning": False,  # which paints another size and enlarges it
        "max_area": request.width * request.height,  # without which Kontext paints another size too
    }
    if request.controls and "control_image" not in takes:
        given["image"] = given["control_image"]  # pipelines from words call it so
    return {name: value for name, value in given.items() if name in takes and value is not None}


def _pictures(request: GenerationRequest, count: int) -> dict[str, list[Image.Image]]:
    """The picture to start from, and the mask of the part that is painted, ``count`` times.

    Once for each sample, as diffusers would encode a single one with the first sample's random numbers.
    """
    if not request.init_image:
        return {}
    if not (request.mask or request.box):
        return {"image": [read_picture(request.init_image, "RGB", request)] * count}
    mask = opened(request.mask) if request.mask else None
    whole, part = canvas(opened(request.init_image), request), canvas_mask(mask, request)
    return {"image": [whole] * count, "mask_image": [part] * count}


def _references(pipe: DiffusionPipeline, request: GenerationRequest) -> dict[str, Any]:
    """The arguments for control pictures, and for the pictures that IP-Adapters read."""
    read = {one.picture: opened(one.picture).convert("RGB") for one in request.references}
    prompts = [[read[one.picture] for one in some] for some in request.image_prompts.values()]
    controls = controls_of(request, read) if request.controls else {}
    found = masks_of(request, {one.mask: opened(one.mask) for one in request.references if one.mask})
    masks = {"cross_attention_kwargs": found} if found else {}
    return controls | masks | images_for(pipe, prompts)


def read_picture(path: str, mode: str, request: GenerationRequest) -> Image.Image:
    """The picture at the request's size, cropped to its aspect ratio; raises as `opened` does."""
    return ImageOps.fit(opened(path).convert(mode), (request.width, request.height))


def opened(path: str) -> Image.Image:
    """The picture in a file or a ``data:`` URI; raises BadRequest if it cannot be read."""
    try:
        return open_image(read_file(path))
    except (OSError, BadImage) as error:
        raise BadRequest(sentence("A given picture cannot be read; choose another one.")) from error


def read_pipeline(source: str, dtype: torch.dtype) -> DiffusionPipeline:
    """Load the diffusers folder, checkpoint or hub name ``source``; weights come from safetensors files only."""
    folder = Path(source)
    if is_checkpoint(folder):
        return read_checkpoint(folder, dtype)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": folder.is_dir()}
    try:
        if folder.is_dir():
            options |= {"variant": variant_of(folder), **gguf_parts(folder, dtype)}
        with loading():
            pipe = DiffusionPipeline.from_pretrained(source, **options, **picture_processors(source))
    except (ImportError, OSError, ValueError) as error:  # weights in fewer bits need the package that saved them
        raise ModelNotFound from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def denoiser_of(pipe: DiffusionPipeline) -> Any:
    """The pipeline's UNet or transformer."""
    return getattr(pipe, "unet", None) or pipe.transformer


def place(pipe: DiffusionPipeline, device: torch.device, offload: str) -> None:
    """Move the models to the device, or set up offloading."""
    if getattr(pipe, "vae", None) is not None and pipe.vae.dtype == torch.float16 and pipe.vae.config.force_upcast:
        pipe.vae.to(torch.float32)  # SDXL's overflows in float16; the stock pipeline casts it at each call
    move = {"none": pipe.to, "model": pipe.enable_model_cpu_offload, "sequential": pipe.enable_sequential_cpu_offload}
    try:
        move[offload](device=device)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(sentence("The model does not fit into the device's memory; choose a smaller one.")) from error


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of that name; auto is float32 on the CPU and half precision elsewhere."""
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32


def _refusal(family: Family) -> str:
    if family.picture and family.words is None:
        return sentence("This model only changes pictures; ask again with one to start from.")
    if not any(family):
        return sentence("This model reads no control pictures; ask again without one.")
    if family.words is None:
        return sentence("This model only fills a part of a picture; ask again with a picture and a mask.")
    return sentence("This model cannot start from a picture; ask again with words only.")
