"""A request for pictures, in diffusers' own words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from limner.generators.animation import Animation, Between
from limner.generators.cards.guided_part import GuidedPart
from limner.generators.cards.qualities import STANDARD
from limner.generators.cards.skip_rules import SkipRule
from limner.generators.references import Reference, Role
from limner.generators.style_mix import StyleMix

SEEDS = 2**32
"""Seeds run from 0 to SEEDS - 1, as in Midjourney; torch accepts them all."""
ADJUSTMENTS = ("denoise", "contrast", "colour", "sharpen")
"""The adjustments of finished pictures by name, in the order in which they are made."""
RESTORATIONS = ("denoise-drawing", "deblur-drawing", "double-drawing")
"""Adjustments that a network makes, which has learnt from drawings; they are made before the others."""


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Postprocessing of each picture, in this order; JSON in and out.

    ``crop`` is an aspect ratio, cut out of the middle; ``upscale`` a factor for width and height; ``resize`` the final
    width and height in pixels; ``colour`` and ``sharpness`` are 1 for no change; ``adjustments`` are names of
    `ADJUSTMENTS` and `RESTORATIONS`.
    """

    crop: tuple[int, int] | None = None
    upscale: int = 1
    resize: tuple[int, int] | None = None
    colour: float = 1.0
    sharpness: float = 1.0
    adjustments: tuple[str, ...] = ()

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the result for a picture of this size."""
        if self.crop:
            across, down = self.crop
            width, height = min(width, height * across // down), min(height, width * down // across)
        width, height = self.resize or (max(1, width) * self.upscale, max(1, height) * self.upscale)
        times = 2 if "double-drawing" in self.adjustments else 1
        return width * times, height * times

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read the dictionary of `dataclasses.asdict`, also from a JSON column."""
        pairs: dict[str, Any] = {name: tuple(data[name]) if data[name] else None for name in ("crop", "resize")}
        pairs["adjustments"] = tuple(data.get("adjustments", ()))
        return cls(**{**data, **pairs})


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A request in diffusers' own words; JSON in and out.

    Image ``i`` of a request is painted from seed ``(seed + i) % SEEDS``, so each can be repeated alone. ``scheduler``
    is one of the model's `ModelCard.samplers`, None for its own. ``init_image`` and ``mask`` are paths of picture
    files, or ``data:`` URIs, and are fitted to width and height; white in the mask is painted; ``part`` are words that
    name what the mask covers. ``box`` (left, upper, right, lower) says where the picture lies on a canvas of width and
    height, around which the rest is painted; with ``keeps_rest`` what is not painted gets the picture's own pixels
    back. ``strength`` is how much of the picture may change, over 0 to 1, None for the pipeline's own. ``keep`` images
    are kept (0: all), those most similar to the idea by the image-text model; then comes `Finish`. ``steering`` are
    later prompts, each with the number of steps taken before it counts; after ``stop_after`` steps the picture is
    finished as it is. With ``tile`` its opposite edges continue each other. ``references`` are other given pictures.
    ``quality`` names the steps, size and sampler that were chosen together. With ``skipping`` denoiser calls are left
    out while a picture's outputs change little; with ``guided`` guidance counts in that part of the steps only. With
    ``explained`` it is found out where each word draws, which changes no picture. ``refine`` is how often it may be
    painted again for what is missing in its pictures (`generators.vision.read_back`). ``mix`` says where the fine
    layers of a model that mixes styles take theirs from. With ``animation`` it is painted frame by frame, or as a whole
    by a video model; ``between`` says where a frame lies, and no row has it.
    """

    prompt: str
    model: str
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    negative_prompt: str = ""
    num_images_per_prompt: int = 1
    scheduler: str | None = None
    init_image: str | None = None
    mask: str | None = None
    part: str = ""
    box: tuple[int, int, int, int] | None = None
    keeps_rest: bool = True
    strength: float | None = None
    loras: tuple[tuple[str, float], ...] = ()
    keep: int = 0
    finish: Finish | None = None
    steering: tuple[tuple[int, str], ...] = ()
    stop_after: int | None = None
    tile: bool = False
    references: tuple[Reference, ...] = ()
    quality: str = STANDARD
    skipping: SkipRule | None = None
    guided: GuidedPart | None = None
    explained: bool = False
    refine: int = 0
    mix: StyleMix | None = None
    animation: Animation | None = None
    between: Between | None = None

    @property
    def steps(self) -> int:
        """The number of denoising steps, of all frames; a picture to start from saves some."""
        return min(self.num_inference_steps, self.stop_after or self.num_inference_steps) * self.frames

    @property
    def frames(self) -> int:
        """How many pictures each sample has: the frames of an animation, or one."""
        return self.animation.frames if self.animation else 1

    @property
    def is_video(self) -> bool:
        """Whether its frames are painted together, by a video model."""
        return bool(self.animation and self.animation.is_video)

    @property
    def painted(self) -> int:
        """How many pictures are painted, with candidates, frames, and all of a grid of mixes."""
        return self.num_images_per_prompt * self.frames * (self.mix.pictures if self.mix else 1)

    @property
    def latest_prompt(self) -> str:
        """The prompt of its last step."""
        return self.steering[-1][1] if self.steering else self.prompt

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is painted."""
        return self.width, self.height

    @property
    def count(self) -> int:
        """The number of pictures in the result."""
        return self.keep or self.num_images_per_prompt

    @property
    def is_from_picture(self) -> bool:
        """Whether it starts from an uploaded or an earlier picture, or refers to one."""
        return bool(self.init_image or self.mask or self.references)

    @property
    def keeps_pixels(self) -> bool:
        """Whether a part of a given picture stays as it is."""
        return bool(self.init_image and (self.mask or self.box) and self.keeps_rest)

    @property
    def given(self) -> tuple[str, ...]:
        """The pictures that it is made from, without the mask."""
        return (*filter(None, (self.init_image,)), *(one.picture for one in self.references))

    @property
    def controls(self) -> tuple[Reference, ...]:
        """The control pictures."""
        return tuple(one for one in self.references if one.is_control)

    @property
    def image_prompts(self) -> dict[tuple[Role, float], list[Reference]]:
        """The pictures that IP-Adapters read, by role and weight: an adapter reads several with one weight."""
        found: dict[tuple[Role, float], list[Reference]] = {}
        for one in self.references:
            if not one.is_control:
                found.setdefault((one.role, one.weight), []).append(one)
        return found

    @property
    def batch_key(self) -> str:
        """Requests with equal keys may share denoiser calls; steps, guidance and scheduler may differ."""
        return f"{self.parts_key}|{self.width}x{self.height}"

    @property
    def parts_key(self) -> str:
        """Names all that is set up in the model's parts for it; calls of any size share them."""
        prompts = self.image_prompts.items()
        adapters = "".join(
            f"|{role}:{weight:g}:{','.join(one.place for one in some)}" for (role, weight), some in prompts
        )
        return f"{self.weights_key}{'|tile' if self.tile else ''}{adapters}"

    @property
    def weights_key(self) -> str:
        """Names the weights it needs: requests with equal keys need no loading between them."""
        return f"{self.model}|{self.loras_text}"

    @property
    def loras_text(self) -> str:
        """The LoRAs with their weights, in the form ink:0.7."""
        return ",".join(f"{name}:{weight:g}" for name, weight in self.loras)

    @property
    def without_words(self) -> Self:
        """The same without anything that somebody wrote."""
        return replace(self, prompt="", negative_prompt="", loras=(), part="", steering=(), mix=None)

    @property
    def in_words(self) -> Self:
        """A copy with the negative prompt as a part of the prompt, for servers without a field for it."""
        return replace(self, prompt=f"{self.prompt}\nAvoid: {self.negative_prompt}", negative_prompt="")

    @property
    def pixels(self) -> int:
        """Width times height, summed over its samples: its share of a device's capacity."""
        return self.width * self.height * self.num_images_per_prompt

    @property
    def pixels_at_once(self) -> int:
        """Width times height of all that a call has in memory for one sample: a video's frames together."""
        return self.width * self.height * (self.frames if self.is_video else 1)

    @property
    def seeds(self) -> list[int]:
        """One seed for each image, in order."""
        return [(self.seed + i) % SEEDS for i in range(self.num_images_per_prompt)]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that `from_json` reads back unchanged."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read `to_json`'s dictionary, also after a trip through a JSON column."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        values["loras"] = tuple((str(name), float(weight)) for name, weight in values.get("loras", ()))
        values["steering"] = tuple((int(step), str(prompt)) for step, prompt in values.get("steering", ()))
        values["box"] = tuple(values["box"]) if values.get("box") else None
        values["references"] = tuple(map(Reference.from_json, values.get("references", ())))
        values["skipping"] = SkipRule(values["skipping"]) if values.get("skipping") else None
        values["guided"] = tuple(values["guided"]) if values.get("guided") else None
        values["mix"] = StyleMix.from_json(values["mix"]) if values.get("mix") else None
        values["animation"] = Animation.from_json(values["animation"]) if values.get("animation") else None
        values["finish"] = Finish.from_json(values["finish"]) if values.get("finish") else None
        return cls(**values)
