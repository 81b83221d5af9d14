"""Encodes captions as hidden states of a frozen language model, the conditioning of every own model."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from huggingface_hub.constants import HF_HOME
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from limner.generators.errors import ModelNotFound
from limner.generators.language.bundled_model import converted
from limner.generators.language.unread import first_unread, unread_from
from limner.generators.loading import loading
from limner.generators.sentences import sentence

BUNDLED = "smollm2"
LAYERS = 10
"""Number of layers used: a word's meaning is plainest in the middle; the last ones predict the next word."""
BEGIN = "\na "
"""Prefix of a caption, two tokens long."""
LENGTH = 32
"""Most tokens of a caption for a causal language model."""

_ARTICLE = re.compile(r"^(a|an|the)\s+", re.IGNORECASE)


class CaptionEncoder(Protocol):
    """A frozen model that encodes captions.

    Attributes:
        name: for `load_caption_encoder`.
        width: numbers in a hidden state.
        length: hidden states of a caption.
    """

    name: str
    width: int
    length: int

    def read(self, texts: Sequence[str]) -> Tensor:
        """Hidden states (count, length, width) in float32; zero after a caption's end."""
        ...

    def unread(self, text: str) -> str:
        """The end of a caption beyond the encoder's length."""
        ...

    def fingerprint(self) -> str:
        """Identifies the encoder: equal ones give equal hidden states."""
        ...


def load_caption_encoder(name: str) -> CaptionEncoder:
    """The encoder of that name: ``smollm2``, or a diffusers folder with a tokenizer and text encoder.

    Raises:
        ModelNotFound: there is none.
    """
    try:
        with loading():
            if name != BUNDLED:
                folder = Path(name)
                encoder = AutoModel.from_pretrained(
                    folder / "text_encoder", dtype=torch.float32, use_safetensors=True, local_files_only=True
                )
                tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
                return TextModelEncoder(name, encoder, tokenizer)
            folder = converted(Path(HF_HOME) / "limner")
            model = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
            return LanguageModelEncoder(name, model, AutoTokenizer.from_pretrained(folder), layers=LAYERS)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        raise ModelNotFound(sentence("The language model that this model reads with is not there.")) from error


class LanguageModelEncoder:
    """The first layers of a causal language model, such as SmolLM2."""

    def __init__(self, name: str, model: Any, tokenizer: Any, *, layers: int) -> None:
        model.layers = model.layers[:layers]
        model.norm = nn.Identity()  # the final norm belongs to the last layer
        self.name, self.width, self.length = name, model.config.hidden_size, LENGTH
        self._model, self._tokenizer = model.eval(), tokenizer

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Tensor:
        """Hidden states of the words, each normalised.

        Every caption gets a line's end, which attracts all attention, and an article, which announces a noun; both are
        left out of the result.
        """
        states = torch.zeros(len(texts), self.length, self.width)
        for row, text in enumerate(texts):
            ids = self._tokenizer(
                BEGIN + _ARTICLE.sub("", text), add_special_tokens=False, return_tensors="pt"
            ).input_ids
            found = self._model(ids[:, : self.length + 2], use_cache=False).last_hidden_state[0, 2:]
            states[row, : len(found)] = nn.functional.layer_norm(found, (self.width,))
        return states

    def unread(self, text: str) -> str:
        """The end of a caption beyond the encoder's length."""
        text = BEGIN + _ARTICLE.sub("", text)
        return unread_from(text, first_unread(self._tokenizer, text, self.length + 2))

    def fingerprint(self) -> str:
        """A hash of samples of the weights and of the settings."""
        return _fingerprint(self._model, f"language model {self.length}")


class TextModelEncoder:
    """The text encoder of a diffusers pipeline, used like in the stock pipeline."""

    def __init__(self, name: str, encoder: Any, tokenizer: Any) -> None:
        self.name, self.width, self.length = name, encoder.config.hidden_size, tokenizer.model_max_length
        self.encoder, self.tokenizer = encoder.eval(), tokenizer

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Tensor:
        """Hidden states with those of the padding, as in the stock pipeline."""
        asked = {"padding": "max_length", "max_length": self.length, "truncation": True, "return_tensors": "pt"}
        return self.encoder(self.tokenizer(list(texts), **asked).input_ids)[0].clone()

    def unread(self, text: str) -> str:
        """The end of a caption beyond the encoder's length."""
        return unread_from(text, first_unread(self.tokenizer, text, self.length))

    def fingerprint(self) -> str:
        """A hash of samples of the weights and of the settings."""
        return _fingerprint(self.encoder, f"text encoder {self.length}")


def pool(states: Tensor) -> Tensor:
    """One vector for each caption: the mean of its hidden states up to its end."""
    there = (states != 0).any(-1, keepdim=True)
    return states.sum(1) / there.sum(1).clamp(min=1)


def _fingerprint(model: nn.Module, how: str) -> str:
    key = hashlib.sha256(how.encode())
    for name, part in model.state_dict().items():
        key.update(name.encode() + part.flatten()[:64].float().numpy().tobytes())
    return key.hexdigest()
