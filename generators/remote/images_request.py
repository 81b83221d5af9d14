"""Requests to OpenAI-compatible images servers: JSON for words alone, a form with files for given pictures."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from PIL import Image, ImageChops

from limner.generators.errors import BadRequest, NoLora, NoNegative
from limner.generators.image_canvas import canvas, canvas_mask
from limner.generators.remote.http import opened, png
from limner.generators.requests import GenerationRequest
from limner.generators.sentences import sentence

TAKES_NO_MASK = sentence("The images server paints no part of a picture; ask again without a region.")
OPTIONAL = (
    *("seed", "negative_prompt", "num_inference_steps", "step", "guidance_scale", "response_format", "size"),
    *("strength", "lora", "mask", "mask_image", "reference_image", "stream", "partial_images"),
)
"""Fields that are left out once a server has called them unknown."""
PARTIAL_IMAGES = 2
"""Rough pictures that a server that streams is asked for."""


@dataclass(frozen=True)
class ImagesRequest:
    """One picture of a request as a server's API takes it: the path of the call, its fields and its files (PNG)."""

    path: str
    fields: Mapping[str, Any]
    files: tuple[tuple[str, bytes], ...] = ()

    @property
    def names(self) -> set[str]:
        """The names of all fields."""
        return {*self.fields, *(name for name, _ in self.files)}

    def to_post(self) -> dict[str, Any]:
        """The arguments of aiohttp's `post`."""
        if self.path == "/images/generations":
            return {"json": self.fields}
        form = aiohttp.FormData()
        for name, value in self.fields.items():
            form.add_field(name, value if isinstance(value, str) else json.dumps(value))
        for number, (name, data) in enumerate(self.files):
            form.add_field(name, data, filename=f"{number}.png", content_type="image/png")
        return {"data": form}


@dataclass(frozen=True)
class RequestWriter:
    """Writes a model's requests.

    ``seed``, ``negative_prompt``, ``num_inference_steps`` and ``guidance_scale`` are extensions that vLLM-Omni
    (https://docs.vllm.ai/projects/vllm-omni/en/stable/serving/image_generation_api/) and SGLang-Diffusion
    (https://docs.sglang.io/diffusion/api/openai_api.html) share; LocalAI calls the steps ``step``
    (https://localai.io/features/image-generation/). OpenAI's own server knows none of them, its gpt-image models know
    no ``response_format`` either, and each model takes only some sizes
    (https://platform.openai.com/docs/api-reference/images/create). ``lora``, ``strength``, ``mask_image`` (white is
    painted) and ``reference_image`` (beside a mask) are vLLM-Omni's, version 0.30
    (https://docs.vllm.ai/projects/vllm-omni/en/latest/serving/image_edit_api/); OpenAI's ``mask`` is transparent where
    it is painted, and more than one picture is ``image[]``.
    """

    model: str
    loras: Mapping[str, str]
    streams: bool

    def write(self, request: GenerationRequest, seed: int, refused: Collection[str]) -> ImagesRequest:
        """The request for one picture, without the fields ``refused``; blocks while it reads given pictures.

        Raises:
            NoNegative, NoLora, BadRequest: something that it cannot do without is refused.
        """
        _check(request, refused)
        size = f"{request.width}x{request.height}"
        optional: dict[str, Any] = {
            "size": size,
            "response_format": "b64_json",
            "seed": seed,
            "num_inference_steps": request.num_inference_steps,
            "step": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
        }
        if request.negative_prompt:
            optional["negative_prompt"] = request.negative_prompt
        if request.init_image and request.strength is not None:
            optional["strength"] = request.strength
        if request.loras:
            [(name, scale)] = request.loras
            optional["lora"] = {"name": name, "path": self.loras[name], "scale": scale}
        if self.streams:
            optional |= {"stream": True, "partial_images": PARTIAL_IMAGES}
        if f"size {size}" in refused:
            del optional["size"]
        taken = {name: value for name, value in optional.items() if name not in refused}
        fields = {"model": self.model, "prompt": request.prompt, "n": 1} | taken
        if not request.is_from_picture:
            return ImagesRequest("/images/generations", fields)
        return ImagesRequest("/images/edits", fields, tuple(_files(request, refused)))


def _check(request: GenerationRequest, refused: Collection[str]) -> None:
    if request.negative_prompt and "negative_prompt" in refused:
        raise NoNegative
    if request.loras and "lora" in refused:
        raise NoLora
    if (request.mask or request.box) and {"mask", "mask_image"} <= {*refused}:
        raise BadRequest(TAKES_NO_MASK)


def _files(request: GenerationRequest, refused: Collection[str]) -> list[tuple[str, bytes]]:
    """The pictures: what is changed first, then the references, then the mask in both forms."""
    references = [png(opened(one.picture)) for one in request.references]
    start = [png(canvas(opened(request.init_image), request))] if request.init_image else []
    is_masked = bool(request.mask or request.box)
    beside: list[tuple[str, bytes]] = []
    if is_masked and references and "reference_image" not in refused:
        beside = [("reference_image", references.pop(0))]
    images = [*start, *references]
    files = [("image" if len(images) == 1 else "image[]", data) for data in images] + beside
    if is_masked:
        white = canvas_mask(opened(request.mask) if request.mask else None, request)
        clear = Image.merge("RGBA", (*(white,) * 3, ImageChops.invert(white)))
        files += [(name, png(mask)) for name, mask in (("mask", clear), ("mask_image", white)) if name not in refused]
    return files
