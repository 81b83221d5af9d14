"""Safety classifiers: open_nsfw as it comes in its package, and models from a folder; all on pictures of our own."""

# pyright: basic

import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from transformers import (
    CLIPConfig,
    CLIPModel,
    ViTConfig,
    ViTForImageClassification,
)

from limner.generators.errors import ModelNotFound
from limner.generators.installed import GROUPS
from limner.generators.vision.open_nsfw import OpenNsfwClassifier, load_classifier, main
from limner.generators.vision.transformers_nsfw import TransformersClassifier
from tests.faulty_plugin import entry_point
from tests.tiny_models import tiny_tokenizer

TEXTS = {"unwanted": ["a skull"], "wanted": ["a house", "a tree"]}


def drawing() -> Image.Image:
    picture = Image.new("RGB", (96, 64), "skyblue")
    ImageDraw.Draw(picture).ellipse((30, 10, 70, 50), fill="orange")
    return picture


def write_processor(folder: Path, **names: str) -> None:
    """What folders on the hub have beside the weights."""
    usual = {"do_resize": True, "size": {"height": 16, "width": 16}, "do_center_crop": False, "do_rescale": True}
    (folder / "preprocessor_config.json").write_text(json.dumps({**names, **usual, "do_normalize": True}))


@pytest.fixture(scope="module")
def open_nsfw() -> OpenNsfwClassifier:
    return OpenNsfwClassifier.create(model="", unwanted=(), wanted=())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer of one layer, with three labels."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("classifier")
    labels = {"id2label": {0: "neutral", 1: "porn", 2: "sexy"}, "label2id": {"neutral": 0, "porn": 1, "sexy": 2}}
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=16,
        patch_size=8,
        **labels,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    write_processor(folder, image_processor_type="ViTImageProcessor")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of one layer on each side."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = tiny_tokenizer(folder)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    words = {**small, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    pictures = {**small, "image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=words, vision_config=pictures, projection_dim=8)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_processor(folder, image_processor_type="CLIPImageProcessor", processor_class="CLIPProcessor")
    return folder


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_open_nsfw_finds_a_drawing_harmless_in_every_mode(open_nsfw: OpenNsfwClassifier, mode: str):
    seen = open_nsfw.look(drawing().convert(mode))

    assert 0 <= seen.score < 0.2
    assert seen.scores["explicit"] == seen.score
    assert sum(seen.scores.values()) == pytest.approx(1, abs=1e-5)


def test_open_nsfw_tells_pictures_apart(open_nsfw: OpenNsfwClassifier):
    """Skin alone makes it more careful, so something is really looked at."""
    skin = open_nsfw.look(Image.new("RGB", (128, 128), (224, 180, 150))).score

    assert skin > 5 * open_nsfw.look(drawing()).score
    assert open_nsfw.look(Image.new("RGB", (128, 128), (224, 180, 150))).score == skin


def test_a_classifier_from_a_folder_sums_what_is_unwanted(classifier: Path):
    seen = TransformersClassifier.create(model=str(classifier), unwanted=(), wanted=()).look(drawing())

    assert seen.scores.keys() == {"neutral", "porn", "sexy"}
    assert seen.score == pytest.approx(seen.scores["porn"] + seen.scores["sexy"])
    assert sum(seen.scores.values()) == pytest.approx(1)


def test_the_operator_names_the_labels(classifier: Path):
    seen = TransformersClassifier.create(model=str(classifier), unwanted=["Neutral"], wanted=()).look(drawing())

    assert seen.score == pytest.approx(seen.scores["neutral"])


def test_labels_that_mean_nothing_are_told_with_those_that_there_are(classifier: Path):
    with pytest.raises(ModelNotFound, match=r"safety_classifier_unwanted.*neutral, porn, sexy"):
        TransformersClassifier.create(model=str(classifier), unwanted=["cats"], wanted=())


def test_clip_compares_a_picture_with_texts(clip: Path):
    classifier = TransformersClassifier.create(model=str(clip), **TEXTS)

    seen, of_noise = classifier.look(drawing()), classifier.look(Image.effect_noise((64, 64), 90))

    assert list(seen.scores) == ["a skull", "a house", "a tree"]
    assert seen.score == seen.scores["a skull"] != of_noise.score
    assert sum(seen.scores.values()) == pytest.approx(1)


def test_what_is_neither_is_told(tmp_path: Path):
    with pytest.raises(ModelNotFound, match="neither an image classifier nor CLIP-style"):
        TransformersClassifier.create(model=str(tmp_path), unwanted=(), wanted=())


def test_pickled_weights_are_not_loaded(classifier: Path, tmp_path: Path):
    for file in classifier.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")

    with pytest.raises(ModelNotFound):
        TransformersClassifier.create(model=str(tmp_path), unwanted=(), wanted=())


def test_classifiers_come_by_the_name_of_their_entry_point():
    assert isinstance(load_classifier("opennsfw", model="", unwanted=(), wanted=()), OpenNsfwClassifier)
    with pytest.raises(ModelNotFound, match="'none'"):
        load_classifier("none")


@pytest.mark.parametrize("group", GROUPS)
def test_a_package_may_name_its_classifier_in_the_old_group_too(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    entry_point(tmp_path, group, "theirs = limner.generators.vision.open_nsfw:OpenNsfwClassifier")
    monkeypatch.syspath_prepend(tmp_path)

    assert isinstance(load_classifier("theirs", model="", unwanted=(), wanted=()), OpenNsfwClassifier)


def test_doctor_is_told_how_long_a_look_takes_or_what_is_wrong(tmp_path: Path):
    nothing = {"model": str(tmp_path), "unwanted": [], "wanted": []}

    assert 0 < main({"kind": "opennsfw", **nothing})["milliseconds"] < 60_000
    assert "neither" in json.dumps(main({"kind": "transformers", **nothing}))
