"""Trains a LoRA: a diffusers model learns pictures, or which of two are preferred; a small file is attached to it."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor

from limner.generators.diffusion.pipelines import read_pipeline
from limner.generators.errors import ModelNotFound
from limner.generators.sentences import sentence
from limner.generators.training.data.latents import Latents
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.families import latent_diffusion
from limner.generators.training.families.diffusion_dpo import PreferenceTask
from limner.generators.training.loop import CHECKPOINT, Trainer, read_average
from limner.generators.training.plan import Plan
from limner.generators.training.processes import first_alone, launch, once, own_device

WEIGHTS = "pytorch_lora_weights.safetensors"
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2"]
"""Layers that get a LoRA: attention and convolutions, without which a small model hardly changes."""
PLAN = Plan(samples=4_000, batch=4, learning_rate=1e-4, warmup=50, ema=0.99, decay=0.3, weight_decay=0.0)
QUICK = 2e-3
"""Learning rate of a small denoiser; the plan's is that of diffusers' own scripts for Stable Diffusion and XL."""
SMALL = 100_000_000
"""A small denoiser has fewer parameters: the shipped one has 11 million, Stable Diffusion 860 million."""

Pipeline = StableDiffusionPipeline | StableDiffusionXLPipeline


@dataclass(frozen=True, kw_only=True)
class LoRARecipe:
    """What a LoRA is made of.

    Attributes:
        model: the diffusers folder or hub name of a Stable Diffusion 1, 2 or XL model; the shipped one is of its kind.
        pictures: a folder that `limner train data` has made, whose pictures may have weights; with ``beta`` one that
            `liked_pictures.write_pairs` has made.
        folder: where everything is kept, the result too.
        installed: where a copy of the result goes, so that requests can name it; None for nowhere.
        rank: how much it can hold.
        plan: how it learns.
        fits_rate: whether a small model learns at the rate `QUICK` instead of the plan's.
        checkpoints_gradients: whether what is computed forward is computed again for the gradient instead of kept: that
            takes longer, and less memory.
        beta: how strongly what is preferred is held near the model without the LoRA (`diffusion_dpo`); None: the
            pictures are learnt, not which of them are preferred.
    """

    model: str
    pictures: Path
    folder: Path
    installed: Path | None = None
    rank: int = 8
    plan: Plan = PLAN
    fits_rate: bool = False
    checkpoints_gradients: bool = False
    beta: float | None = None


def train_lora(recipe: LoRARecipe, *, minutes: float | None = None, processes: int | None = None) -> Path | None:
    """Continue the training; returns the file, or None if there is none yet.

    Raises:
        TrainingError: the model or the pictures cannot be used, or the training cannot go on.
    """
    with first_alone():
        _latents(recipe, _read_model(recipe))
    launch(_train, processes, recipe, minutes, batch=recipe.plan.batch)
    return once(_export, recipe) if (recipe.folder / CHECKPOINT).is_file() else None


def _export(recipe: LoRARecipe) -> Path:
    """Write the averaged weights of the last checkpoint, and the installed copy; returns the latter if there is one."""
    file = _write(recipe)
    if recipe.installed is None:
        return file
    recipe.installed.parent.mkdir(parents=True, exist_ok=True)
    part = recipe.installed.with_suffix(".part")
    shutil.copy(file, part)
    os.replace(part, recipe.installed)
    return recipe.installed


def _train(recipe: LoRARecipe, minutes: float | None) -> None:
    pipe = _read_model(recipe)
    pictures = PictureFolder(recipe.pictures)
    texts = [picture.text for picture in pictures.pictures]
    captions = EncodedCaptions(pipe, texts, pictures.side)
    latents = _latents(recipe, pipe)
    _put_on(pipe, recipe)
    task = _task(recipe, pictures, pipe, captions, latents)
    latent_diffusion.prepare(task.network, own_device())
    if recipe.checkpoints_gradients:
        pipe.unet.enable_gradient_checkpointing()
    plan = replace(recipe.plan, learning_rate=QUICK) if recipe.fits_rate and _is_small(pipe) else recipe.plan
    Trainer(task, plan, recipe.folder).run(minutes=minutes)


def _task(
    recipe: LoRARecipe, pictures: PictureFolder, pipe: Pipeline, captions: EncodedCaptions, latents: Latents
) -> latent_diffusion.DiffusionTask:
    prompts = sorted({picture.text for picture in pictures.pictures})[:5]
    if recipe.beta is not None:
        task = PreferenceTask(pipe, captions, latents, prompts, beta=recipe.beta)
        task.family = f"lora of rank {recipe.rank} by preferences"
        return task
    weights = torch.tensor([picture.weight for picture in pictures.pictures])
    task = latent_diffusion.DiffusionTask(pipe, captions, latents, prompts, weights / weights.mean())
    task.family = f"lora of rank {recipe.rank}"
    return task


def _is_small(pipe: Pipeline) -> bool:
    return isinstance(pipe, StableDiffusionPipeline) and pipe.unet.num_parameters() < SMALL


def _write(recipe: LoRARecipe) -> Path:
    """Write the averaged weights of the last checkpoint in diffusers' format."""
    pipe = _read_model(recipe)
    _put_on(pipe, recipe)
    read_average(recipe.folder, pipe.unet)
    layers = get_peft_model_state_dict(pipe.unet)
    type(pipe).save_lora_weights(recipe.folder, unet_lora_layers=layers, weight_name=WEIGHTS)
    return recipe.folder / WEIGHTS


