"""Textual inversion embeddings: words of a prompt that stand for learned vectors."""

# pyright: basic

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import AddedToken
from torch import Tensor

from limner.generators.errors import error_site
from limner.generators.requests import GenerationRequest

log = logging.getLogger(__name__)

LEGACY_END = 2
"""The id that old configurations of CLIP give the end of a text; transformers then looks for the largest id instead."""


class TextualInversions:
    """The embeddings of one pipeline: their vectors are added to its text encoders, under tokens that nobody types.

    One whose file is broken or of another width is left out. Textual inversion is Gal et al. 2022,
    https://arxiv.org/abs/2208.01618.

    Args:
        pipe: a pipeline with CLIP's text encoders alone.
        files: safetensors files by the word that stands for them in a prompt.
    """

    def __init__(self, pipe: Any, files: Mapping[str, str]) -> None:
        self._tokens: dict[str, str] = {}
        for word, file in files.items():
            try:
                self._tokens[word.casefold()] = " ".join(_added(pipe, word, Path(file)))
            except (OSError, ValueError, LookupError, SafetensorError) as error:
                log.warning("embedding_left_out reason=%s", error_site(error))
        words = sorted(map(re.escape, self._tokens), key=len, reverse=True)
        self._words = re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?![\w-])", re.IGNORECASE) if words else None

    def spelled(self, request: GenerationRequest) -> GenerationRequest:
        """The request with the tokens of embeddings in the place of their words, in any case."""
        if self._words is None:
            return request
        prompt, negative = (self._spelled(text) for text in (request.prompt, request.negative_prompt))
        return replace(request, prompt=prompt, negative_prompt=negative)

    def _spelled(self, text: str) -> str:
        return self._words.sub(lambda found: self._tokens[found[0].casefold()], text) if self._words else text


def _added(pipe: Any, word: str, file: Path) -> list[str]:
    """The tokens of an embedding, whose vectors are added to each text encoder.

    Raises:
        ValueError: the file does not suit the encoders.
    """
    vectors = _vectors(load_file(file))
    encoders = list(_encoders(pipe))
    wanted = [(len(vectors[0]), encoder.get_input_embeddings().weight.shape[1]) for _tokenizer, encoder in encoders]
    if [tuple(found.shape) for found in vectors] != wanted:
        raise ValueError("an embedding for other text encoders")
    tokens = [f"<{word}_{number}>" for number in range(len(vectors[0]))]
    for found, (tokenizer, encoder) in zip(vectors, encoders, strict=True):
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in tokens])
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        table = encoder.get_input_embeddings().weight.data
        table[tokenizer.convert_tokens_to_ids(tokens)] = found.to(table)
        if getattr(encoder, "eos_token_id", None) == LEGACY_END:
            encoder.eos_token_id = tokenizer.eos_token_id  # the new ids are larger than that of the end
    return tokens


def _vectors(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """(vectors, width) for each encoder in order; Stable Diffusion XL's are called clip_l and clip_g."""
    names = [name for name in ("clip_l", "clip_g") if name in tensors] or list(tensors)[:1]
    return [torch.atleast_2d(tensors[name]) for name in names]


def _encoders(pipe: Any) -> Iterator[tuple[Any, Any]]:
    for number in ("", "_2"):
        if encoder := pipe.components.get(f"text_encoder{number}"):
            yield pipe.components[f"tokenizer{number}"], encoder
