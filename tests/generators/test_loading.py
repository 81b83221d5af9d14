"""Models are built one at a time in a process, so that the libraries leave torch as they found it."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from limner import generators
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.pipelines import read_pipeline
from limner.generators.one_pass.gan import GANGenerator
from limner.generators.vision.clip import FolderImageTextModel
from tests.tiny_models import build_tiny_pipeline

ROOM = Path(generators.__file__).parent
DIGITS = ROOM / "pretrained" / "digits-gan"
BUILDERS = {"from_pretrained", "from_single_file", "load_from_file", "load_lora_weights", "load_state_dict"}
"""Calls that build the modules of a model, or fill them."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("tiny"))


class Overlap:
    """Holds the first load where diffusers has replaced parts of torch, until a second one is there or has ended."""

    def __init__(self) -> None:
        self.first_is_in, self.second_came, self._first_is_out = (threading.Event() for _ in range(3))
        self._numbers = count()
        self._real = accelerate.init_empty_weights

    @contextmanager
    def __call__(self) -> Iterator[None]:
        number = next(self._numbers)
        with self._real():
            if number == 0:
                self.first_is_in.set()
                self.second_came.wait(1)
            elif not self._first_is_out.is_set():
                self.second_came.set()
                self._first_is_out.wait(1)
            yield
        if number == 0:
            self._first_is_out.set()

    def force(self, first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
        """What the two have loaded, the second one begun while the first is in the middle."""
        with ThreadPoolExecutor(2) as threads:
            loads = [threads.submit(first)]
            assert self.first_is_in.wait(30)
            loads.append(threads.submit(second))
            loads[1].add_done_callback(lambda _: self.second_came.set())
            return [load.result() for load in loads]


@pytest.fixture
def overlap(monkeypatch: pytest.MonkeyPatch) -> Overlap:
    overlap = Overlap()
    monkeypatch.setattr(nn.Module, "register_parameter", nn.Module.register_parameter)  # put back, whatever happens
    monkeypatch.setattr(accelerate, "init_empty_weights", overlap)
    return overlap


def is_sound(model: nn.Module) -> bool:
    return all(part.device.type == "cpu" and bool(part.isfinite().all()) for part in model.parameters())


def test_the_libraries_break_torch_for_good_where_two_loads_overlap(tiny: Path, overlap: Overlap):
    load = partial(UNet2DConditionModel.from_pretrained, tiny / "unet", use_safetensors=True)

    overlap.force(load, load)

    assert nn.Linear(1, 1).weight.is_meta
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        nn.Linear(1, 1).to("cpu")


def test_two_pipelines_that_are_asked_for_at_once_are_sound(tiny: Path, overlap: Overlap):
    load = partial(read_pipeline, str(tiny), torch.float32)

    pipes = overlap.force(load, load)

    assert all(is_sound(pipe.unet) and is_sound(pipe.vae) and is_sound(pipe.text_encoder) for pipe in pipes)
    assert is_sound(nn.Linear(1, 1))


def test_an_image_text_model_beside_a_pipeline_is_sound(tiny: Path, tiny_image_text: Path, overlap: Overlap):
    pipe, model = overlap.force(
        partial(read_pipeline, str(tiny), torch.float16), partial(FolderImageTextModel.load, str(tiny_image_text))
    )

    assert is_sound(pipe.unet)
    assert is_sound(model._model)
    assert torch.get_default_dtype() == torch.float32


def test_a_network_that_is_built_beside_a_pipeline_has_its_weights(tiny: Path, overlap: Overlap):
    _, gan = overlap.force(
        partial(read_pipeline, str(tiny), torch.float32),
        partial(GANGenerator.load, ModelCard.read("digits", str(DIGITS)), device="cpu"),
    )

    assert is_sound(gan._network)


def test_a_model_may_load_another_while_it_is_loaded(tiny: Path):
    card = ModelCard.read("tiny", str(tiny))

    assert DiffusionGenerator.load(card, device="cpu", max_batch=1).capacity() > 0


def test_whatever_builds_a_model_waits_for_its_turn():
    found = [
        f"{file.relative_to(ROOM)}:{line}"
        for file in ROOM.rglob("*.py")
        for line in outside(ast.parse(file.read_text("utf-8")))
    ]

    assert not found, "these build a model outside of `loading()`: " + ", ".join(found)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("Model.from_pretrained(a)", [1]),
        ("with loading():\n    x = Model.from_pretrained(a)\nModel.from_pretrained(a)", [3]),
        ("@loading()\ndef f(x):\n    return Model.from_pretrained(x).to(x)", []),
        ("class A:\n    @classmethod\n    def f(x):\n        return x.load_state_dict(x)", [4]),
    ],
)
def test_what_waits_for_no_turn_is_found(source: str, lines: list[int]):
    assert list(outside(ast.parse(source))) == lines


def outside(node: ast.AST) -> Iterator[int]:
    """The lines that build a model, and are neither in a block nor in a function of `loading`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.With) and any("loading()" in ast.unparse(item) for item in child.items):
            continue
        if isinstance(child, ast.FunctionDef) and any(
            ast.unparse(mark) == "loading()" for mark in child.decorator_list
        ):
            continue
        if isinstance(child, ast.Call) and getattr(child.func, "attr", "") in BUILDERS:
            yield child.lineno
        yield from outside(child)
