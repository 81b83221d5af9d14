# pyright: basic, reportPrivateImportUsage=false
import os
from pathlib import Path

import pytest

from limner.generators.training.families.lora import PLAN, Recipe, train_lora
from limner.generators.training.loop import CHECKPOINT, Plan
from limner.generators.training.processes import launch
from tests.generators.toys import note_process, write_squares


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
    recipe = Recipe(model=str(tiny), pictures=tmp_path / "toys", folder=out, rank=2, plan=plan)
    assert train_lora(recipe)
    assert (out / CHECKPOINT).is_file()
