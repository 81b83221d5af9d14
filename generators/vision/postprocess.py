"""Postprocessing of pictures: crop, upscale, resize, colour, sharpness, and adjustments by name."""

# pyright: basic

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from limner.generators.errors import BadRequest, ModelNotFound
from limner.generators.requests import ADJUSTMENTS, RESTORATIONS, Finish
from limner.generators.sentences import sentence

if TYPE_CHECKING:
    from limner.generators.vision.restoration_network import RestorationNetwork

TASK_OF = {name: name.removesuffix("-drawing") for name in RESTORATIONS}
"""The restoration network's task behind each of the `RESTORATIONS`."""
TILE, MARGIN = 256, 16
"""Side of a tile in pixels, and what an upscaler sees around it."""
ADJUST: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "denoise": lambda image: image.filter(ImageFilter.MedianFilter(3)),
    "contrast": lambda image: ImageOps.autocontrast(image, cutoff=0.5, preserve_tone=True),
    "colour": lambda image: ImageEnhance.Color(image).enhance(1.25),
    "sharpen": lambda image: image.filter(ImageFilter.UnsharpMask(radius=2, percent=80, threshold=3)),
}
"""Pillow's filters behind `ADJUSTMENTS`: a median of 3x3 pixels; the brightness from the darkest to the brightest 0.5 %
stretched; a quarter more colour; an unsharp mask of 2 pixels."""


class Finisher:
    """Postprocesses pictures; upscales with the model in the file ``upscaler``, or by Lanczos without one.

    The file is any that spandrel reads (ESRGAN, SwinIR, DAT ...), safetensors only. ``restoration`` is the folder of a
    model of `limner train restore`, for the `RESTORATIONS`. Both are loaded at their first use.
    """

    def __init__(self, upscaler: str = "", device: str = "cpu", *, restoration: str = "") -> None:
        self._file = Path(upscaler) if upscaler else None
        self._device, self._restoration = device, Path(restoration)
        self._model: Any = None
        self._restorer: RestorationNetwork | None = None

    def finish(self, image: Image.Image, finish: Finish) -> Image.Image:
        """The picture after ``finish``."""
        if finish.crop:
            image = _cropped(image, Finish(crop=finish.crop).size(*image.size))
        if finish.upscale > 1:
            image = self._enlarged(image, finish.upscale)
        if finish.resize:
            image = image.resize(finish.resize, Image.Resampling.LANCZOS)
        if finish.colour != 1:
            image = ImageEnhance.Color(image).enhance(finish.colour)
        if finish.sharpness != 1:
            image = ImageEnhance.Sharpness(image).enhance(finish.sharpness)
        for name in _in_order(finish):
            adjust = ADJUST.get(name) or partial(self._restored, task=TASK_OF[name])
            image = adjust(image.convert("RGB"))
        return image

    def parameters(self, finish: Finish) -> dict[str, str]:
        """The generation parameters of a ``finish``."""
        by = self._file.stem if self._file else "Lanczos"
        said = {
            "Crop": "{}:{}".format(*finish.crop) if finish.crop else "",
            "Upscale": f"{finish.upscale}x {by}" if finish.upscale > 1 else "",
            "Resize": "{}x{} Lanczos".format(*finish.resize) if finish.resize else "",
            "Colour": f"{finish.colour:g}" if finish.colour != 1 else "",
            "Sharpness": f"{finish.sharpness:g}" if finish.sharpness != 1 else "",
            "Adjustments": " ".join(_in_order(finish)),
        }
        return {name: value for name, value in said.items() if value}

    def _enlarged(self, image: Image.Image, times: int) -> Image.Image:
        size = (image.width * times, image.height * times)
        if self._file:
            model = self._load()
            image = self._in_tiles(image.convert("RGB"), model, model.scale, MARGIN)
        return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)

    def _restored(self, image: Image.Image, task: str) -> Image.Image:
        from limner.generators.vision.restoration_network import TASKS, RestorationNetwork

        if self._restorer is None:
            try:
                self._restorer = RestorationNetwork.load(self._restoration).to(self._device)
            except (OSError, ValueError, KeyError) as error:
                raise ModelNotFound from error
        network = self._restorer
        return self._in_tiles(image, lambda pixels: (network(pixels * 2 - 1, task) + 1) / 2, TASKS[task], network.reach)

    def _in_tiles(self, image: Image.Image, model: Callable[[Any], Any], scale: int, margin: int) -> Image.Image:
        """What a model makes of it that sees a tile with a margin, and gives it back ``scale`` times as large."""
        import torch

        edged = np.pad(np.asarray(image, np.float32) / 255, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
        result = Image.new("RGB", (image.width * scale, image.height * scale))
        for top in range(0, image.height, TILE):
            for left in range(0, image.width, TILE):
                part = edged[top : top + TILE + 2 * margin, left : left + TILE + 2 * margin]
                pixels = torch.from_numpy(part).permute(2, 0, 1)[None].to(self._device)
                with torch.inference_mode():
                    large = model(pixels)[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().cpu().numpy()
                around = margin * scale
                inner = Image.fromarray(large[around:-around, around:-around])
                result.paste(inner, (left * scale, top * scale))
        return result

    def _load(self) -> Any:
        if self._model is None:
            assert self._file  # noqa: S101 - callers check it
            if self._file.suffix != ".safetensors" or not self._file.is_file():
                raise ModelNotFound
            try:
                spandrel: Any = importlib.import_module("spandrel")  # the extra `upscale`
            except ImportError as error:
                raise ModelNotFound from error
            from limner.generators.loading import loading

            with loading():
                model = spandrel.ModelLoader(device=self._device).load_from_file(self._file)
            if not isinstance(model, spandrel.ImageModelDescriptor) or model.input_channels != 3:
                raise BadRequest(
                    sentence("The upscaling model is not one for pictures; name another in the setting `upscaler`.")
                )
            self._model = model.eval()
        return self._model


def _in_order(finish: Finish) -> list[str]:
    return [name for name in (*RESTORATIONS, *ADJUSTMENTS) if name in finish.adjustments]


def _cropped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of the picture."""
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))
