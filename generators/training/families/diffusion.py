"""Trains latent diffusion on captioned pictures: autoencoder, captions, denoiser; the result is a diffusers folder."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, StableDiffusionPipeline

from limner.generators.errors import ModelNotFound
from limner.generators.language.caption_encoder import TextModelEncoder, load_caption_encoder
from limner.generators.loading import loading
from limner.generators.sentences import sentence
from limner.generators.training.data.caption_states import CaptionStates
from limner.generators.training.data.latents import Latents
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.families import latent_diffusion
from limner.generators.training.families.autoencoder import train_autoencoder
from limner.generators.training.loop import CHECKPOINT, Trainer, read_average
from limner.generators.training.plan import Plan
from limner.generators.training.processes import first_alone, launch, once, own_device
from limner.generators.training.progress import countdown

AUTOENCODER = Plan(samples=48_000, batch=8, learning_rate=1e-3, warmup=100, ema=0.995, decay=0.3)
DENOISER = Plan(samples=200_000, batch=32, learning_rate=7e-4, warmup=300, decay=0.2)
CARD = {"num_inference_steps": 16, "guidance_scale": 4.0, "max_added_words": 1}


@dataclass(frozen=True, kw_only=True)
class DiffusionRecipe:
    """Data and sizes of a model.

    Attributes:
        pictures: a folder that `limner train data` has made.
        folder: the training's folder; the result is its folder ``model``.
        words: the diffusers folder with the frozen tokenizer and text encoder.
        autoencoder: the diffusers folder with the autoencoder; None to train one first.
        objective: flow, epsilon or v.
        widths: channels of the denoiser's levels.
    """

    pictures: Path
    folder: Path
    words: str
    autoencoder: str | None = None
    objective: str = "flow"
    widths: tuple[int, ...] = (128, 192)
    autoencoder_plan: Plan = AUTOENCODER
    plan: Plan = DENOISER


def train_diffusion(
    recipe: DiffusionRecipe, *, minutes: float | None = None, processes: int | None = None
) -> Path | None:
    """Continue the training; returns the model's folder, or None if there is none yet.

    Raises:
        TrainingError: the pictures, the words or the autoencoder cannot be used, or the training cannot go on.
    """
    left = countdown(minutes)
    folder = recipe.folder
    PictureFolder(recipe.pictures).pixels([0])  # check before anything is started
    if recipe.autoencoder is None and not (folder / "autoencoder" / "vae").is_dir():
        plan = recipe.autoencoder_plan
        launch(train_autoencoder, processes, recipe.pictures, folder / "autoencoder", plan, left(), batch=plan.batch)
        if not (folder / "autoencoder" / "vae").is_dir():
            return None  # stopped before the end of its plan
    with first_alone():
        _prepare(recipe)
    launch(_train_denoiser, processes, recipe, left(), batch=recipe.plan.batch)
    return once(_export, recipe) if (folder / "denoiser" / CHECKPOINT).is_file() else None


def _prepare(
    recipe: DiffusionRecipe,
) -> tuple[StableDiffusionPipeline, latent_diffusion.FrozenCaptions, Latents, list[str]]:
    """The untrained pipeline, hidden states, latents (both cached on disk), and captions."""
    pictures = PictureFolder(recipe.pictures)
    vae, words = _read_autoencoder(recipe), _read_words(recipe)
    torch.manual_seed(recipe.plan.seed)
    side = pictures.side // 2 ** (len(vae.config.block_out_channels) - 1)
    unet = latent_diffusion.build_unet(vae.config.latent_channels, words.width, side=side, widths=recipe.widths)
    pipe = latent_diffusion.assemble(unet, words.encoder, words.tokenizer, vae, recipe.objective)
    texts = [picture.text for picture in pictures.pictures]
    captions = latent_diffusion.FrozenCaptions(CaptionStates(words, texts, recipe.folder / "latents"))
    return pipe, captions, Latents(vae, pictures, recipe.folder / "latents"), texts


def _train_denoiser(recipe: DiffusionRecipe, minutes: float | None) -> None:
    pipe, captions, latents, texts = _prepare(recipe)
    known = sorted(set(texts))
    prompts = Random(2).sample(known, min(10, len(known)))
    task = latent_diffusion.DiffusionTask(pipe, captions, latents, prompts)
    latent_diffusion.prepare(task.network, own_device())
    Trainer(task, recipe.plan, recipe.folder / "denoiser").run(minutes=minutes)


def _export(recipe: DiffusionRecipe) -> Path:
    """Write the model with the averaged weights of the last checkpoint."""
    pipe = _prepare(recipe)[0]
    read_average(recipe.folder / "denoiser", torch.nn.ModuleDict({"unet": pipe.unet}))
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    card = {"title": recipe.folder.resolve().name, "width": side, "height": side, **CARD}
    latent_diffusion.save(pipe, recipe.folder / "model", card)
    return recipe.folder / "model"


def _read_autoencoder(recipe: DiffusionRecipe) -> AutoencoderKL | AutoencoderTiny:
    folder = Path(recipe.autoencoder or recipe.folder / "autoencoder") / "vae"
    if not folder.is_dir():
        raise TrainingError(
            sentence("{folder} is not there; name a diffusers folder with an autoencoder.", folder=folder)
        )
    try:
        with loading():
            config = AutoencoderKL.load_config(folder)
            kind = AutoencoderTiny if "encoder_block_out_channels" in config else AutoencoderKL
            return kind.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        raise TrainingError(
            sentence("{folder} holds no autoencoder; name a diffusers folder.", folder=folder)
        ) from error


def _read_words(recipe: DiffusionRecipe) -> TextModelEncoder:
    try:
        words = load_caption_encoder(recipe.words)
    except ModelNotFound as error:
        raise TrainingError(
            sentence("{words} has no tokenizer and text encoder; name a diffusers folder.", words=recipe.words)
        ) from error
    if not isinstance(words, TextModelEncoder):
        raise TrainingError(sentence("A pipeline's words are read by a text encoder; name a diffusers folder."))
    return words
