# pyright: basic
import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.data.picture_folder import CaptionedPicture
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation import command, measures
from limner.generators.training.evaluation.agreement import Questions
from limner.generators.vision.clip import FolderImageTextModel
from tests.tiny_image_text import COLOURS, colour_squares, square


def points(count: int = 60, mean: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(1).normal(mean, spread, (count, 4)).astype(np.float32)


def test_the_same_pictures_are_no_distance_apart():
    assert measures.frechet_distance(points(), points()).value == pytest.approx(0, abs=1e-6)
    assert [found.value for found in measures.precision_and_recall(points(), points())] == [1, 1]
    assert measures.inception_score(np.zeros((10, 3), np.float32)).value == pytest.approx(1)


def test_the_frechet_distance_is_that_of_two_normal_distributions():
    near, far = points(4000), points(4000) * 2 + 3
    wanted = 4 * 3**2 + 4 * (1 + 4 - 2 * 2)  # difference of means; of variances 1 and 4
    assert measures.frechet_distance(near, far).value == pytest.approx(wanted, rel=0.05)


class AsTheyAre(nn.Module):
    num_features = 4

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


@pytest.mark.filterwarnings("ignore:Metric .* will save all extracted features in buffer")
@pytest.mark.parametrize("count", [3, 60])
def test_distances_are_those_of_torchmetrics(count: int):
    real, painted = points(60), points(count, 0.3, 1.5)
    known = (
        FrechetInceptionDistance(AsTheyAre()).set_dtype(torch.float64),
        KernelInceptionDistance(AsTheyAre(), subsets=1, subset_size=count),
    )
    for metric in known:
        metric.update(torch.from_numpy(real if metric is known[0] else real[:count]), real=True)
        metric.update(torch.from_numpy(painted), real=False)

    assert measures.frechet_distance(real, painted).value == pytest.approx(float(known[0].compute()), rel=1e-6)
    wanted = float(known[1].compute()[0])
    assert measures.kernel_distance(real[:count], painted).value == pytest.approx(wanted, rel=1e-4)


def test_distances_grow_with_the_difference():
    kernel = [measures.kernel_distance(points(), points(mean=mean)).value for mean in (0.0, 0.5, 2.0)]
    assert kernel == sorted(kernel)
    assert kernel == [measures.kernel_distance(points(), points(mean=mean)).value for mean in (0.0, 0.5, 2.0)]


@pytest.mark.slow
@pytest.mark.parametrize("distance", [measures.frechet_distance, measures.kernel_distance])
def test_an_interval_is_as_wide_as_other_pictures_would_make_it(distance: Callable[..., measures.Figure]):
    random = np.random.default_rng(2)
    draws = [(random.normal(0, 1, (200, 4)), random.normal(0.5, 1, (100, 4))) for _ in range(60)]
    figures = [distance(*draw) for draw in draws]
    spread = np.std([figure.value for figure in figures])
    told = np.mean([(figure.high - figure.low) / 2 / measures.Z for figure in figures])

    assert told == pytest.approx(spread, rel=0.35)
    assert {figure.samples for figure in figures} == {100}


def test_a_share_has_an_interval_even_where_all_are_right():
    assert measures.share([True] * 10) == (1, pytest.approx(0.7225, abs=1e-3), 1, 10)
    assert measures.share([True, False] * 50)[:3] == (
        0.5,
        pytest.approx(0.4038, abs=1e-3),
        pytest.approx(0.5962, abs=1e-3),
    )


def test_precision_without_recall_and_the_other_way_round():
    narrow, wide = points(200, spread=0.2), points(200, spread=2)
    precision, recall = measures.precision_and_recall(wide, narrow)
    assert precision.low > 0.9
    assert recall.high < 0.3
    assert measures.precision_and_recall(narrow, wide) == (recall, precision)


def test_a_sure_and_varied_painter_has_the_highest_inception_score():
    assert measures.inception_score(np.eye(5, dtype=np.float32) * 100).value == pytest.approx(5, rel=1e-3)


def test_what_comes_back_unchanged_is_alike():
    image = square("red")
    noisy = Image.fromarray(np.asarray(image) // 2)
    assert measures.fidelity([image] * 2, [image] * 2)[1].value == pytest.approx(1, abs=1e-3)
    noise, likeness = measures.fidelity([image] * 2, [noisy] * 2)
    mean = np.square(np.asarray(image) / 255 - np.asarray(noisy) / 255).mean()
    assert noise.value == pytest.approx(-10 * np.log10(mean), abs=0.01)
    assert likeness.value < 0.9


def test_places_count_from_the_best_that_is_right():
    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]])
    assert measures.places(scores, [[0], [1, 2]]) == [2, 1]
    assert measures.first([0, 2, 1], among=2).value == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares")
    colour_squares(folder)
    return folder


