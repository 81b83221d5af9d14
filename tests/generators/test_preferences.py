# pyright: basic
"""What people like: learnt from pairs, measured on people who are kept back, refused where it would be guessing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from limner.generators.errors import ModelNotFound
from limner.generators.training import preference_kinds
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.preferences import read_preferences
from limner.generators.vision.clip import FolderImageTextModel
from limner.generators.vision.preferences import Reward, Rows, described
from tests.tiny_image_text import square


def write(folder: Path, *, members: int, each: int) -> Path:
    """Choices of members who all like red squares."""
    folder.mkdir(exist_ok=True)
    lines: list[str] = []
    for number in range(members * each):
        names = {side: f"{side}-{number}.png" for side in ("better", "worse")}
        for side, colour in (("better", "red"), ("worse", "green")):
            square(colour, 4 + number % 7).save(folder / names[side])
        lines.append(json.dumps({"id": number, "idea": "a square", "member": number % members + 1, **names}))
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    return folder / "pairs.jsonl"


def train(pairs: Path, out: Path, model: Path) -> None:
    preference_kinds.preferences(argparse.Namespace(pairs=pairs, out=out, image_text_source=str(model)))


@pytest.mark.slow
def test_a_taste_is_learnt_and_known_of_people_who_were_kept_back(
    tmp_path: Path, tiny_image_text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write(tmp_path / "pairs", members=6, each=10)
    (tmp_path / "pairs" / "worse-0.png").unlink()
    train(pairs, tmp_path / "liked", tiny_image_text)
    said = capsys.readouterr().out
    assert "1 choices are left out" in said
    assert "1.00 (0.94 - 1.00, 59) choices of members who were kept back that it is right about" in said
    assert "That may be chance" not in said

    reward, model = Reward.load(tmp_path / "liked"), FolderImageTextModel.load(str(tiny_image_text))
    green, red = reward.of(described(model, [square("green", 12), square("red", 12)], "a square"))
    assert red > green
    with pytest.raises(ModelNotFound):
        reward.of(np.ones((1, 3)))
    with pytest.raises(ModelNotFound):
        Reward.load(tmp_path)


def test_a_few_people_and_other_files_are_refused(tmp_path: Path) -> None:
    few = r"^60 choices of 3 members are too few to learn what people like; it takes 50 of 5, so ask more people"
    with pytest.raises(TrainingError, match=few):
        read_preferences(write(tmp_path / "pairs", members=3, each=20))
    for text in ('{"idea": "a"}', "[1, 2]", "no json", '{"idea": 1, "member": "x", "better": "a", "worse": "b"}'):
        (tmp_path / "other.jsonl").write_text(text)
        with pytest.raises(TrainingError, match=r"^Line 1 of other.jsonl is no choice of a picture"):
            read_preferences(tmp_path / "other.jsonl")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_preferences(tmp_path / "none")


def test_chance_is_not_taken_for_taste() -> None:
    """Without a taste in them no weights are certain, and with one those that matter are."""
    one, other = np.random.default_rng(0).normal(size=(2, 200, 8))
    taste = (one[:, 0] > other[:, 0])[:, None]
    better: Rows = np.where(taste, one, other)
    worse: Rows = np.where(taste, other, one)
    learnt = Reward.fit(better, worse).weights
    guessed = Reward.fit(one, other).weights
    assert learnt[0] > 5 * np.abs(learnt[1:]).max()
    assert np.abs(guessed).max() < learnt[0] / 4
