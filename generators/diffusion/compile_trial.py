"""Tries what compiling a model's blocks saves, as `python -m limner.generators.diffusion.compile_trial JSON`."""

# pyright: basic

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.compiled_blocks import CompileError, make_room, note_compiled, use_cache
from limner.generators.diffusion.formats import Format
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.meters import meter_of
from limner.generators.errors import error_site

MARGIN = 1.5
"""Bytes that must be free for each byte of the model's weights, which are loaded a second time."""

NICER = 5
"""How much lower its priority is than the worker's."""


def attempt(asked: dict[str, Any]) -> dict[str, Any]:
    """``times``: the part of the uncompiled time for each size; or ``failed``: why there are none.

    Args:
        asked: what `Compilation.advance` returned.
    """
    card = ModelCard.read(asked["name"], asked["source"], **asked["card"])
    device, folder = torch.device(asked["device"]), Path(card.compile_cache)
    meter = meter_of(device)
    if meter and meter.free() < MARGIN * asked["bytes"]:
        return {"failed": "no_memory"}
    try:
        use_cache(folder)
        with FileLock(f"{folder}.lock"):  # several workers may try at a time, and would disturb each other's timing
            make_room(folder)
            times = DiffusionGenerator.measure_compiled(card, device, Format(*asked["format"]), asked["sizes"])
            note_compiled(card, asked["key"])
    except CompileError as error:
        return {"failed": str(error)}
    except Exception as error:  # files may be gone by now, and tools of the compiler missing
        return {"failed": error_site(error)}
    return {"times": times}


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICER)
    print(json.dumps(attempt(json.loads(sys.argv[1]))))