def test_real_pictures_agree_with_their_captions(tiny_image_text: Path, squares: Path):
    questions = Questions.of(colour_squares(squares), 12)
    image_text_model = FolderImageTextModel.load(str(tiny_image_text))
    assert len(questions.pictures) == 12
    assert not {*questions.pictures} & {*questions.references}
    assert len(Questions.of(colour_squares(squares), 30).pictures) == 15, "half of them are compared with"

    assert questions.nouns == tuple(sorted(f"{colour} square" for colour in COLOURS))
    figures = questions.judge_real(image_text_model, [Image.open(picture.file) for picture in questions.pictures])
    values = {name: figure.value for name, figure in figures.items()}
    names = ("caption_first_of_2", "atom_noun", "atom_colour", "all_atoms", "noun_first", "noun_in_first_five")
    assert values == dict.fromkeys(names, 1.0)
    wrong = questions.judge(image_text_model, [square("green")] * len(questions.prompts))
    assert wrong["noun_first"].value == pytest.approx(1 / 2)
    assert wrong["atom_colour"].value == wrong["all_atoms"].value == pytest.approx(1 / 2, abs=0.1)


def test_a_caption_of_the_same_thing_is_no_rival():
    told = [("a small cat", "cat"), ("a cat", "cat"), ("a dog", "dog"), ("a red ship", "ship"), ("a dog", "dog")]
    pictures = tuple(CaptionedPicture(Path(), text, (noun,)) for text, noun in told)

    class Told(FolderImageTextModel):
        def __init__(self) -> None: ...

        def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
            near = {"a cat": 0.9, "a small cat": 0.8, "a dog": 0.7, "a red ship": 0.6, "a ship": 0.5}
            return np.array([[near.get(text, 0) for text in texts]] * len(images))

    figures = Questions(pictures, (), ("cat", "dog", "ship"), (), ()).judge_real(Told(), [square("red")] * 5)
    assert figures["caption_first_of_3"].value == 2 / 5  # both cats: no other cat is a rival; dog and ship lose to cats


@pytest.mark.parametrize(("count", "among"), [(30, 30), (60, 60), (101, 100), (140, 100)])
def test_a_caption_stands_among_exactly_as_many_as_the_name_says(count: int, among: int):
    pictures = tuple(CaptionedPicture(Path(), f"a thing {number}") for number in range(count))
    asked: list[int] = []

    class Even(FolderImageTextModel):
        def __init__(self) -> None: ...

        def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
            asked.append(len(set(texts)))
            return np.zeros((len(images), len(texts)))

    questions = Questions(pictures[:10], pictures[10:], (), (), ())
    assert set(questions.judge_real(Even(), [square("red")] * 10)) == {f"caption_first_of_{among}"}
    assert asked == [count]


def arguments(out: Path, **more) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    words = ["tiny", "--out", str(out), "--count", "6", "--json"]
    return parser.parse_args([*words, *(text for name, value in more.items() for text in (f"--{name}", str(value)))])


def test_all_figures_of_a_model_and_its_sheet(
    tiny: Path, tiny_image_text: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    card = ModelCard.read("tiny", str(tiny), num_inference_steps=2)
    told = arguments(tmp_path / "sheet.png", pictures=squares)
    command.run(told, card, image_text_model=str(tiny_image_text), device="cpu")

    found = json.loads(capsys.readouterr().out)
    command.show(card, found)
    table = capsys.readouterr().out
    assert all(name in table for name in found["painted"])
    assert "first among 2 of" in " ".join(table.replace("│", " ").split())
    wanted = {
        name for name in command.MEANINGS if not name.startswith(("unseen", "caption", "atom_count", "atom_relation"))
    } | {"caption_first_of_2"}
    assert set(found["painted"]) == wanted
    assert found["real"]["caption_first_of_2"] == 1.0
    assert found["features"] == "Limner"
    assert (found["pictures"], found["references"], found["part"]) == (6 + 2, 24, "all")
    assert found["samples"]["painted"]["frechet_distance"] == found["samples"]["real"]["frechet_distance"] == 6
    for column in ("painted", "real"):
        for name, (low, high) in found["intervals"][column].items():
            assert low <= found[column][name] <= high
    assert found["painted"]["frechet_distance"] > 10 * found["real"]["frechet_distance"], "an untrained model"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 6 * card.width


@pytest.mark.slow
def test_only_the_pictures_to_test_with_are_compared_with(
    tiny: Path, tiny_image_text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    colour_squares(tmp_path / "squares" / "train", 20)
    colour_squares(tmp_path / "squares" / "test", 9)
    told = arguments(tmp_path / "sheet.png", pictures=tmp_path / "squares")
    command.run(
        told,
        ModelCard.read("tiny", str(tiny), num_inference_steps=1),
        image_text_model=str(tiny_image_text),
        device="cpu",
    )

    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["part"], found["samples"]["real"]["psnr" if "psnr" in found["real"] else "precision"]) == ("test", 4)
    assert found["references"] == 5
    assert printed.err.splitlines() == [
        "limner: fewer than 2,000 painted or real pictures; distances of so few say little "
        "(--count 2000, and twice as many pictures)."
    ]


@pytest.mark.slow
def test_distances_by_the_owners_own_classifier(
    tiny: Path, tiny_image_text: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    ResNetForImageClassification(ResNetConfig(**sizes)).save_pretrained(tmp_path / "inception")
    ConvNextImageProcessorPil(size={"shortest_edge": 32}).save_pretrained(tmp_path / "inception")
    card = ModelCard.read("tiny", str(tiny), num_inference_steps=1)
    told = arguments(tmp_path / "sheet.png", pictures=squares, inception=tmp_path / "inception")
    command.run(told, card, image_text_model=str(tiny_image_text), device="cpu")

    found = json.loads(capsys.readouterr().out)
    assert found["features"] == "inception"
    assert found["painted"]["frechet_distance"] > 0


def test_prompts_of_a_file_are_painted(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "prompts.txt").write_text("a red fox\n\na blue whale\n", encoding="utf-8")
    card = ModelCard.read("tiny", str(tiny), num_inference_steps=1)
    told = arguments(tmp_path / "sheet.png", prompts=tmp_path / "prompts.txt")
    command.run(told, card, image_text_model="", device="cpu")

    assert json.loads(capsys.readouterr().out)["pictures"] == 2
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({}, "Give captioned pictures"),
        ({"prompts": "nowhere.txt"}, "nowhere.txt cannot be read: No such file"),
        ({"pictures": "nothing"}, "no captioned pictures"),
        ({"pictures": "squares"}, "There is no image-text model"),
    ],
)
def test_what_is_missing_is_one_sentence(tiny: Path, tmp_path: Path, more: dict[str, str], complaint: str):
    colour_squares(tmp_path / "squares", 2)
    more = {name: str(tmp_path / value) for name, value in more.items()}
    with pytest.raises(TrainingError, match=complaint):
        command.run(
            arguments(tmp_path / "sheet.png", **more),
            ModelCard.read("tiny", str(tiny)),
            image_text_model="",
            device="cpu",
        )


