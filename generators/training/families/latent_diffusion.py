"""Latent diffusion: a UNet that learns to denoise latents, conditioned on captions (Rombach 2022)."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from limner.generators.training.curves import lay_out
from limner.generators.training.data.caption_states import CaptionStates
from limner.generators.training.data.latents import Latents
from limner.generators.training.data.text_encoder import token_ids
from limner.generators.training.groups import GROUPS
from limner.generators.training.normalisation import quicken
from limner.generators.training.objectives import Objective, Question, build_scheduler
from limner.generators.training.plan import Loss
from limner.generators.training.processes import own_random, quick_precision

DROPPED = 0.1
"""Share of captions replaced by the empty one, for classifier-free guidance (Ho and Salimans 2022)."""
BLUR = 1.2
"""Most noise on a caption's word vectors in training, so that words near a known one are treated alike.

An unseen word is about as far from its noun as vectors are long, which is 1 for each number.
"""


def build_unet(
    channels: int,
    words: int,
    *,
    side: int = 16,
    widths: Sequence[int] = (128, 192),
    heads: int = GROUPS,
    groups: int = GROUPS,
) -> UNet2DConditionModel:
    """An untrained UNet for latents with this side.

    Attention at the lowest level, pooled caption added to the timestep.
    """
    last = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(widths),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * last + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * last,
        cross_attention_dim=words,
        attention_head_dim=tuple(width // heads for width in widths),
        norm_num_groups=groups,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


class Captions(Protocol):
    """Conditioning of the denoiser; ``dropped`` captions are replaced by the empty one."""

    def read(self, numbers: list[int], dropped: Tensor, random: torch.Generator) -> dict[str, Any]:
        """The UNet's own arguments, such as encoder_hidden_states (count, length, width)."""
        ...


class FrozenCaptions:
    """Hidden states computed in advance."""

    def __init__(self, states: CaptionStates) -> None:
        self._states = states

    def read(self, numbers: list[int], dropped: Tensor, random: torch.Generator) -> dict[str, Any]:
        """The hidden states."""
        return {"encoder_hidden_states": self._states.read(numbers, dropped)}


