"""What a model can be asked for, told from the files in its folder before anything is loaded, and without torch."""

from __future__ import annotations

from typing import Any

STARTS = frozenset({"StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline"})
"""The pipelines of diffusers that have a sister here that starts from a picture."""

LEAVES_NOTHING_OUT = frozenset(
    {
        "AceStepPipeline",
        "BlipDiffusionControlNetPipeline",
        "BlipDiffusionPipeline",
        "ChromaInpaintPipeline",
        "CycleDiffusionPipeline",
        "DiffusionGemmaPipeline",
        "DreamLiteMobilePipeline",
        "Flux2KleinInpaintPipeline",
        "Flux2KleinKVPipeline",
        "Flux2KleinPipeline",
        "Flux2Pipeline",
        "FluxControlImg2ImgPipeline",
        "FluxControlInpaintPipeline",
        "FluxControlNetImg2ImgPipeline",
        "FluxControlNetInpaintPipeline",
        "FluxControlNetPipeline",
        "FluxControlPipeline",
        "FluxFillPipeline",
        "FluxImg2ImgPipeline",
        "FluxInpaintPipeline",
        "FluxKontextInpaintPipeline",
        "FluxKontextPipeline",
        "FluxPipeline",
        "GlmImagePipeline",
        "HunyuanSkyreelsImageToVideoPipeline",
        "HunyuanVideoFramepackPipeline",
        "HunyuanVideoImageToVideoPipeline",
        "HunyuanVideoPipeline",
        "Ideogram4Pipeline",
        "LDMTextToImagePipeline",
        "LLaDA2Pipeline",
        "LatentConsistencyModelImg2ImgPipeline",
        "LatentConsistencyModelPipeline",
        "OmniGenPipeline",
        "QwenImage21Pipeline",
        "QwenImageControlNetInpaintPipeline",
        "QwenImageControlNetPipeline",
        "QwenImageEditInpaintPipeline",
        "QwenImageEditPipeline",
        "QwenImageEditPlusPipeline",
        "QwenImageImg2ImgPipeline",
        "QwenImageInpaintPipeline",
        "QwenImageLayeredPipeline",
        "QwenImagePipeline",
        "SanaSprintImg2ImgPipeline",
        "SanaSprintPipeline",
        "ShapEPipeline",
        "StableAudio3AudioToAudioPipeline",
        "StableAudio3InpaintPipeline",
        "VQDiffusionPipeline",
        "VersatileDiffusionDualGuidedPipeline",
    }
)
"""The pipelines of diffusers that take no negative prompt, or one only with a second guidance of its own."""

_KINDS: dict[str, dict[str, Any]] = {
    "gan": {"leaves_out": False, "starts": False, "other_sizes": False},
    "vae": {"leaves_out": False, "starts": False, "other_sizes": False},
    "cyclegan": {"leaves_out": False},
    "openai": {"starts": False},
}


def abilities(kind: str, pipeline: str | None) -> dict[str, bool]:
    """Fields of `ModelCard` by the kind of generator and the class of a diffusers pipeline, as far as they tell."""
    if kind != "diffusion" or pipeline is None:
        return _KINDS.get(kind, {})
    return {"leaves_out": pipeline not in LEAVES_NOTHING_OUT, "starts": pipeline in STARTS}
