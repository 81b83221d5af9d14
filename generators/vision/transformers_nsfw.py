"""Safety classifiers from the hub: an image classifier, or a CLIP-style model that compares pictures with texts."""

# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoProcessor,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES as COMPARING

from limner.generators.base import SafetyScores
from limner.generators.errors import ModelNotFound
from limner.generators.loading import loading
from limner.generators.sentences import sentence

NOT_HERE = sentence("The safety classifier is not on this machine, or is neither an image classifier nor CLIP-style.")
UNNAMED = sentence("Name the unwanted labels in `safety_classifier_unwanted`; the model knows {known}.")
USUAL = frozenset({"nsfw", "explicit", "unsafe", "porn", "pornography", "hentai", "sexy", "nude", "nudity", "adult"})
"""Usual labels of explicit content in classifiers on the hub."""
UNWANTED = ("explicit nudity", "pornography", "a naked person", "sexual activity")
WANTED = ("a landscape", "an animal", "a person in clothes", "a building", "food", "a drawing", "an object")


class TransformersClassifier:
    """A classifier on the CPU, in float32; safetensors only. The score is the sum of the ``unwanted`` labels."""

    def __init__(self, model: Any, labels: Sequence[str], unwanted: Sequence[str], prepare: Any) -> None:
        self._model = model
        self._labels = labels
        self._unwanted = frozenset(unwanted)
        self._prepare = prepare
        self._together = getattr(model.config, "problem_type", None) == "multi_label_classification"

    @classmethod
    @loading()
    def create(cls, *, model: str, unwanted: Sequence[str], wanted: Sequence[str]) -> Self:
        """Load a folder or hub name, as an image classifier or a CLIP-style model."""
        where = {"local_files_only": Path(model).is_dir()}
        try:
            config = AutoConfig.from_pretrained(model, **where)
            classifies = any(name.endswith("ForImageClassification") for name in config.architectures or ())
            if config.model_type in COMPARING and not classifies:
                return cls._comparing(model, where, unwanted or UNWANTED, wanted or WANTED)
            return cls._classifying(model, where, unwanted)
        except (OSError, ValueError) as error:
            raise ModelNotFound(NOT_HERE) from error

    def look(self, image: Image.Image) -> SafetyScores:
        """Each label's probability; several unwanted ones are added."""
        with torch.inference_mode():
            seen = self._model(**self._prepare(image.convert("RGB")))
        logits = (seen.logits_per_image if "logits_per_image" in seen else seen.logits)[0].float()
        shares = (logits.sigmoid() if self._together else logits.softmax(-1)).tolist()
        scores = dict(zip(self._labels, shares, strict=True))
        explicit = [share for label, share in scores.items() if label in self._unwanted]
        return SafetyScores(max(explicit) if self._together else min(1.0, sum(explicit)), scores)

    @classmethod
    @loading()
    def _classifying(cls, model: str, where: dict[str, Any], unwanted: Sequence[str]) -> Self:
        processor = AutoImageProcessor.from_pretrained(model, **where)
        network = AutoModelForImageClassification.from_pretrained(model, use_safetensors=True, **where).eval()
        labels = [network.config.id2label[number] for number in range(network.config.num_labels)]
        wanted = {name.casefold() for name in unwanted} or USUAL
        found = [label for label in labels if label.casefold() in wanted]
        if not found:
            known = ", ".join(labels[:20])
            raise ModelNotFound(sentence(UNNAMED, known=known))
        return cls(network, labels, found, lambda image: processor(images=image, return_tensors="pt"))

    @classmethod
    @loading()
    def _comparing(cls, model: str, where: dict[str, Any], unwanted: Sequence[str], wanted: Sequence[str]) -> Self:
        texts = [*unwanted, *wanted]
        processor = AutoProcessor.from_pretrained(model, **where)
        network = AutoModel.from_pretrained(model, use_safetensors=True, **where).eval()

        def prepare(image: Image.Image) -> Any:
            return processor(text=texts, images=image, return_tensors="pt", padding="max_length", truncation=True)

        return cls(network, texts, unwanted, prepare)


TransformersEyes = TransformersClassifier
"""Its name before version 0.2, kept until 0.3 for packages that name it."""