def _read_model(recipe: LoRARecipe) -> Pipeline:
    try:
        pipe = read_pipeline(recipe.model, torch.float32)
    except ModelNotFound as error:
        raise TrainingError(
            sentence("{model} is no diffusers folder or hub name with safetensors weights.", model=recipe.model)
        ) from error
    if not isinstance(pipe, Pipeline):
        raise TrainingError(
            sentence(
                "{model} is not a Stable Diffusion 1, 2 or XL model; only these learn LoRAs here.", model=recipe.model
            )
        )
    return pipe


def _latents(recipe: LoRARecipe, pipe: Pipeline) -> Latents:
    pictures = PictureFolder(recipe.pictures)
    step = pipe.vae_scale_factor * 2 ** (len(pipe.unet.config.block_out_channels) - 1)
    if pictures.side % step:
        raise TrainingError(
            sentence(
                "This model needs pictures with sides that are multiples of {step}, and these have {side}; prepare "
                "them with limner train data --side.",
                step=step,
                side=pictures.side,
            )
        )
    return Latents(pipe.vae, pictures, recipe.folder / "latents")


def _put_on(pipe: Pipeline, recipe: LoRARecipe) -> None:
    """Add untrained LoRA layers to the denoiser; only these learn."""
    torch.manual_seed(recipe.plan.seed)
    pipe.unet.requires_grad_(False)
    pipe.unet.add_adapter(
        LoraConfig(r=recipe.rank, lora_alpha=recipe.rank, init_lora_weights="gaussian", target_modules=LAYERS)
    )


class EncodedCaptions:
    """Hidden states of the pictures' captions by the pipeline's own text encoders."""

    def __init__(self, pipe: Pipeline, texts: Sequence[str], side: int) -> None:
        distinct = sorted({"", *texts})
        row_of = {text: row for row, text in enumerate(distinct)}
        self._row_of = torch.tensor([row_of[text] for text in texts])
        self._empty = row_of[""]
        with torch.no_grad():
            found = [
                pipe.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
                for text in distinct
            ]
        self._states = torch.cat([each[0] for each in found])
        self._pooled = torch.cat([each[2] for each in found]) if isinstance(pipe, StableDiffusionXLPipeline) else None
        self._sizes = torch.tensor([side, side, 0, 0, side, side], dtype=torch.float32)

    def read(self, numbers: list[int], dropped: Tensor, random: torch.Generator) -> dict[str, Any]:
        """The UNet's own arguments."""
        rows = self._row_of[numbers].masked_fill(dropped, self._empty)
        conditions: dict[str, Any] = {"encoder_hidden_states": self._states[rows]}
        if self._pooled is not None:
            conditions["added_cond_kwargs"] = {
                "text_embeds": self._pooled[rows],
                "time_ids": self._sizes.repeat(len(rows), 1),
            }
        return conditions
