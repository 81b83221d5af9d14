# pyright: basic, reportPrivateImportUsage=false
"""What goes wrong in a training ends it with one sentence that can be followed."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from limner.bot.cli.arguments import build_parser
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.captioner import train_captioner
from limner.generators.training.families.clip_and_captioner import train_reading
from limner.generators.training.families.cyclegan import CycleGANRecipe, train_cyclegan
from limner.generators.training.loop import CHECKPOINT
from limner.generators.training.losses import LOSSES
from limner.generators.training.plan import Plan
from tests.generators.toys import write_squares
from tests.tiny_image_text import PLAN


def command(tmp_path: Path, *words: str) -> None:
    """What `limner train` does with these words."""
    arguments = build_parser().parse_args(["train", *words])
    arguments.models, arguments.training = {}, tmp_path
    arguments.kind(arguments)


@pytest.fixture
def recipe(tmp_path: Path) -> CycleGANRecipe:
    write_squares(tmp_path / "toys", 4, 16)
    toys = tmp_path / "toys"
    plan = Plan(samples=4, batch=2, learning_rate=2e-4, warmup=1)
    return CycleGANRecipe(a=toys, b=toys, folder=tmp_path / "out", width=8, blocks=1, plan=plan)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (CHECKPOINT, r"is damaged; put a copy of it back, or delete it"),
        pytest.param(LOSSES, r"is damaged; delete it", marks=pytest.mark.slow),
    ],
)
def test_a_torn_file_is_named_and_can_be_deleted(name: str, complaint: str, recipe: CycleGANRecipe):
    assert train_cyclegan(recipe)
    torn = recipe.folder / name
    torn.write_bytes(torn.read_bytes()[:-9])
    with pytest.raises(TrainingError, match=rf"^\S+{name} {complaint}[^.]+\.$"):
        train_cyclegan(recipe)
    torn.unlink()
    assert train_cyclegan(recipe)


def test_a_result_that_cannot_be_written_keeps_the_checkpoint(recipe: CycleGANRecipe):
    recipe.folder.mkdir()
    (recipe.folder / "model").touch()
    with pytest.raises(TrainingError, match=r"^The result cannot be written \(.*File exists.*\); the checkpoint"):
        train_cyclegan(recipe)
    assert (recipe.folder / CHECKPOINT).is_file()
    (recipe.folder / "model").unlink()
    assert train_cyclegan(recipe)


def test_too_few_pictures_for_an_image_text_model_are_told_at_once(tmp_path: Path):
    write_squares(tmp_path / "toys", 9, 16)
    told = {"encoder": None, "samples": 1, "chosen": {}, "minutes": None, "processes": 1}
    with pytest.raises(TrainingError, match="at least ten pictures"):
        train_reading(tmp_path / "toys", tmp_path / "out", **told)


def test_a_captioner_that_had_no_time_is_not_saved(tiny_image_text: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_image_text.parent, tmp_path / "more"))
    shutil.rmtree(folder / "image-text" / "captioner")
    for trained in folder.glob("captioner-*"):
        shutil.rmtree(trained)
    train_captioner(folder / "squares", folder, PLAN, 0)
    assert not (folder / "image-text" / "captioner").exists()


def test_the_advised_options_change_the_plan(tiny: Path, tmp_path: Path):
    write_squares(tmp_path / "toys", 4, 8)
    words = ("vae", str(tmp_path / "toys"), "--words", str(tiny), "--samples", "4", "--width", "8")
    for number, options in enumerate([(), ("--learning-rate", "0.0005", "--seed", "7")]):
        command(tmp_path, *words, "--out", str(tmp_path / str(number)), *options)
    plans = []
    for number in range(2):
        with safe_open(tmp_path / str(number) / CHECKPOINT, "pt") as file:
            plans.append(json.loads(file.metadata()["training"])["plan"])
    assert [(plan["learning_rate"], plan["seed"]) for plan in plans] == [(2e-3, 0), (5e-4, 7)]


LORA, OWN = ("lora", "doodle", "toys"), ("diffusion", "toys")


@pytest.mark.parametrize(
    ("words", "option", "values", "complaint"),
    [
        (("vae", "toys"), "--learning-rate", ("0", "-1", "nan", "inf", "quick"), "a number above 0, such as 0.0005"),
        (("vae", "toys"), "--samples", ("0", "-4", "1.5", "many", ""), "a whole number of 1 or more"),
        (("vae", "toys"), "--seed", ("-1", "1e3"), "a whole number of 0 or more"),
        (("vae", "toys"), "--processes", ("0", "-2"), "a whole number of 1 or more"),
        (("vae", "toys"), "--max-minutes", ("0", "-1", "nan"), "a number above 0, such as 30"),
        (("vae", "toys"), "--checkpoint-every", ("0", "-1", "nan"), "a number above 0, such as 60"),
        (("vae", "toys"), "--width", ("0", "-8", "9999"), "a whole number from 1 to 4,096"),
        (("cyclegan", "toys", "toys"), "--blocks", ("0", "101"), "a whole number from 1 to 100"),
        (LORA, "--rank", ("0", "-1", "1025", "x" * 99), "a whole number from 1 to 1,024"),
        (LORA, "--batch", ("0", "-1"), "a whole number of 1 or more"),
        (LORA, "--accumulate", ("0", "-1"), "a whole number of 1 or more"),
        (OWN, "--batch", ("0", "-1", "all"), "a whole number of 1 or more"),
        (
            OWN,
            "--widths",
            ("16,24", "0,32", "32,48", "-32,32", "64", ""),
            "two or more multiples of 32, such as 128,192",
        ),
        (("data", "toys"), "--side", ("0", "-8", "7", "5000"), "a whole number from 8 to 4,096"),
        (("data", "toys"), "--variants", ("-1",), "a whole number of 0 or more"),
        (("data", "toys"), "--test", ("1", "-0.1", "nan", "half"), "a number from 0 and below 1, such as 0.1"),
        (("scenes", "toys"), "--count", ("0", "-1"), "a whole number of 1 or more"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_in_one_sentence(
    words: tuple[str, ...], option: str, values: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
):
    for value in values:
        with pytest.raises(SystemExit):
            build_parser().parse_args(["train", *words, f"{option}={value}"])
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.endswith(f"{option}: it needs {complaint}, not {value[:40]}")


def test_going_on_with_other_pictures_is_told(recipe: CycleGANRecipe, capsys: pytest.CaptureFixture[str]):
    told = "has learnt from other pictures or captions; it goes on with these."
    train_cyclegan(recipe)
    train_cyclegan(recipe)
    assert told not in capsys.readouterr().out
    write_squares(recipe.a, 5, 16)
    assert train_cyclegan(recipe)
    assert told in capsys.readouterr().out
