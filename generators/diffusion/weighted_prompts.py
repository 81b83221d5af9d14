"""Prompts with weights, and those longer than a CLIP encoder reads, as embeddings for the stock pipelines."""

# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limner.generators.requests import GenerationRequest
from limner.generators.weights import is_weighted, parts, without_weights

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

_NAMES = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


def has_weights(request: GenerationRequest) -> bool:
    """Whether one of its prompts has weights."""
    return is_weighted(request.prompt) or is_weighted(request.negative_prompt)


def embeddings(pipe: DiffusionPipeline, request: GenerationRequest, *, in_chunks: bool) -> dict[str, Tensor]:
    """Arguments of a Stable Diffusion or XL pipeline's call that replace its prompts.

    Args:
        pipe: the pipeline.
        request: the request; each part of its prompts up to a BREAK is encoded alone, and the next one follows it.
        in_chunks: whether a part that is longer than the encoder reads is encoded in pieces; otherwise its end is cut.
    """
    encoder = _Encoder(pipe, in_chunks=in_chunks)
    prompt, negative = request.prompt, request.negative_prompt
    whole: dict[str, Any] = {
        "prompt": without_weights(prompt),
        "negative_prompt": without_weights(negative) or None,
        "device": pipe._execution_device,
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": True,
    }
    _, nothing, *pooled = pipe.encode_prompt(**whole)
    words, empty = encoder.encode(prompt), encoder.encode("")
    without, filler = (encoder.encode(negative), empty) if negative else (nothing, nothing)
    length = max(words.shape[1], without.shape[1])
    return dict(zip(_NAMES, (_filled(words, empty, length), _filled(without, filler, length), *pooled), strict=False))


def places_of(
    pipe: DiffusionPipeline, pieces: Sequence[Sequence[str]], *, in_chunks: bool
) -> list[tuple[str, list[int]]]:
    """Each piece of a prompt's parts between BREAKs, and the places of its tokens in `embeddings`."""
    encoder, found, start = _Encoder(pipe, in_chunks=in_chunks), list[tuple[str, list[int]]](), 0
    for part in pieces:
        numbers = encoder.numbers(part)
        for number, piece in enumerate(part):
            found.append((piece, [start + place for place, owner in enumerate(numbers) if owner == number]))
        start += len(numbers)
    return found


class _Encoder:
    """A pipeline's CLIP encoders, side by side as the pipeline reads them."""

    def __init__(self, pipe: Any, *, in_chunks: bool) -> None:
        from compel.embeddings_provider import (  # its import takes a second, and few prompts need it
            EmbeddingsProvider,
            ReturnedEmbeddingsType,
            SplitLongTextMode,
        )

        is_xl = hasattr(pipe, "text_encoder_2")
        kind = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
        self._device = pipe._execution_device
        self._providers = [
            EmbeddingsProvider(
                tokenizer,
                encoder,
                truncate=not in_chunks,
                returned_embeddings_type=kind if is_xl else ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED,
                split_long_text_mode=SplitLongTextMode.WORDS,
                device=pipe._execution_device,
            )
            for number in ("", "_2")
            if (encoder := getattr(pipe, f"text_encoder{number}", None)) is not None
            and (tokenizer := getattr(pipe, f"tokenizer{number}", None)) is not None
        ]

    def encode(self, text: str) -> Tensor:
        """(1, tokens, width), the parts of the text one after the other."""
        return torch.cat([self._part(fragments) for fragments in parts(text)], dim=1)

    def numbers(self, pieces: Sequence[str]) -> list[int]:
        """Which of the pieces each token of a part is of; -1 for tokens of none."""
        weights = [number + 2.0 for number in range(len(pieces))]  # Compel gives tokens of no fragment 1
        _, found, _ = self._providers[0].get_token_ids_and_expand_weights([*pieces], weights, device=self._device)
        return [max(-1, round(weight) - 2) for weight in found.tolist()]

    def _part(self, fragments: list[tuple[str, float]]) -> Tensor:
        words, weights = [words for words, _ in fragments], [weight for _, weight in fragments]
        read: list[Any] = [
            provider.get_embeddings_for_weighted_prompt_fragments([words], [weights], device=self._device)
            for provider in self._providers
        ]
        return torch.cat(read, dim=-1)


def _filled(embedding: Tensor, filler: Tensor, length: int) -> Tensor:
    """The embedding with as much of the filler after it as makes it so long."""
    return torch.cat([embedding, *[filler] * ((length - embedding.shape[1]) // filler.shape[1])], dim=1)
