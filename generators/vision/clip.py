"""Image-text models and captioners from folders of transformers."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# transformers' annotations are too loose for more

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GPT2LMHeadModel,
)

from limner.generators.errors import ModelNotFound
from limner.generators.loading import loading

OWN_CAPTIONER = "captioner"
"""Subfolder of an image-text model with a caption decoder for it."""
BATCH, TEXTS = 16, 256
"""Pictures, and texts, in one call."""
BEAMS = 3
LONGEST = 40
"""Most tokens of a description."""


class FolderImageTextModel:
    """An image-text model from a folder (or hub name): CLIPModel, SigLIP, VisionTextDualEncoderModel ...

    Descriptions come from ``captioner``, any image-to-text model of transformers, or else from the caption decoder in
    the model's own folder.
    """

    def __init__(self, model: Any, images: Any, tokenizer: Any, captioner: Captioner | None) -> None:
        self._model, self._images, self._tokenizer = model, images, tokenizer
        self._captioner = captioner

    @classmethod
    @loading()
    def load(cls, source: str, *, captioner: str = "", device: str = "cpu") -> Self:
        """Load the folders, safetensors only; raises ModelNotFound if one cannot be read."""
        try:
            model = AutoModel.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
            model = model.to(device).eval().requires_grad_(False)
            images = AutoImageProcessor.from_pretrained(source)
            tokenizer = AutoTokenizer.from_pretrained(source)
            teller = _load_captioner(source, captioner, model, images, device)
        except (OSError, ValueError) as error:
            raise ModelNotFound from error
        return cls(model, images, tokenizer, teller)

    @property
    def can_describe(self) -> bool:
        """Whether there is a captioner."""
        return self._captioner is not None

    def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        """Cosine similarity of each picture (row) to each text (column), from -1 to 1."""
        return (self._see(images) @ self.read(texts).T).numpy()

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Each picture's embedding as a row of length 1; similar pictures have close ones."""
        return self._see(images).numpy()

    def describe(self, image: Image.Image) -> str:
        """A short description of the picture."""
        assert self._captioner  # noqa: S101 - callers check can_describe
        return self._captioner.describe(image)

    def fits(self, image: Image.Image, texts: Sequence[str]) -> np.ndarray:
        """How well each text fits a picture; comparable among texts of one picture that differ in few words.

        It is a logarithm of probabilities: by a captioner of the model's own, which tells colours, counts and places
        apart better than a cosine (Lin et al. 2023, arXiv:2306.01879), otherwise by the cosines as the model weighs
        them against each other.
        """
        if isinstance(self._captioner, OwnCaptioner):
            return self._captioner.likelihood(image, texts)
        return self.score([image], texts)[0] * float(self._model.logit_scale.exp())

    def look(self, pixels: Tensor) -> Tensor:
        """Embeddings (count, width) of pixels from -1 to 1 (count, 3, height, width), with gradients."""
        blank = self._images([Image.new("RGB", (64, 64))], return_tensors="pt").pixel_values
        fitted = functional.interpolate(pixels, blank.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
        mean, std = (pixels.new_tensor(one)[:, None, None] for one in (self._images.image_mean, self._images.image_std))
        return functional.normalize(self._model.get_image_features((fitted / 2 + 0.5 - mean) / std).pooler_output)

    @torch.inference_mode()
    def _see(self, images: Sequence[Image.Image]) -> Tensor:
        found = [self._model.get_image_features(pixels).pooler_output.cpu() for pixels in self._pixels(images)]
        return functional.normalize(torch.cat(found))

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Tensor:
        """Each text's embedding as a row of length 1, comparable with `look`."""
        found: list[Tensor] = []
        for at in range(0, len(texts), TEXTS):
            part = self._tokenizer(
                list(texts[at : at + TEXTS]), padding="max_length", truncation=True, return_tensors="pt"
            )
            found.append(self._model.get_text_features(**part.to(self._model.device)).pooler_output.cpu())
        return functional.normalize(torch.cat(found))

    def _pixels(self, images: Sequence[Image.Image]) -> Iterator[Tensor]:
        for at in range(0, len(images), BATCH):
            part = [image.convert("RGB") for image in images[at : at + BATCH]]
            yield self._images(part, return_tensors="pt").pixel_values.to(self._model.device)


class Captioner:
    """Describes pictures with an image-to-text model of transformers (BLIP, GIT, VisionEncoderDecoderModel ...)."""

    def __init__(self, model: Any, images: Any, tokenizer: Any) -> None:
        self._model, self._images, self._tokenizer = model, images, tokenizer

    @torch.inference_mode()
    def describe(self, image: Image.Image) -> str:
        """The most likely sentence by beam search; deterministic."""
        pixels = self._images([image.convert("RGB")], return_tensors="pt").pixel_values.to(self._model.device)
        ids = self._generate(pixels)
        return " ".join(self._tokenizer.decode(ids[0], skip_special_tokens=True).split())

    def _generate(self, pixels: Tensor) -> Tensor:
        return self._model.generate(pixel_values=pixels, max_new_tokens=LONGEST, num_beams=BEAMS, do_sample=False)


class OwnCaptioner(Captioner):
    """Describes pictures from the image-text model's features, with a small decoder trained for it."""

    def __init__(self, decoder: GPT2LMHeadModel, image_text_model: Any, images: Any, tokenizer: Any) -> None:
        super().__init__(decoder, images, tokenizer)
        self._image_text_model = image_text_model

    @torch.inference_mode()
    def likelihood(self, image: Image.Image, texts: Sequence[str]) -> np.ndarray:
        """The logarithm of the probability of each whole text."""
        pixels = self._images([image.convert("RGB")], return_tensors="pt").pixel_values.to(self._model.device)
        states = self._image_text_model.vision_model(pixels).last_hidden_state.contiguous()
        ids = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").input_ids
        ids = ids.to(self._model.device)
        before, said = ids[:, :-1].contiguous(), ids[:, 1:]
        read = {"input_ids": before, "attention_mask": torch.ones_like(before)}  # causal attention
        seen = states.expand(len(ids), -1, -1).contiguous()
        found = self._model(**read, encoder_hidden_states=seen, use_cache=False).logits.float().log_softmax(-1)
        found = found.gather(-1, said[..., None])[..., 0]
        ends = said == self._tokenizer.eos_token_id  # padding included
        return found.masked_fill(ends.cumsum(1) > 1, 0).sum(1).cpu().numpy()

    def _generate(self, pixels: Tensor) -> Tensor:
        return say(self._model, self._image_text_model.vision_model(pixels).last_hidden_state)


@torch.inference_mode()
def say(decoder: GPT2LMHeadModel, states: Tensor) -> Tensor:
    """The tokens of one sentence for each picture, from the picture tower's features."""
    start = torch.full((len(states), 1), decoder.config.bos_token_id, device=states.device)
    return decoder.generate(
        input_ids=start,
        attention_mask=torch.ones_like(start),
        encoder_hidden_states=states,
        max_length=decoder.config.n_positions,
        num_beams=BEAMS,
        do_sample=False,
    )


@loading()
def _load_captioner(source: str, captioner: str, image_text_model: Any, images: Any, device: str) -> Captioner | None:
    own = Path(source) / OWN_CAPTIONER
    if captioner:
        model = AutoModelForImageTextToText.from_pretrained(captioner, dtype=torch.float32, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(captioner)
        return Captioner(model.to(device).eval(), AutoImageProcessor.from_pretrained(captioner), tokenizer)
    if not own.is_dir():
        return None
    decoder = GPT2LMHeadModel.from_pretrained(own, dtype=torch.float32, use_safetensors=True).to(device).eval()
    return OwnCaptioner(decoder, image_text_model, images, AutoTokenizer.from_pretrained(own))
