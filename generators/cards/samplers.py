"""The samplers of a diffusers model by their common names, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Sampler(NamedTuple):
    """A scheduler class of diffusers, and the settings that it overrides."""

    kind: str
    changes: Mapping[str, Any] = {}


NOISE = {
    "ddim": Sampler("DDIMScheduler"),
    "ddim_trailing": Sampler("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "ddpm": Sampler("DDPMScheduler"),
    "deis": Sampler("DEISMultistepScheduler"),
    "dpm2": Sampler("KDPM2DiscreteScheduler"),
    "dpm2_a": Sampler("KDPM2AncestralDiscreteScheduler"),
    "dpmpp_2m": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_karras": Sampler(
        "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}
    ),
    "dpmpp_2m_sde": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": Sampler("DPMSolverSinglestepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": Sampler("EulerDiscreteScheduler"),
    "euler_a": Sampler("EulerAncestralDiscreteScheduler"),
    "euler_trailing": Sampler("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "heun": Sampler("HeunDiscreteScheduler"),
    "lcm": Sampler("LCMScheduler"),
    "lms": Sampler("LMSDiscreteScheduler"),
    "pndm": Sampler("PNDMScheduler"),
    "unipc": Sampler("UniPCMultistepScheduler"),
}
"""For models that predict noise or velocity, with one of the schedulers that diffusers calls compatible."""

_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
FLOW_UNET = {
    "dpmpp_2m": Sampler("DPMSolverMultistepScheduler", _FLOW),
    "dpmpp_2s": Sampler("DPMSolverSinglestepScheduler", _FLOW),
    "unipc": Sampler("UniPCMultistepScheduler", _FLOW),
}
"""For Stable Diffusion's pipelines with a model that predicts the flow from noise to picture: they ask a scheduler for
what those of flow matching do not have."""

FLOW = {
    "euler": Sampler("FlowMatchEulerDiscreteScheduler"),
    "heun": Sampler("FlowMatchHeunDiscreteScheduler"),
}
"""For pipelines that were made for such models: from a picture they start with these schedulers only."""


def samplers(pipeline: str, scheduler: Mapping[str, Any]) -> dict[str, Sampler]:
    """The samplers that work with a model, by name.

    Args:
        pipeline: the class of its pipeline.
        scheduler: its own scheduler's settings with ``_class_name``, as in scheduler_config.json.
    """
    if scheduler.get("_class_name") in [sampler.kind for name, sampler in NOISE.items() if name != "lcm"]:
        return FLOW_UNET if scheduler.get("prediction_type") == "flow_prediction" else NOISE
    if scheduler.get("_class_name") != "FlowMatchEulerDiscreteScheduler":
        return {}
    if pipeline.startswith("StableDiffusion3"):
        return FLOW
    if pipeline in ("FluxPipeline", "FluxImg2ImgPipeline"):
        return {"euler": FLOW["euler"]}  # it passes its own sigmas, which Heun's scheduler does not accept
    return {}
