"""Which references the models of a family take together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReferenceLimits:
    """What the pipelines of a family do with references, where they are given its files.

    Attributes:
        most_prompts: most pictures that IP-Adapters read for one request; None for any number.
        areas: whether a picture can count in a part of the painting only.
        controls_of_pictures: whether ControlNets work when the painting starts from a picture.
        both_of_pictures: whether IP-Adapters work together with them then.
    """

    most_prompts: int | None = None
    areas: bool = True
    controls_of_pictures: bool = True
    both_of_pictures: bool = True


NO_LIMITS = ReferenceLimits()
LIMITS = {
    "StableDiffusionPipeline": NO_LIMITS,
    "StableDiffusionXLPipeline": NO_LIMITS,
    # FluxIPAdapterAttnProcessor reads no masks; FluxControlNetImg2ImgPipeline and its inpainting take no IP-Adapter.
    "FluxPipeline": ReferenceLimits(areas=False, both_of_pictures=False),
    # SD3IPAdapterMixin loads one adapter, which reads one picture; SD3's ControlNet pipelines paint from words, or in a
    # mask that the ControlNet itself was trained to read.
    "StableDiffusion3Pipeline": ReferenceLimits(most_prompts=1, areas=False, controls_of_pictures=False),
}
"""The diffusers pipelines that refer to pictures here, with what diffusers 0.42 does for them."""
