# pyright: basic, reportPrivateUsage=false

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.language import language_model
from limner.generators.training.families import latent_diffusion
from tests.tiny_models import FAMILIES, SIDE, build_tiny_pipeline, build_tiny_xl_pipeline

CHAT = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}assistant "


@pytest.fixture(autouse=True)
def quick_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sheet of a short training shows noise, which takes two steps as well as sixteen."""
    monkeypatch.setattr(latent_diffusion, "paint_sheet", partial(latent_diffusion.paint_sheet, steps=2))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Stable Diffusion pipeline."""
    return build_tiny_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny SDXL-shaped pipeline."""
    return build_tiny_xl_pipeline(tmp_path_factory.mktemp("tiny_xl"))


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny pipeline of the named family."""

    @cache
    def folder(name: str) -> Path:
        return FAMILIES[name](tmp_path_factory.mktemp(name))

    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A picture to start from and a mask, as a request names them."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / "picture.png")
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[4:12, 2:9] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return {"init_image": str(folder / "picture.png"), "mask": str(folder / "mask.png")}


@pytest.fixture
def tiny_generator(tiny: Path) -> DiffusionGenerator:
    return DiffusionGenerator.load(ModelCard.read("tiny", str(tiny)), device="cpu", max_batch=8)


@pytest.fixture
def tiny_xl_generator(tiny_xl: Path) -> DiffusionGenerator:
    return DiffusionGenerator.load(ModelCard.read("tiny_xl", str(tiny_xl)), device="cpu", max_batch=8)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instruct model of one layer that knows 150 words and nothing about them."""
    folder = tmp_path_factory.mktemp("tiny_llama")
    texts = language_model.LINKS, language_model.QUALITIES, language_model.THINGS
    words = ["[unk]", "[end]", ",", ".", *dict.fromkeys(" ".join(texts).split())]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[unk]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[unk]", eos_token="[end]", chat_template=CHAT)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder
