"""Do distances of features grow as pictures look worse to a person, and are other real pictures the nearest?"""

# pyright: basic
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification

from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.doodle.scenes import SceneMaker
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation import features, measures
from limner.generators.training.evaluation.features import FEATURES, FILE, OwnFeatures, load_features
from tests.drawn_pictograms import build_pictograms, figure

pytestmark = pytest.mark.xdist_group("features")  # they share what takes long to make

Change = Callable[[Image.Image], Image.Image]
DIGIT = Image.fromarray(np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((16, 16), np.uint8))).convert("RGB")


def blurred(radius: float) -> Change:
    return lambda image: image.filter(ImageFilter.GaussianBlur(radius))


def noisy(spread: float) -> Change:
    random = np.random.default_rng(5)

    def change(image: Image.Image) -> Image.Image:
        levels = np.asarray(image) + random.normal(0, spread, (image.height, image.width, 3))
        return Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))

    return change


def turned(degrees: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        hue, *others = image.convert("HSV").split()
        return Image.merge(
            "HSV", [hue.point([(level + round(degrees * 255 / 360)) % 256 for level in range(256)]), *others]
        )

    return change


def squeezed(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return change


def pixelated(side: int) -> Change:
    return lambda image: image.reduce(side).resize(image.size, Image.Resampling.NEAREST)


def paled(share: float) -> Change:
    return lambda image: ImageEnhance.Color(image).enhance(share)


def replaced(share: float) -> Change:
    """Some of the pictures are others altogether."""
    random = Random(5)
    return lambda image: DIGIT if random.random() < share else image


LADDERS = {
    "blur": [blurred(radius) for radius in (0.5, 1, 2, 4)],
    "noise": [noisy(spread) for spread in (4, 8, 16, 32, 64)],
    "hue": [turned(degrees) for degrees in (10, 20, 40, 80)],
    "jpeg": [squeezed(quality) for quality in (60, 30, 15, 5)],
    "pixelation": [pixelated(side) for side in (2, 4, 8)],
    "saturation": [paled(share) for share in (0.75, 0.5, 0.25, 0)],
    "mixture": [replaced(share) for share in (0.1, 0.25, 0.5, 1)],
}


Scenes = Callable[[int, int], list[Image.Image]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    maker = SceneMaker(build_pictograms(tmp_path_factory.mktemp("pictograms"), figure))
    return lambda first, last: [maker.make(Random(number)).image for number in range(first, last)]


@pytest.fixture(scope="module")
def own() -> OwnFeatures:
    return OwnFeatures(FEATURES)


class Ladders:
    """Real pictures to compare with, those that are changed, and how far these and others are when nothing is."""

    def __init__(self, judge: OwnFeatures, scenes: Scenes, known: int, count: int) -> None:
        self._judge, self._known = judge, judge.features(scenes(0, known))
        self._changed = scenes(known, known + count)
        both = self._measure(self._changed), self._measure(scenes(known + count, known + 2 * count))
        self._floor = [max(pair) for pair in zip(*both, strict=True)]

    def check(self, ladder: Sequence[Change]) -> None:
        steps = [self._measure([change(image) for image in self._changed]) for change in ladder]
        for name, values in zip(("frechet", "kernel"), zip(self._floor, *steps, strict=True), strict=True):
            assert list(values) == sorted(values), name

    def _measure(self, images: Sequence[Image.Image]) -> tuple[float, float]:
        return distances(self._known, self._judge.features(images))


def distances(known: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    return measures.frechet_distance(known, seen).value, measures.kernel_distance(known, seen).value


@pytest.fixture(scope="module")
def few(own: OwnFeatures, scenes: Scenes) -> Ladders:
    return Ladders(own, scenes, 100, 40)


@pytest.fixture(scope="module")
def many(own: OwnFeatures, scenes: Scenes) -> Ladders:
    return Ladders(own, scenes, 500, 250)


@pytest.mark.slow
@pytest.mark.parametrize("name", LADDERS)
def test_distances_grow_along_each_ladder(many: Ladders, name: str):
    many.check(LADDERS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", LADDERS)
def test_what_a_person_sees_at_once_is_farther_than_other_real_pictures(few: Ladders, name: str):
    few.check([LADDERS[name][1], LADDERS[name][-1]])


@pytest.mark.slow
def test_colours_are_seen_where_all_real_pictures_are_grey(own: OwnFeatures, scenes: Scenes):
    coloured = scenes(0, 60)
    grey, other = ([image.convert("L") for image in images] for images in (coloured, scenes(60, 120)))
    known = own.features(grey)

    assert distances(known, own.features(coloured))[0] > 3 * distances(known, own.features(other))[0]


@pytest.mark.parametrize("size", [(8, 8), (128, 128), (96, 64), (300, 200)])
def test_pictures_of_any_size_have_features(own: OwnFeatures, size: tuple[int, int]):
    found = own.features([Image.new("RGB", size, "red"), Image.new("L", size)])

    assert len(found) == 2
    assert np.isfinite(found).all()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, scenes: Scenes) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(scenes(0, 130)):
        image.resize((32, 32)).save(folder / f"{number}.png")
    lines = [json.dumps({"file_name": f"{number}.png", "text": "a thing"}) for number in range(130)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.slow
def test_features_fitted_to_pictures_of_ones_own_have_a_spread_of_1_there(pictures: Path, tmp_path: Path):
    folder = PictureFolder(pictures)
    features.fit(folder, tmp_path)
    found = load_features(tmp_path).features([Image.open(picture.file) for picture in folder.pictures])

    assert found.mean(0) == pytest.approx(0, abs=1e-2)
    assert found.std(0) == pytest.approx(1, abs=0.05)
    assert {file.name for file in tmp_path.iterdir()} == {FILE}


def test_too_few_pictures_to_fit_features_to(pictures: Path, tmp_path: Path):
    folder = PictureFolder(pictures)
    del folder.pictures[100:]
    with pytest.raises(TrainingError, match=r"^There are 100 pictures, but it takes 128; add some\.$"):
        features.fit(folder, tmp_path)


def test_features_of_another_image_text_model_are_refused(tmp_path: Path):
    with safe_open(FEATURES / FILE, "np") as file:
        names = file.keys()
        save_file({name: file.get_tensor(name) for name in names}, tmp_path / FILE, {"reader": "another"})
    with pytest.raises(TrainingError, match="was fitted with another image-text model; run limner train"):
        load_features(tmp_path)


def test_torn_features_are_refused(tmp_path: Path):
    (tmp_path / FILE).write_bytes((FEATURES / FILE).read_bytes()[:1000])
    with pytest.raises(TrainingError, match="cannot be read; run limner train features again"):
        load_features(tmp_path)


@pytest.mark.parametrize("kept", [None, "pytorch_model.bin"])
def test_a_folder_without_a_safe_classifier_is_refused_and_nothing_is_downloaded(tmp_path: Path, kept: str | None):
    folder = tmp_path / "microsoft" / "resnet-18"
    if kept:
        sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
        ResNetForImageClassification(ResNetConfig(**sizes)).save_pretrained(folder)
        ConvNextImageProcessorPil(size={"shortest_edge": 32}).save_pretrained(folder)
        (folder / "model.safetensors").rename(folder / kept)
    with pytest.raises(TrainingError, match="holds no image classifier of transformers with safetensors weights"):
        load_features(folder)
