"""The restoration network: it learns to undo noise, blur and halving, and restores pictures of any size."""

# pyright: basic

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from limner.generators.errors import ModelNotFound
from limner.generators.requests import RESTORATIONS, Finish
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.restoration import train_restoration
from limner.generators.training.plan import Plan
from limner.generators.vision.postprocess import TILE, Finisher
from limner.generators.vision.restoration_network import TASKS, RestorationNetwork

SIDE = 24
PLAN = Plan(samples=480, batch=8, learning_rate=4e-3, warmup=5, ema=0.9)


def write_boxes(folder: Path, count: int) -> Path:
    """Captioned pictures of boxes in two colours."""
    folder.mkdir()
    lines: list[str] = []
    for number in range(count):
        random = Random(number)
        image = Image.new("RGB", (SIDE, SIDE), random.choice(("white", "navy")))
        image.paste(random.choice(("red", "gold")), (random.randint(2, 8), random.randint(2, 8), 16, 18))
        image.save(folder / f"{number:02d}.png")
        lines.append(json.dumps({"file_name": f"{number:02d}.png", "text": "a box"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_pictures_are_clearer_after_a_short_training(tmp_path: Path) -> None:
    pictures = write_boxes(tmp_path / "boxes", 40)
    figures = train_restoration(pictures, tmp_path, PLAN, minutes=None, processes=1)
    assert list(figures) == list(TASKS)
    assert all(after > before + 1 for before, after in figures.values()), figures
    finisher = Finisher(restoration=str(tmp_path / "restoration"))
    clean = np.asarray(Image.open(pictures / "00.png"), float)
    noisy = (clean + np.random.default_rng(0).normal(0, 20, clean.shape)).clip(0, 255).astype(np.uint8)
    restored = finisher.finish(Image.fromarray(noisy), Finish(adjustments=("denoise-drawing",)))
    assert np.square(np.asarray(restored) - clean).mean() < np.square(noisy - clean).mean()


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least ten pictures"):
        train_restoration(write_boxes(tmp_path / "boxes", 9), tmp_path, PLAN, minutes=None, processes=1)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose last layers do something."""
    torch.manual_seed(0)
    network = RestorationNetwork(8, 2)
    for part in network.last.parameters():
        torch.nn.init.normal_(part, std=0.05)
    folder = tmp_path_factory.mktemp("restoration")
    network.save(folder)
    return folder


def test_a_large_picture_is_restored_in_tiles_without_a_seam(untrained: Path) -> None:
    random = np.random.default_rng(0).integers(0, 255, (TILE + 31, TILE + 50, 3), np.uint8)
    network = RestorationNetwork.load(untrained)
    reach = network.reach
    edged = np.pad(random, ((reach, reach), (reach, reach), (0, 0)), mode="edge").astype(np.float32)
    pixels = torch.from_numpy(edged).permute(2, 0, 1)[None] / 127.5 - 1
    for name, (task, times) in zip(RESTORATIONS, TASKS.items(), strict=True):
        found = np.asarray(
            Finisher(restoration=str(untrained)).finish(Image.fromarray(random), Finish(adjustments=(name,)))
        )
        whole = (network(pixels, task)[0].clamp(-1, 1) + 1) * 127.5
        around = reach * times
        wanted = whole.permute(1, 2, 0).numpy()[around:-around, around:-around]
        assert found.shape == wanted.shape == (times * (TILE + 31), times * (TILE + 50), 3)
        assert np.abs(found - wanted).max() <= 0.51


def test_restorations_come_first_and_are_noted(untrained: Path) -> None:
    finish = Finish(upscale=2, adjustments=("sharpen", "double-drawing"))
    finisher, image = Finisher(restoration=str(untrained)), Image.new("RGB", (13, 8), "teal")
    assert finisher.finish(image, finish).size == finish.size(13, 8) == (52, 32)
    assert finisher.parameters(finish) == {"Upscale": "2x Lanczos", "Adjustments": "double-drawing sharpen"}


@pytest.mark.parametrize("config", ["", "{}", '{"model_type": "other", "width": 8, "blocks": 2}'])
def test_nothing_but_a_restoration_folder_is_loaded(tmp_path: Path, untrained: Path, config: str) -> None:
    (tmp_path / "model.safetensors").write_bytes((untrained / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelNotFound):
        Finisher(restoration=str(tmp_path)).finish(Image.new("RGB", (8, 8)), Finish(adjustments=RESTORATIONS))
