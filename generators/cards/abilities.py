"""A model's abilities, read from the files in its folder without loading it, and without torch."""

from __future__ import annotations

import re
from typing import Any

from limner.generators.sentences import sentence

MASKS = frozenset(
    {
        "FluxPipeline",
        "QwenImagePipeline",
        "StableDiffusion3Pipeline",
        "StableDiffusionPipeline",
        "StableDiffusionXLPipeline",
        "ZImagePipeline",
    }
)
"""diffusers pipelines that are stepped here, with counterparts that fill a part of a picture."""

STARTS = MASKS | {"ChromaPipeline"}
"""Those with a counterpart that starts from a picture."""

ONLY_FROM_PICTURES = frozenset(
    {
        "FluxImg2ImgPipeline",
        "StableDiffusion3Img2ImgPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionXLImg2ImgPipeline",
    }
)
"""diffusers pipelines that are stepped here and only change pictures, such as SDXL's refiner."""

EXPLAINS = ONLY_FROM_PICTURES | {
    "FluxPipeline",
    "StableDiffusion3Pipeline",
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
}
"""diffusers pipelines that are stepped here, whose attention says which words drew what, and whose words mix."""

EDITS = {
    "Flux2KleinPipeline": False,
    "FluxKontextPipeline": False,
    "QwenImageEditPipeline": True,
    "QwenImageEditPlusPipeline": True,
    "StableDiffusionInstructPix2PixPipeline": True,
}
"""diffusers pipelines that are stepped here and change a picture as the prompt says, and whether they need one."""

STEERS = (
    EXPLAINS
    | STARTS
    | {
        "AuraFlowPipeline",
        "Kandinsky3Pipeline",
        "Kandinsky5T2IPipeline",
        "Lumina2Pipeline",
        "PixArtSigmaPipeline",
        "SanaPipeline",
    }
)
"""diffusers pipelines that are stepped here, and whose requests take other words between two steps, and end early."""

UNETS = frozenset(
    {
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLPipeline",
    }
)
"""diffusers pipelines that are stepped here, with a UNet, whose pictures can be tiles, and CLIP's encoders alone, whose
words can be weighed. These encoders were trained on short captions, so their prompts are written as tags."""

NEEDS = {
    r"Inpaint|Fill|DiffEdit": sentence("only fills a part of a picture, which no command asks for"),
    r"ControlNet|Control(?=Pipeline)|Adapter": sentence("needs a control picture, which no command gives"),
    r"Img2Img|I2I|Pix2Pix|Edit|Depth2Img|Upscale|SuperResolution|Refiner": sentence(
        "needs a picture in a way that no command gives it"
    ),
    r"Prior|^Kandinsky(V22)?Pipeline": sentence("is one half of a model, which paints nothing alone"),
    r"Video|Audio|T2V|I2V|TI2VA|Allegro|AnimateDiff(?!Pipeline)|AnyFlow|ConsisID|Cosmos(?!2TextToImage)|EasyAnimate"
    r"|Helios|LTX(2|Condition)|Mochi|PIA(?=Pipeline)|SanaWM|SkyReels|Wan(Animate|VACE)": sentence("paints no pictures"),
}
"""Inputs that a pipeline requires and no command offers, by a part of its class's name."""

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
        "SanaSprintImg2ImgPipeline",
        "SanaSprintPipeline",
        "ShapEPipeline",
        "StableAudio3AudioToAudioPipeline",
        "StableAudio3InpaintPipeline",
        "VQDiffusionPipeline",
        "VersatileDiffusionDualGuidedPipeline",
    }
)
"""diffusers pipelines without a negative prompt, or with one only for a second guidance of their own."""

TRUE_GUIDANCE = re.compile("QwenImage(?!21)")
"""The beginnings of the names of pipelines whose only guidance is called ``true_cfg_scale``; others have it beside one
that is an input of a distilled model."""

TAKES_NO_LORA = re.compile(
    "Allegro|Amused|AudioLDM|BlipDiffusion|Bria(?=Pipeline)|CogView3Plus|CogView4Control|Cosmos2TextToImage"
    "|Cosmos2VideoToWorld|Cosmos2_5_Transfer|Cosmos3Omni|CosmosTextToWorld|CosmosVideoToWorld|DiffusionGemma|DreamLite"
    "|EasyAnimate|GlmImage|HunyuanDiT|HunyuanImage|HunyuanVideo15|I2VGenXL|JoyImageEdit|Kandinsky6TI2VA"
    "|Kandinsky(?=Combined|Img2Img|Inpaint|Pipeline|Prior)|KandinskyV22|LDMTextToImage|LLaDA2|Latte|LongCat"
    "|Lumina(?=Pipeline)|MotifVideo|MusicLDM|NucleusMoEImage|OmniGen|Onnx|OvisImage|PRXPixel|PixArt|SanaPAG|SanaWM"
    "|SemanticStableDiffusion|ShapE|StableAudio|StableCascade"
    "|StableDiffusion(?=Adapter|AttendAndExcite|GLIGEN|LatentUpscale|Pix2PixZero|SAG)|UniDiffuser|VQDiffusion"
    "|VersatileDiffusion|Wuerstchen(?!Prior)"
)
"""The beginnings of the names of diffusers pipelines that load no LoRA."""

_ONE_PASS = {"takes_loras": False, "leaves_out": False, "masks": False, "has_steps": False, "steers": False}
_ELSEWHERE = {"steers": False, "animates": False}
_KINDS: dict[str, dict[str, Any]] = {
    "gan": _ONE_PASS | {"starts": False, "other_sizes": False},
    "vae": _ONE_PASS | {"starts": False, "other_sizes": False},
    "cyclegan": _ONE_PASS | {"has_guidance": False, "needs_picture": True, "animates": False},
    "openai": {"takes_loras": False, "one_lora": True, "starts": False, "masks": False} | _ELSEWHERE,
    "comfy": {"takes_loras": False} | _ELSEWHERE,
    "diffusion": {"skips": True},
}


def abilities(kind: str, pipeline: str | None) -> dict[str, Any]:
    """Fields of `ModelCard` that follow from the kind of generator and the pipeline's class."""
    if kind != "diffusion" or pipeline is None:
        return _KINDS.get(kind, {})
    found = {
        "leaves_out": pipeline not in LEAVES_NOTHING_OUT,
        "edits": pipeline in EDITS,
        "starts": pipeline in STARTS or pipeline in EDITS,
        "masks": pipeline in MASKS,
        "dialect": "tags" if pipeline in UNETS or pipeline == "AnimateDiffPipeline" else "sentences",
        "steers": pipeline in STEERS,
        "skips": pipeline in STEERS or pipeline in EDITS,
        "guides_in_part": pipeline in STEERS and not pipeline.startswith("Flux"),
        "explains": pipeline in EXPLAINS,
        "animates": pipeline in EXPLAINS,
        "weighs": pipeline in UNETS,
        "tiles": pipeline in UNETS,
        "takes_loras": not TAKES_NO_LORA.match(pipeline),
    }
    if pipeline in ONLY_FROM_PICTURES:
        return found | {"starts": True, "needs_picture": True}
    if pipeline in EDITS:
        return found | {"needs_picture": EDITS[pipeline]}
    return found | {"problem": next((what for part, what in NEEDS.items() if re.search(part, pipeline)), "")}
