"""Loads models and paints a step or two with each, as `python -m limner.generators.trial JSON`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from limner.generators.base import Failed
from limner.generators.cards.model_card import ModelCard
from limner.generators.device import check
from limner.generators.errors import DeviceLost, GenerationError, first_cause
from limner.generators.executor import Executor
from limner.generators.requests import GenerationRequest

LONGEST_REASON = 300
"""Characters of an error's text that are kept."""


def attempt(models: dict[str, str], *, device: str, dtype: str, offload: str) -> dict[str, dict[str, Any]]:
    """For each model the seconds for loading it and painting one step, or why that failed.

    Args:
        models: folders or hub names, by name.
        device: as for `Executor`; nothing is tried without it.
        dtype: the same, but nothing is measured.
        offload: the same.
    """
    dtype = "auto" if dtype == "fastest" else dtype
    try:
        check(device)
    except DeviceLost:
        return {}
    cards = {name: ModelCard.read(name, source) for name, source in models.items()}
    return {
        name: _attempt(card, Executor({name: card}, device=device, dtype=dtype, offload=offload, max_batch=1))
        for name, card in cards.items()
    }


def _attempt(card: ModelCard, executor: Executor) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            executor.admit("trial", _request(card, Path(folder)))
        failure: GenerationError | None = None
        while executor.in_flight:
            failure = next((event.error for event in executor.step() if isinstance(event, Failed)), None)
    except GenerationError as error:
        failure = error
    finally:
        executor.close()
    return {"error": _reason(failure)} if failure else {"seconds": time.perf_counter() - began}


def _request(card: ModelCard, folder: Path) -> GenerationRequest:
    size = (card.width, card.height)
    Image.new("RGB", size, "grey").save(folder / "picture.png")
    return GenerationRequest(
        prompt="a picture",
        model=card.name,
        width=card.width,
        height=card.height,
        num_inference_steps=2 if card.video else 1,  # the scheduler of LTX stretches one step to no number
        guidance_scale=card.guidance_scale,
        seed=0,
        init_image=str(folder / "picture.png") if card.needs_picture else None,
        strength=1.0 if card.needs_picture and not card.edits else None,
        animation=card.video.shortest if card.video else None,
    )


def _reason(failure: BaseException) -> str:
    """The root cause's type and text on one line, which may name paths: it is for the operator's own terminal."""
    first = first_cause(failure)
    said = " ".join(str(first).split())[:LONGEST_REASON]
    return said if first is failure else f"{type(first).__name__}: {said}"


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(attempt(asked["models"], **asked["options"])))
