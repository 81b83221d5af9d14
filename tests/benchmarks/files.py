"""One model in each kind of file and each form of its weights: seconds to load, bytes on the disk and in memory."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import SD3Transformer2DModel

from limner.generators.diffusion.memory import weights
from limner.generators.diffusion.pipelines import read_pipeline
from limner.generators.diffusion.quantization import quantize
from tests.benchmarks.figures import show, spread
from tests.original_layout import write_checkpoint
from tests.tiny_gguf import write_sd3_gguf
from tests.tiny_models import tiny_sd3

ROUNDS = 5


def write_all(folder: Path) -> Mapping[str, tuple[Path, str]]:
    """The kinds by name: where each one lies, and the word for its weights."""
    torch.manual_seed(0)
    pipe = tiny_sd3(folder / "words")
    pipe.register_modules(
        transformer=SD3Transformer2DModel(
            sample_size=64,
            num_layers=8,
            attention_head_dim=64,
            num_attention_heads=8,
            joint_attention_dim=64,
            caption_projection_dim=512,
            pooled_projection_dim=64,
        )
    )
    whole, small = folder / "whole", folder / "small"
    pipe.save_pretrained(whole)
    checkpoint = write_checkpoint(whole, folder / "checkpoint.safetensors")
    shutil.copytree(
        whole, small, ignore=lambda at, names: names[:0] if "transformer" not in str(at) else _weights(names)
    )
    write_sd3_gguf(pipe.transformer.state_dict(), small / "transformer" / "denoiser-Q8_0.gguf")
    return {
        "a diffusers folder": (whole, ""),
        "a checkpoint": (checkpoint, ""),
        "a folder whose denoiser is a GGUF file (Q8_0)": (small, ""),
        "the folder with `int8`": (whole, "int8"),
        "the folder with `fp8`": (whole, "fp8"),
        "the folder with `nf4`": (whole, "nf4"),
    }


def _weights(names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".safetensors")]


def load(source: Path, kind: str) -> tuple[float, Any]:
    """The seconds that loading takes, and the pipeline."""
    gc.collect()
    started = time.perf_counter()
    pipe = read_pipeline(str(source), torch.float32)
    if kind:
        quantize(pipe, kind)
    return time.perf_counter() - started, pipe


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        kinds = write_all(Path(place))
        seconds = [{name: load(*kind)[0] for name, kind in kinds.items()} for _ in range(ROUNDS + 1)][1:]
        plain = next(iter(kinds))
        rows = [
            (
                name,
                f"{_on_disk(source) / 1e6:.0f}",
                f"{sum(weights(load(source, kind)[1])) / 1e6:.0f}",
                spread([each[name] / each[plain] for each in seconds]),
            )
            for name, (source, kind) in kinds.items()
        ]
        show(
            "a Stable Diffusion 3 pipeline with a denoiser of 8 layers of 512, in float32",
            ("file", "MB on the disk", "MB in memory", "times the seconds"),
            rows,
            f"Medians of {ROUNDS} rounds in turn, from files that were read before.",
        )


def _on_disk(source: Path) -> int:
    if source.is_file():
        return source.stat().st_size
    return sum(file.stat().st_size for kind in ("safetensors", "gguf") for file in source.glob(f"*/*.{kind}"))


if __name__ == "__main__":
    main()