class LearntCaptions:
    """Hidden states of a text encoder that is trained too; noise is added to its word vectors."""

    def __init__(self, encoder: CLIPTextModel, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> None:
        self._encoder = encoder
        self._ids = token_ids(tokenizer, texts).short()
        self._empty = token_ids(tokenizer, [""])[0]

    def read(self, numbers: list[int], dropped: Tensor, random: torch.Generator) -> dict[str, Any]:
        """The hidden states."""
        ids = self._ids[numbers].long()
        ids[dropped] = self._empty
        shape, device = (*ids.shape, self._encoder.config.hidden_size), random.device
        most = BLUR * torch.rand(len(ids), 1, 1, generator=random, device=device)
        blur = most * torch.randn(shape, generator=random, device=device)

        def blurred(_module: nn.Module, _inputs: Any, vectors: Tensor) -> Tensor:
            return vectors + blur.to(vectors)

        hook = self._encoder.get_input_embeddings().register_forward_hook(blurred)
        hidden = self._encoder(ids.to(self._encoder.device)).last_hidden_state
        hook.remove()
        return {"encoder_hidden_states": hidden}


class DiffusionTask:
    """Learns to denoise latents with the pipeline's scheduler, conditioned on captions.

    Args:
        pipe: the parts; its UNet learns, and its text encoder where the captions are `LearntCaptions`.
        captions: the hidden states of the pictures' captions.
        latents: the pictures' latents.
        prompts: the prompts of the sample sheet.
        weights: how much each picture counts, 1 on average; None: all the same.
    """

    parts = ()
    progress = 0.0

    def __init__(
        self,
        pipe: StableDiffusionPipeline,
        captions: Captions,
        latents: Latents,
        prompts: Sequence[str],
        weights: Tensor | None = None,
    ) -> None:
        self._weights = torch.ones(len(latents)) if weights is None else weights
        self._pipe, self._captions, self._latents, self._prompts = pipe, captions, latents, prompts
        self._unet, self._scale = pipe.unet, pipe.vae.config.scaling_factor
        self._objective = Objective(pipe.scheduler.config)
        self.network = nn.ModuleDict({"unet": pipe.unet})
        if isinstance(captions, LearntCaptions):
            self.network["text_encoder"] = pipe.text_encoder
        self.family = f"latent-diffusion ({self._objective.kind})"
        self.size, self.fingerprint = len(latents), latents.fingerprint

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """Weighted mean of the squared errors of the denoiser's output."""
        device = self._unet.device
        dropped = torch.rand(len(numbers), generator=random) < DROPPED
        random = own_random(random, device)
        latents = self._latents[numbers].to(random.device) * self._scale
        conditions = own_conditions(self._captions.read(numbers, dropped, random), self._unet)
        noise = torch.randn(latents.shape, generator=random, device=random.device)
        errors = self._errors(self._objective.ask(latents, noise, random), conditions)
        return Loss((errors * self._weights[numbers].to(device)).mean(), {})

    def _errors(self, question: Question, conditions: dict[str, Any]) -> Tensor:
        """The mean squared error of the denoiser's output for each latent."""
        mixed, moments, answer = question
        device = self._unet.device
        mixed = mixed.to(device, self._unet.dtype, memory_format=torch.channels_last)
        found = self._unet(mixed, moments.to(device), **conditions, return_dict=False)[0]
        return (found.float() - answer.to(device)).square().mean((1, 2, 3))

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """A sheet of the prompts, each painted from its own noise where and in the precision that it learns in."""
        parts = {name: part for name, part in self._pipe.components.items() if isinstance(part, nn.Module)}
        others = {name: part for name, part in parts.items() if name not in self.network}
        try:
            for name, part in others.items():
                setattr(self._pipe, name, copy.deepcopy(part).to(self._unet.device, self._unet.dtype))
            return paint_sheet(self._pipe, self._prompts)
        finally:
            for name, part in others.items():
                setattr(self._pipe, name, part)


def own_conditions(conditions: dict[str, Any], unet: UNet2DConditionModel) -> dict[str, Any]:
    """The UNet's arguments on its device and in its precision."""
    return {
        name: own_conditions(value, unet) if isinstance(value, dict) else value.to(unet.device, unet.dtype)
        for name, value in conditions.items()
    }


def prepare(network: nn.Module, device: torch.device) -> None:
    """Prepare a network for fast training on a device: precision, memory layout, gradients."""
    network.to(device, quick_precision(device), memory_format=torch.channels_last)
    network.eval()  # in training mode diffusers' blocks lose channels_last; without dropout evaluation mode is equal
    quicken(network)
    for part in network.modules():
        if isinstance(part, UNet2DConditionModel) and device.type == "cpu":
            part.set_attn_processor(
                AttnProcessor()
            )  # torch's fused attention has a slow gradient there for short captions


def assemble(
    unet: UNet2DConditionModel,
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderKL,
    objective: str = "flow",
) -> StableDiffusionPipeline:
    """The stock pipeline of these parts."""
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(objective),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def paint_sheet(
    pipe: StableDiffusionPipeline, prompts: Sequence[str], *, steps: int = 16, guidance: float = 4.0
) -> Image.Image:
    """One picture above each prompt; the same weights and prompts give the same sheet."""
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    images: list[Image.Image] = []
    for number, prompt in enumerate(prompts):
        random = torch.Generator().manual_seed(number)
        images += pipe(
            prompt, height=side, width=side, num_inference_steps=steps, guidance_scale=guidance, generator=random
        ).images
    return lay_out(images, 10, prompts)


def save(pipe: StableDiffusionPipeline, folder: Path, card: dict[str, Any]) -> None:
    """Write a diffusers folder with Limner's own fields; leaves the pipeline in float16."""
    pipe.to(dtype=torch.float16)
    for part in (pipe.vae, pipe.unet):
        part.register_to_config(_name_or_path="")  # a path on this machine is not a part of the model
    pipe.save_pretrained(folder)
    (folder / "limner.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