@pytest.mark.parametrize(
    ("files", "more", "read_as_pictures"),
    [
        (["metadata.jsonl"], {}, True),
        (["train/metadata.jsonl"], {}, True),
        (["training/metadata.jsonl", "limner.db"], {}, False),
        (["metadata.jsonl"], {"pictures": "elsewhere"}, False),
        (["metadata.jsonl"], {"prompts": "prompts.txt"}, False),
        ([], {}, False),
    ],
)
def test_the_old_name_of_pictures_is_read_for_one_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: list[str], more: dict[str, str], read_as_pictures: bool
):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    told = arguments(tmp_path / "sheet.png", **more)
    told.data = tmp_path
    given = told.pictures
    command.read_old_name(told)

    assert told.pictures == (tmp_path if read_as_pictures else given)
    assert told.data == (None if read_as_pictures else tmp_path)
    assert ("name captioned pictures with --pictures" in capsys.readouterr().err) == read_as_pictures


@pytest.mark.slow
def test_nothing_but_the_figures_is_printed(tiny: Path, tiny_image_text: Path, squares: Path, tmp_path: Path):
    words = ["evaluate", str(tiny), "--data", str(squares), "--count", "4", "--out", str(tmp_path / "sheet.png")]
    environment = os.environ | {"LIMNER_IMAGE_TEXT_MODEL": str(tiny_image_text), "LIMNER_DEVICE": "cpu"}
    command = [sys.executable, "-m", "limner", "--data", str(tmp_path / "data"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)

    assert [line.split()[:2] for line in done.stderr.splitlines()] == [
        ["limner:", "--data"],  # means the data folder now
        ["limner:", "the"],  # pictures have no part `test`
        ["limner:", "fewer"],  # than 2,000 pictures
    ]
    assert "frechet_distance" in done.stdout
    assert "\r" not in done.stdout


@pytest.mark.parametrize("out", ["sheet", "sheet.txt", "nowhere/sheet.png"])
def test_where_the_sheet_cannot_go_is_told_before_anything_is_painted(tmp_path: Path, out: str):
    card = ModelCard.read("nothing", str(tmp_path / "nothing"))
    with pytest.raises(TrainingError, match=r"^No sheet can be written to .*; name a \.png file"):
        command.run(arguments(tmp_path / out), card, image_text_model="", device="cpu")


def test_the_figures_are_told_even_if_the_sheet_cannot_be_written(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "prompts.txt").write_text("a red fox", encoding="utf-8")
    (tmp_path / "sheet.png").mkdir()
    card = ModelCard.read("tiny", str(tiny), num_inference_steps=1)
    with pytest.raises(TrainingError, match=r"^The sheet cannot be written"):
        command.run(
            arguments(tmp_path / "sheet.png", prompts=tmp_path / "prompts.txt"), card, image_text_model="", device="cpu"
        )

    assert json.loads(capsys.readouterr().out)["painted"]["pictures_per_second"] > 0
