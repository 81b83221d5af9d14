"""A tiny but real image-text model, trained in two seconds: it tells red from green squares, and can say so."""

# pyright: basic

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from limner.generators.training.data import text_encoder
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.families import captioner, clip
from limner.generators.training.loop import Trainer
from limner.generators.training.plan import Plan

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60)}
SIDE = 32
PLAN = Plan(samples=720, batch=12, learning_rate=1e-3, warmup=2, ema=0.8)
NARROW: dict[str, Any] = {"widths": (32, 32, 32), "depths": (1, 1, 1)}


def colour_squares(folder: Path, count: int = 30) -> PictureFolder:
    """Captioned squares on white, each of one colour."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for number in range(count):
        colour = list(COLOURS)[number % 2]
        name = f"{number:02d}.png"
        square(colour, 4 + number % 7).save(folder / name)
        lines.append(json.dumps({"file_name": name, "text": f"a {colour} square", "nouns": [f"{colour} square"]}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return PictureFolder(folder)


def square(colour: str, top: int = 6) -> Image.Image:
    """One of them."""
    pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
    pixels[top : top + 18, 6:24] = COLOURS[colour]
    return Image.fromarray(pixels)


def build_words(folder: Path) -> Path:
    """A tokenizer and an untrained text encoder that know the captions' words."""
    torch.manual_seed(0)
    others = {one + other for one in "bcdfghjklmnpqrs" for other in "aeiouvwxyzbcdf"}  # 192 main directions need words
    vocabulary = sorted({"a", "square", *COLOURS} | others)
    tokenizer = text_encoder.build_tokenizer(vocabulary)
    text_encoder.build_text_encoder(
        tokenizer, vocabulary, torch.randn(len(vocabulary), 384), met=len(vocabulary), layers=1
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def image_text_task(pictures: PictureFolder, known: Path) -> clip.ImageTextTask:
    """An untrained model with what it is to learn from."""
    torch.manual_seed(0)
    encoder = CLIPTextModel.from_pretrained(known, dtype=torch.float32, attn_implementation="eager")
    network = clip.build_image_text_model(encoder, SIDE, **NARROW)
    return clip.ImageTextTask(network, CLIPTokenizer.from_pretrained(known), pictures)


def build_tiny_image_text(folder: Path) -> Path:
    """Train one with its captioner in ``folder``; the result is in ``folder/image-text``."""
    pictures, known = colour_squares(folder / "squares"), build_words(folder / "words")
    task = image_text_task(pictures, known)
    trainer = Trainer(task, PLAN, folder)
    assert trainer.run(show=False)
    trainer.use_average()
    tokenizer = CLIPTokenizer.from_pretrained(known)
    clip.save_image_text_model(clip.settled(task.network, pictures), tokenizer, SIDE, folder / "image-text")
    captioner.train_captioner(folder / "squares", folder, replace(PLAN, learning_rate=3e-3), None)
    return folder / "image-text"
