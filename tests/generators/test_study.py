# pyright: basic
"""A study with people: who painted what is hidden, and what they chose is counted and tested."""

import csv
import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation import command
from limner.generators.training.evaluation.study import Outcome, blind, count, key_of, write_answers
from tests.generators.test_evaluation import arguments

PROMPTS = [f"a cat number {number}" for number in range(9)]


def answered(folder: Path, name: str, choices: str, delimiter: str = ",") -> Path:
    """A copy that somebody has filled in, in whichever form their program writes tables."""
    file = folder / name
    with file.open("w", encoding="utf-8-sig", newline="") as lines:
        rows = [("pair", "prompt", "choice"), *((number, "x", one) for number, one in enumerate(choices, 1))]
        csv.writer(lines, delimiter=delimiter).writerows(rows)
    return file


def test_both_models_are_a_equally_often_and_choices_are_counted_by_model(tmp_path: Path):
    pairs = blind(PROMPTS, ("doodle", "mine"), seed=0)
    assert sorted(pair.models.count("doodle") for pair in pairs) == [1] * 9
    assert sum(pair.models[0] == "mine" for pair in pairs) == 5
    assert pairs == blind(PROMPTS, ("doodle", "mine"), seed=0)
    file = tmp_path / "study.csv"
    write_answers(file, pairs)
    assert "doodle" not in file.read_text("utf-8")
    likes_mine = "".join("A" if pair.models[0] == "mine" else "b" for pair in pairs)
    people = [answered(tmp_path, "ada.csv", likes_mine), answered(tmp_path, "bob.csv", "=" * 8 + likes_mine[8], ";")]

    found = count(key_of(file), people)
    assert (found.wins, found.ties, found.people) == ({"mine": 10, "doodle": 0}, 8, 2)
    assert found.chance == pytest.approx(2 / 2**10)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (5, 5), (7, 3), (3, 17), (300, 200)])
def test_the_sign_test_is_the_exact_one(one: int, other: int):
    expected = binomtest(one, one + other).pvalue if one + other else 1
    assert Outcome({"a": one, "b": other}, 4, 1).chance == pytest.approx(expected)


def test_what_was_not_filled_in_is_named(tmp_path: Path):
    write_answers(tmp_path / "study.csv", blind(PROMPTS, ("doodle", "mine"), seed=0))
    key = key_of(tmp_path / "study.csv")
    with pytest.raises(TrainingError, match=r"^In study.csv, pair 1 needs A, B or = as its choice; fill it in\.$"):
        count(key, [tmp_path / "study.csv"])
    with pytest.raises(TrainingError, match=r"^study.csv is no table with the columns pair, A, B\.$"):
        count(tmp_path / "study.csv", [])
    with pytest.raises(TrainingError, match=r"none\.csv cannot be read"):
        count(key, [tmp_path / "none.csv"])


def test_two_models_paint_a_sheet_without_their_names(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "prompts.txt").write_text("a cat\n\na dog\n")
    cards = [ModelCard.read(name, str(tiny), num_inference_steps=steps) for name, steps in (("tiny", 1), ("slow", 2))]
    told = arguments(tmp_path / "study.png", prompts=tmp_path / "prompts.txt", study="slow")
    command.run(told, *cards, image_text_model="", device="cpu")

    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 4
    assert Path(found["sheet"]).is_file()
    [first, second] = csv.DictReader(Path(found["key"]).read_text("utf-8-sig").splitlines())
    assert {first["A"], second["A"]} == {"tiny", "slow"}
    told.answers, told.key = [answered(tmp_path, "ada.csv", "AB")], Path(found["key"])
    command.count_answers(told)
    assert json.loads(capsys.readouterr().out)["chosen"] == {first["A"]: 2, first["B"]: 0}
    with pytest.raises(TrainingError, match="compares two different models"):
        command.run(told, cards[0], cards[0], image_text_model="", device="cpu")
