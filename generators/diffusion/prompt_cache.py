"""Prompt cache: keeps encoded prompts, so that a reroll, a variation or a retry runs no text encoder."""

# pyright: basic

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor

MOST_BYTES = 64 * 2**20
"""Encoded prompts that are kept on the device; the least recently used go first."""


class PromptCache:
    """Encoded prompts of one pipeline by LoRAs and text: the same tensors as its text encoders gave.

    Args:
        most: bytes of all tensors.

    Attributes:
        encoded: how many results of text encoders were computed.
        cached: how many were there already.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._bytes = 0
        self.encoded = self.cached = 0

    def encode(self, loras: Hashable, encode_prompt: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The result of a pipeline's ``encode_prompt`` with ``args`` and ``kwargs``, computed once for each LoRA setup.

        Prompts that come as embeddings, or with pictures, are not kept.
        """
        given = (*args, *kwargs.values())
        if any(isinstance(value, Tensor | list) and not _is_text(value) for value in given):
            return encode_prompt(*args, **kwargs)
        key = (loras, repr(args), repr(sorted(kwargs.items(), key=lambda item: item[0])))
        if key not in self._kept:
            self._keep(key, encode_prompt(*args, **kwargs))
            self.encoded += 1
        else:
            self.cached += 1
            self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: Hashable, encoded: Any) -> None:
        self._kept[key] = encoded
        self._bytes += _size(encoded)
        while self._bytes > self._most and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _size(encoded: Any) -> int:
    return sum(value.nbytes for value in encoded if isinstance(value, Tensor))
