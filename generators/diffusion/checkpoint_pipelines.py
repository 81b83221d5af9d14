"""Loads a checkpoint, a whole model in one safetensors file, as the stock pipeline of its family."""

# pyright: basic

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import SingleFileComponentError
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.quantizers.gguf.utils import GGUFParameter
from transformers import CLIPTokenizer

from limner.generators.cards import checkpoints
from limner.generators.cards.card_schema import read_limner_json
from limner.generators.cards.checkpoints.checkpoint import CLIP, Checkpoint
from limner.generators.cards.model_files import weights_variant
from limner.generators.diffusion.gguf_parts import gguf_denoiser, gguf_part
from limner.generators.errors import DamagedModel, ModelNotFound
from limner.generators.loading import loading
from limner.generators.sentences import sentence
from limner.generators.text_files import BadText

MERGES = Path(checkpoints.__file__).with_name("clip_merges.txt.gz")
"""The 48,894 merges of CLIP's tokenizer (https://github.com/openai/CLIP), from which its vocabulary follows."""

LACKING = sentence("This model's file lacks weights; the operator must copy it again.")


def read_checkpoint(file: Path, dtype: torch.dtype) -> DiffusionPipeline:
    """Load a checkpoint with the parts beside it; nothing is asked of the hub.

    Raises:
        ModelNotFound: it cannot be loaded; the text says why.
    """
    try:
        checkpoint = Checkpoint.read(file, read_limner_json(file.with_suffix("") / "limner.json"))
    except BadText as error:
        raise ModelNotFound from error
    if fault := checkpoint.fault():
        raise ModelNotFound from BadText(fault.what)
    try:
        with TemporaryDirectory() as folder:
            pipe = _pipeline(checkpoint, Path(folder), dtype)
    except NotImplementedError as error:  # diffusers moves a part, and what the file lacks has no numbers
        raise DamagedModel(LACKING) from error
    except (OSError, ValueError, LookupError, RuntimeError, SingleFileComponentError) as error:
        raise ModelNotFound from error
    for part in filter(lambda part: isinstance(part, torch.nn.Module), pipe.components.values()):
        part.eval()  # diffusers leaves T5 with its dropout on
        for weight in part.parameters():
            if not isinstance(weight, GGUFParameter):  # which was copied from its file, and holds no numbers of its own
                _settle(weight)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@loading()
def _pipeline(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype) -> DiffusionPipeline:
    for path, table in checkpoint.tables.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(table), encoding="utf-8")
    kind = getattr(diffusers, checkpoint.tables["model_index.json"]["_class_name"])
    others = _other_parts(checkpoint, dtype)
    if checkpoint.file.suffix == ".gguf":
        denoiser = getattr(diffusers, checkpoint.tables["transformer/config.json"]["_class_name"])
        others["transformer"] = gguf_denoiser(denoiser, checkpoint.file, folder / "transformer", dtype)
        return kind.from_pretrained(folder, dtype=dtype, local_files_only=True, **others)
    return kind.from_single_file(str(checkpoint.file), config=str(folder), dtype=dtype, local_files_only=True, **others)


@loading()
def _other_parts(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, Any]:
    """The parts that are not in the file: from folders beside it, and tokenizers with the vocabulary that ships."""
    others: dict[str, Any] = {}
    for name, entry in checkpoint.tables["model_index.json"].items():
        library, wanted = entry if isinstance(entry, list) else ("", "")
        if name in checkpoint.parts:
            kind: Any = getattr(importlib.import_module(library), wanted)
            folder = checkpoint.parts[name]
            weights = {"dtype": dtype, "use_safetensors": True, "variant": weights_variant(folder)}
            options = {} if "tokenizer" in name else weights
            small = gguf_part(library, kind, folder, dtype)
            others[name] = small or kind.from_pretrained(folder, local_files_only=True, **options)
        elif wanted == CLIP:
            others[name] = clip_tokenizer(**checkpoint.tables[f"{name}/tokenizer_config.json"])
    return others


def clip_tokenizer(model_max_length: int, pad_token: str, **_others: Any) -> CLIPTokenizer:
    """The tokenizer of OpenAI's CLIP, which all of Stable Diffusion's and FLUX's CLIP encoders use."""
    merges: list[Any] = [tuple(line.split()) for line in gzip.decompress(MERGES.read_bytes()).decode().splitlines()]
    letters = _letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocabulary, merges, model_max_length=model_max_length, pad_token=pad_token)


def _letters() -> list[str]:
    """A letter for each byte, those that can be printed first, as GPT-2's tokenizer numbers them."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return [*map(chr, printed), *(chr(256 + number) for number in range(len(others)))]


def _settle(weight: torch.nn.Parameter) -> None:
    """Copy a weight into this process's memory, so that a file that is replaced later does not change it.

    Raises:
        DamagedModel: the file lacks it, or it holds what is no number.
    """
    if weight.is_meta:  # transformers' parts are not moved
        raise DamagedModel(LACKING)
    if not weight.isfinite().all():
        raise DamagedModel(sentence("This model's file has broken weights (NaN); the operator must replace it."))
    weight.data = weight.data.clone()
