# pyright: basic, reportPrivateImportUsage=false
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from limner.generators.training.families.lora import PLAN, LoRARecipe, train_lora
from limner.generators.training.loop import CHECKPOINT
from limner.generators.training.plan import Plan
from limner.generators.training.processes import launch
from tests.generators.short_trainings import FAMILIES, match_pairs, train
from tests.generators.toys import note_process, write_squares
from tests.tiny_image_text import build_words

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
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
@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_of_accelerate_make_what_one_makes(family: str, tiny: Path, tmp_path: Path):
    """The first mean loss is of the same pictures and weights, so chance inside the loss is all that differs."""
    write_squares(tmp_path / "toys", 12, 32)
    build_words(tmp_path / "words")
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(family, tmp_path / "toys", alone, str(tiny), 1)
    started = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    started += ["--main_process_port", "0", "-m", "tests.generators.short_trainings"]
    told = [family, str(tmp_path / "toys"), str(together), str(tiny)]
    subprocess.run([*started, *told], check=True, cwd=ROOT, timeout=600)

    one, other = left_in(alone), left_in(together)
    assert other.keys() == one.keys()
    for name in one:
        if name.endswith("losses.csv"):
            losses = [
                [float(line.split(",")[1]) for line in path.read_text().splitlines()[1:]]
                for path in (one[name], other[name])
            ]
            assert len(losses[0]) == len(losses[1]) == 3
            assert losses[1][0] == pytest.approx(losses[0][0], rel=0.35)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", ["gan", "cyclegan"])
def test_two_processes_that_were_stopped_learn_what_unbroken_ones_learn(family: str, tiny: Path, tmp_path: Path):
    """In more steps than a pool of pictures takes to be full, and than the scores of an augmentation are counted in."""
    write_squares(tmp_path / "toys", 12, 32)
    plan = Plan(samples=80, batch=4, learning_rate=2e-3, warmup=2)
    for folder, stops in (("unbroken", [None]), ("stopped", [0.0, 0.005, None])):
        for minutes in stops:
            train(family, tmp_path / "toys", tmp_path / folder, str(tiny), 2, plan=plan, minutes=minutes)
    left, right = (load_file(tmp_path / name / CHECKPOINT) for name in ("unbroken", "stopped"))
    assert [name for name in left if not left[name].equal(right[name])] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("processes", [2, 3])
def test_pairs_are_told_apart_from_those_of_other_processes(processes: int, tmp_path: Path):
    """Steps of five pairs: processes have parts of different sizes, and learn exactly what one process learns."""
    match_pairs(tmp_path / "alone")
    launch(match_pairs, processes, tmp_path / "together", batch=5)
    left, right = (load_file(tmp_path / name / CHECKPOINT) for name in ("alone", "together"))
    assert all(left[name].allclose(right[name], rtol=1e-4, atol=1e-6) for name in left)
    tables = [(tmp_path / name / "losses.csv").read_text().splitlines() for name in ("alone", "together")]
    losses = [[float(line.split(",")[1]) for line in table[1:]] for table in tables]
    assert losses[1] == pytest.approx(losses[0], abs=2e-5)


def left_in(folder: Path) -> dict[str, Path]:
    """The files of a training by name, without what differs: a part of the name that is made of weights."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".npy"]
    return {re.sub(r"-[0-9a-f]{16}/", "/", str(file.relative_to(folder))): file for file in files}
