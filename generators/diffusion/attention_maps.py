"""Word maps: which part of a picture the denoiser's attention gives to each word, read while it paints."""

# pyright: basic

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttention
from torch import Tensor
from torch.nn import functional

from limner.generators.base import WordMap

MOST_CELLS = 64
"""Cells of a map's longer side."""
MOST_SCORES = 2**23
"""Attention probabilities in memory at a time: 32 MB."""


class WordTokens(NamedTuple):
    """A word of a prompt, and the places of its tokens among those that the denoiser reads."""

    word: str
    places: tuple[int, ...]


class AttentionMaps:
    """The mean of a picture's attention to each word over heads, layers and steps.

    As DAAM (Tang et al. 2022, https://arxiv.org/abs/2210.04885): the probabilities with which the picture's places
    attend to a word's tokens, the mean over the tokens, each layer enlarged to one grid (bicubic). It keeps one grid
    for each word, whatever the number of steps.

    Args:
        words: with their tokens.
        size: width and height of the picture.
    """

    def __init__(self, words: Sequence[WordTokens], size: tuple[int, int]) -> None:
        self.words = words
        self._size = size
        width, height = (max(1, round(MOST_CELLS * side / max(size))) for side in size)
        self._grid = height, width
        self._sum: Tensor | None = None
        self._calls = 0

    def found(self, step: int) -> list[WordMap]:
        """The map of each word, whose prompt counts from this step on; none before it was denoised from."""
        if self._sum is None:
            return []
        means = (self._sum / self._calls).cpu().numpy()
        return [WordMap(one.word, step, cells) for one, cells in zip(self.words, means, strict=True)]

    def means(self, tokens: int) -> Tensor:
        """A matrix (tokens, words) that makes the mean of each word's tokens."""
        found = torch.zeros(tokens, len(self.words))
        for number, (_, places) in enumerate(self.words):
            found[list(places), number] = 1 / len(places)
        return found

    def on_grid(self, shares: Tensor) -> Tensor:
        """One layer's shares (places, words), as maps of the grid's size."""
        width, height = self._size
        rows = round((len(shares) * height / width) ** 0.5)
        layer = shares.T.reshape(1, -1, rows, len(shares) // rows)
        return functional.interpolate(layer, self._grid, mode="bicubic", antialias=True)[0].clamp(min=0)

    def add(self, layers: Tensor, count: int) -> None:
        """Count one call of the denoiser, in which so many layers summed up to ``layers``."""
        mean = layers / count
        self._sum = mean if self._sum is None else self._sum + mean
        self._calls += 1


@contextmanager
def watching(model: Any, watched: Mapping[int, AttentionMaps], tokens: int) -> Generator[None]:
    """Add what the denoiser's attention gives to words in one call to the maps of the rows that have some.

    Nothing is added if the call fails. The model computes what it computes without: queries and keys of these rows are
    projected a second time beside it.

    Args:
        model: a UNet, or the transformer of Stable Diffusion 3 or FLUX.
        watched: maps by row of the call.
        tokens: of a prompt, as the denoiser reads it.
    """
    sums = {row: _LayerSum(maps) for row, maps in watched.items()}
    watch = partial(_watch, sums, tokens)
    kinds = Attention, FluxAttention
    hooks = [
        part.register_forward_pre_hook(watch, with_kwargs=True) for part in model.modules() if isinstance(part, kinds)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    for one in sums.values():
        one.maps.add(one.total, one.count)


@dataclass
class _LayerSum:
    """The sum of the layers' maps in one call, for one row."""

    maps: AttentionMaps
    total: Any = 0.0
    count: int = 0


def _watch(
    sums: Mapping[int, _LayerSum], tokens: int, attention: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Sum up the maps of one attention layer, if it reads words."""
    hidden = args[0] if args else kwargs["hidden_states"]
    words = kwargs.get("encoder_hidden_states")
    words = words[0] if isinstance(words, tuple) else words  # beside the tokens of an IP-Adapter
    for row, one in sums.items():
        own, read = hidden[row : row + 1], None if words is None else words[row : row + 1]
        if isinstance(attention, FluxAttention):
            scores = _flux(attention, own, read, kwargs["image_rotary_emb"], tokens)
        elif read is None:
            return
        else:
            scores = (_cross if attention.add_k_proj is None else _joint)(attention, own, read)
        one.total = one.total + one.maps.on_grid(shares_of_words(*scores, one.maps.means(tokens)))
        one.count += 1


def _cross(attention: Any, hidden: Tensor, words: Tensor) -> tuple[Tensor, Tensor, int]:
    """Queries of the picture, keys of the words, and where the words begin among these."""
    words = attention.norm_encoder_hidden_states(words) if attention.norm_cross else words
    return _heads(attention, attention.to_q(hidden), "q"), _heads(attention, attention.to_k(words), "k"), 0


def _joint(attention: Any, hidden: Tensor, words: Tensor) -> tuple[Tensor, Tensor, int]:
    """The same of a layer in which the picture attends to itself and to the words at once."""
    keys = [_heads(attention, attention.to_k(hidden), "k"), _heads(attention, attention.add_k_proj(words), "added_k")]
    return _heads(attention, attention.to_q(hidden), "q"), torch.cat(keys, 1), hidden.shape[1]


def _flux(
    attention: Any, hidden: Tensor, words: Tensor | None, positions: Any, tokens: int
) -> tuple[Tensor, Tensor, int]:
    """The same for FLUX, where the words come first; its single layers get both in one."""
    queries, keys = (_heads(attention, getattr(attention, f"to_{one}")(hidden), one) for one in "qk")
    if words is not None:
        added = (_heads(attention, getattr(attention, f"add_{one}_proj")(words), f"added_{one}") for one in "qk")
        queries, keys = (torch.cat(both, 1) for both in zip(added, (queries, keys), strict=True))
    turned: list[Any] = [apply_rotary_emb(each, positions, sequence_dim=1) for each in (queries, keys)]
    return turned[0][:, tokens:], turned[1], 0


def _heads(attention: Any, projected: Tensor, name: str) -> Tensor:
    """(1, places, heads, numbers), normalised as the layer normalises its queries or keys."""
    norm = getattr(attention, f"norm_{name}", None)
    heads = projected.unflatten(-1, (attention.heads, -1))
    return heads if norm is None else norm(heads)


def shares_of_words(queries: Tensor, keys: Tensor, start: int, means: Tensor, most: int = MOST_SCORES) -> Tensor:
    """The mean over heads of each place's attention to each word (places, words).

    Args:
        queries: of the places (1, places, heads, numbers).
        keys: alike.
        start: of the words' tokens among the keys.
        means: a matrix (tokens, words).
        most: probabilities that are in memory at a time.
    """
    queries, keys = queries[0].transpose(0, 1).float(), keys[0].transpose(0, 1).float()
    means, scale = means.to(keys.device), queries.shape[-1] ** -0.5
    found: list[Tensor] = []
    for some in queries.split(max(1, most // (len(keys) * keys.shape[1])), 1):
        shares = (some @ keys.transpose(1, 2) * scale).softmax(-1)[..., start : start + len(means)]
        found.append(shares.mean(0) @ means)
    return torch.cat(found)
