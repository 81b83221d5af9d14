"""The small segmentation model: what it learns from, and what it finds in pictures of any shape."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from limner.generators.errors import ModelNotFound
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.segmentation import PartQuestions, train_segmentation
from limner.generators.training.plan import Plan
from limner.generators.vision.segmentation import load_segmentation
from tests.tiny_image_text import COLOURS, SIDE

PLAN = Plan(samples=1600, batch=16, learning_rate=5e-3, warmup=5, ema=0.9)
RED, GREEN = COLOURS


def squares(random: Random, shown: Sequence[str]) -> tuple[Image.Image, Image.Image]:
    """A picture of squares side by side, and the number of each at its pixels."""
    image, regions = Image.new("RGB", (SIDE, SIDE), "white"), Image.new("L", (SIDE, SIDE))
    for number, colour in enumerate(shown, 1):
        left, top = 2 + (number - 1) * 16 + random.randint(0, 3), random.randint(2, 18)
        box = (left, top, left + 10, top + 10)
        image.paste(COLOURS[colour], box)
        regions.paste(number, box)
    return image, regions


def write_squares(folder: Path, count: int = 40) -> Path:
    folder.mkdir(parents=True)
    lines: list[str] = []
    for number in range(count):
        random = Random(number)
        shown = random.choice(([RED, GREEN], [GREEN, RED], [RED], [GREEN]))
        image, regions = squares(random, shown)
        image.save(folder / f"{number:02d}.png")
        regions.save(folder / f"{number:02d}-regions.png")
        row = {"file_name": f"{number:02d}.png", "text": " ".join(shown), "regions": f"{number:02d}-regions.png"}
        lines.append(json.dumps(row | {"names": [[colour] for colour in shown], "others": []}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def squares_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("pictures") / "squares")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, squares_folder: Path, tiny_image_text: Path) -> Path:
    """A folder with a model that has learnt squares, and their figures."""
    folder = tmp_path_factory.mktemp("segmentation")
    figures = train_segmentation(squares_folder, folder, tiny_image_text, PLAN, minutes=None, processes=1)
    (folder / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
    return folder


def overlap(found: Image.Image, wanted: np.ndarray) -> float:
    seen = np.asarray(found) > 0
    return float((seen & wanted).sum() / (seen | wanted).sum())


@pytest.mark.slow
def test_the_named_square_is_found(trained: Path) -> None:
    model = load_segmentation(str(trained / "segmentation"))
    image, regions = squares(Random(99), [GREEN, RED])
    for number, colour in enumerate((GREEN, RED), 1):
        assert overlap(model.find(image, f"the {colour}"), np.asarray(regions) == number) > 0.6
    only_red, _ = squares(Random(98), [RED])
    assert overlap(model.find(only_red, "the red"), np.asarray(model.find(only_red, "the green")) > 0) < 0.05
    figures = json.loads((trained / "figures.json").read_text())
    assert figures["overlap"] > 0.6
    assert 0 < (trained / "segmentation" / "model.safetensors").stat().st_size < 8e6


@pytest.mark.slow
def test_a_wide_and_a_high_picture_are_read_in_squares(trained: Path) -> None:
    model = load_segmentation(str(trained / "segmentation"))
    wide, wanted = Image.new("RGB", (150, 64), "white"), Image.new("L", (150, 64))
    for box in ((8, 20, 28, 40), (110, 24, 130, 44)):
        wide.paste(COLOURS[RED], box)
        wanted.paste(1, box)
    found = model.find(wide, "the red")
    assert found.size == (150, 64)
    assert overlap(found, np.asarray(wanted) > 0) > 0.5
    high = model.find(wide.transpose(Image.Transpose.ROTATE_90), "the red")
    assert high.size == (64, 150)
    assert overlap(high, np.asarray(wanted.transpose(Image.Transpose.ROTATE_90)) > 0) > 0.5


def test_words_for_absent_things_share_no_word_with_those_shown(squares_folder: Path) -> None:
    pictures = PictureFolder(squares_folder).pictures
    questions = PartQuestions(pictures)
    asked = [(number, questions.ask(number, Random(seed))) for number in range(len(pictures)) for seed in range(40)]
    for number, question in asked:
        shown = pictures[number].regions
        assert shown
        colour = question.words.split()[-1]
        if question.region is None:
            assert (colour,) not in shown.names
        elif question.region:
            assert shown.names[question.region - 1] == (colour,)
    assert {question.region for _, question in asked} == {None, 0, 1, 2}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"regions": ""}, "has no regions"),
        ({"names": None}, "without words for each of them"),
        ({"names": [[""]]}, "without words for each of them"),
        ({"names": ["red"]}, "without words for each of them"),
        ({"others": "red"}, "without words for each of them"),
        ({"regions": "lost.png"}, "without their file"),
        ({"regions": "../00.png"}, "leads out of the folder"),
        ({"regions": "metadata.jsonl"}, "cannot be read"),
        ({"regions": "small.png"}, "not the size of the other pictures"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(
    tmp_path: Path, tiny_image_text: Path, damage: dict[str, object], sentence: str
) -> None:
    folder = write_squares(tmp_path / "squares", 10)
    Image.new("L", (8, 8)).save(folder / "small.png")
    rows = [json.loads(line) | damage for line in (folder / "metadata.jsonl").read_text().splitlines()]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(TrainingError, match=sentence):
        train_segmentation(folder, tmp_path, tiny_image_text, PLAN, minutes=None, processes=1)


def test_nothing_but_a_segmentation_folder_is_loaded(
    tmp_path: Path, squares_folder: Path, tiny_image_text: Path
) -> None:
    with pytest.raises(TrainingError, match="holds no image-text model"):
        train_segmentation(squares_folder, tmp_path, tmp_path / "none", PLAN, minutes=None, processes=1)
    for source in (tmp_path / "none", tiny_image_text):
        with pytest.raises(ModelNotFound):
            load_segmentation(str(source))
