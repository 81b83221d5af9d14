# pyright: basic, reportPrivateImportUsage=false
import os
import subprocess
import sys
from pathlib import Path

import pytest

from limner.generators.training.families.lora import PLAN, LoRARecipe, train_lora
from limner.generators.training.loop import CHECKPOINT, Plan
from limner.generators.training.processes import launch
from tests.generators.short_trainings import train
from tests.generators.toys import note_process, write_squares

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_has_no_more_processes_than_pictures(batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    launch(note_process, None, tmp_path, batch=batch)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        str(rank): str(batch) for rank in range(batch)
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lora_is_learnt_on_a_machine_with_more_cores_than_a_step_has_pictures(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_squares(tmp_path / "toys", 6, 16)
    monkeypatch.setattr(os, "cpu_count", lambda: PLAN.batch + 1)
    plan = Plan(samples=8, batch=PLAN.batch, learning_rate=2e-3, warmup=2)
    out = tmp_path / "out"
    recipe = LoRARecipe(model=str(tiny), pictures=tmp_path / "toys", folder=out, rank=2, plan=plan)
    assert train_lora(recipe)
    assert (out / CHECKPOINT).is_file()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", ["diffusion", "gan"])
def test_two_processes_of_accelerate_make_what_one_makes(family: str, tiny: Path, tmp_path: Path):
    """The first mean loss is of the same pictures and weights, so chance inside the loss is all that differs."""
    write_squares(tmp_path / "toys", 12, 32)
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(family, tmp_path / "toys", alone, str(tiny), 1)
    started = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    started += ["--main_process_port", "0", "-m", "tests.generators.short_trainings"]
    told = [family, str(tmp_path / "toys"), str(together), str(tiny)]
    subprocess.run([*started, *told], check=True, cwd=ROOT, timeout=600)

    assert left_in(together) == left_in(alone)
    for file in alone.rglob("losses.csv"):
        one, two = (
            [float(line.split(",")[1]) for line in path.read_text().splitlines()[1:]]
            for path in (file, together / file.relative_to(alone))
        )
        assert len(two) == len(one)
        assert two[0] == pytest.approx(one[0], rel=0.35)


def left_in(folder: Path) -> set[Path]:
    """The files of a training; a name made of the autoencoder's weights differs."""
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file() and file.suffix != ".npy"}
