# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
# pyright: reportOptionalMemberAccess=false
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from safetensors import safe_open
from safetensors.torch import load_file

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import Finished
from limner.generators.cards.lora_files import LoraFiles
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.requests import GenerationRequest
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.lora import WEIGHTS, LoRARecipe, Plan, train_lora
from limner.generators.training.loop import CHECKPOINT
from tests.generators.test_training_complaints import command as train_by_command
from tests.generators.toys import COLOURS, write_squares
from tests.tiny_models import tiny_request

SHORT = Plan(samples=160, batch=8, learning_rate=1e-2, warmup=2, ema=0.9, weight_decay=0.0)


@pytest.fixture(params=["tiny", pytest.param("tiny_xl", marks=pytest.mark.slow)])
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> LoRARecipe:
    write_squares(tmp_path / "toys", 3, 16)
    model = request.getfixturevalue(request.param)
    installed = tmp_path / "loras" / "ink.safetensors"
    return LoRARecipe(
        model=str(model), pictures=tmp_path / "toys", folder=tmp_path / "out", installed=installed, rank=2, plan=SHORT
    )


def paint(generator: DiffusionGenerator, request: GenerationRequest) -> np.ndarray:
    generator.admit("it", request)
    while True:
        for event in generator.step():
            assert isinstance(event, Finished) or event.key == "it"
            if isinstance(event, Finished):
                return np.asarray(event.images[0], int)


def test_a_lora_is_learnt_and_worn_at_once(recipe: LoRARecipe):
    card = replace(ModelCard.read("m", recipe.model), loras=LoraFiles({}, recipe.installed.parent, None))
    generator = DiffusionGenerator.load(card, device="cpu")
    plain = paint(generator, tiny_request(prompt="a red square"))

    assert train_lora(recipe, processes=1) == recipe.installed
    losses = np.loadtxt(recipe.folder / "losses.csv", delimiter=",", skiprows=1)[:, 1]
    assert losses[-5:].mean() < 0.97 * losses[:5].mean()
    assert list(card.loras) == ["ink"]

    changed = paint(generator, tiny_request(prompt="a red square", loras=(("ink", 1.0),)))
    assert np.abs(changed - plain).max() > 2
    assert np.abs(paint(generator, tiny_request(prompt="a red square")) - plain).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rate"), [("tiny", 2e-3), ("tiny_xl", 1e-4)])
def test_the_learning_rate_is_that_of_the_model_unless_one_is_named(
    kind: str, rate: float, tmp_path: Path, request: pytest.FixtureRequest
):
    write_squares(tmp_path / "toys", 4, 16)
    folder = request.getfixturevalue(kind)
    words = ["--samples", "200", "--batch", "4", "--processes", "1", "--max-minutes", "0.0001"]
    for name, options in (("usual", []), ("named", ["--learning-rate", "0.003"])):
        told = ["lora", str(folder), str(tmp_path / "toys"), "--out", str(tmp_path / name), *words, *options]
        train_by_command(tmp_path, *told)
    plans = [json.loads(read_plan(tmp_path / name))["plan"]["learning_rate"] for name in ("usual", "named")]
    assert plans == [rate, 3e-3]


def read_plan(folder: Path) -> str:
    with safe_open(folder / CHECKPOINT, "pt") as file:
        return file.metadata()["training"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny", pytest.param("tiny_xl", marks=pytest.mark.slow)])
def test_gradients_that_are_computed_again_are_the_same(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    write_squares(tmp_path / "toys", 3, 16)
    calls, checkpoint = [], torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(
        torch.utils.checkpoint, "checkpoint", lambda *given, **named: calls.append(1) or checkpoint(*given, **named)
    )
    model, plan = str(request.getfixturevalue(kind)), replace(SHORT, samples=16)
    found = []
    for again in (False, True):
        folder = tmp_path / str(again)
        recipe = LoRARecipe(model=model, pictures=tmp_path / "toys", folder=folder, rank=2, plan=plan)
        assert train_lora(replace(recipe, checkpoints_gradients=again), processes=1)
        found.append((bool(calls), load_file(folder / WEIGHTS)))
    assert [is_checkpointed for is_checkpointed, _ in found] == [False, True]
    for name, tensor in found[0][1].items():
        assert tensor.float().allclose(found[1][1][name].float(), rtol=1e-3, atol=1e-5), name


def test_pictures_of_a_size_that_the_model_cannot_learn_are_told(recipe: LoRARecipe, tmp_path: Path):
    write_squares(tmp_path / "others", 2, 24)
    with pytest.raises(TrainingError, match="--side"):
        train_lora(replace(recipe, model=str(PRETRAINED / "doodle"), pictures=tmp_path / "others"), processes=1)


def test_a_model_of_another_kind_is_told(tmp_path: Path, family_folder):
    write_squares(tmp_path / "toys", 2, 16)
    for model, complaint in ((str(tmp_path), "no diffusers folder"), (str(family_folder("flux_dev")), "learn LoRAs")):
        with pytest.raises(TrainingError, match=complaint):
            train_lora(LoRARecipe(model=model, pictures=tmp_path / "toys", folder=tmp_path / "out"), processes=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_shipped_model_paints_nearer_to_the_pictures_that_its_lora_learnt(tmp_path: Path):
    write_squares(tmp_path / "toys", 6, 128)
    installed = tmp_path / "loras" / "ink.safetensors"
    plan = Plan(samples=480, batch=4, learning_rate=2e-3, warmup=10, ema=0.95, weight_decay=0.0)
    model = str(PRETRAINED / "doodle")
    assert train_lora(
        LoRARecipe(model=model, pictures=tmp_path / "toys", folder=tmp_path / "out", installed=installed, plan=plan)
    )
    card = replace(ModelCard.read("doodle", model), loras={"ink": str(installed)})
    generator = DiffusionGenerator.load(card, device="cpu")
    shown = PictureFolder(tmp_path / "toys").pixels(range(6)).permute(0, 2, 3, 1).numpy() * 127.5 + 127.5
    for number, colour in enumerate(COLOURS):
        wanted = shown[number::3].mean(0)
        request = tiny_request(prompt=f"a {colour} square", width=128, height=128, num_inference_steps=8)
        before = np.abs(paint(generator, request) - wanted).mean()
        after = np.abs(paint(generator, replace(request, loras=(("ink", 1.0),))) - wanted).mean()
        assert after < 0.7 * before, (colour, before, after)
