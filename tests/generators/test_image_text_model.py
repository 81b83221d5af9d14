# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    VisionTextDualEncoderModel,
)

from limner.generators.errors import ModelNotFound
from limner.generators.training.data.text_encoder import LENGTH
from limner.generators.training.families.captioner import caption_tokenizer, train_captioner
from limner.generators.training.families.clip import retrieval, settled, soften
from limner.generators.training.loop import Trainer
from limner.generators.training.plan import Plan
from limner.generators.vision.clip import FolderImageTextModel
from tests.tiny_image_text import COLOURS, PLAN, build_words, colour_squares, image_text_task, square

PICTURES = [square(colour, 9) for colour in COLOURS]
TEXTS = [f"a {colour} square" for colour in COLOURS]


def test_the_right_words_are_nearest(tiny_image_text: Path):
    scores = FolderImageTextModel.load(str(tiny_image_text)).score(PICTURES, TEXTS)

    assert scores.argmax(1).tolist() == [0, 1]
    assert abs(scores).max() <= 1.0001


def test_a_picture_is_put_into_words_and_always_the_same(tiny_image_text: Path):
    model = FolderImageTextModel.load(str(tiny_image_text))

    assert model.can_describe
    assert [model.describe(picture) for picture in PICTURES] == TEXTS
    assert model.describe(square("green", 4).resize((90, 60)).convert("P")) == "a green square"


def test_features_of_like_pictures_are_near(tiny_image_text: Path):
    found = FolderImageTextModel.load(str(tiny_image_text)).features(
        [square("red", 4), square("red", 10), square("green", 4)]
    )

    assert (found**2).sum(1) == pytest.approx([1, 1, 1], abs=1e-3)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2


def test_the_stock_class_loads_it_without_a_warning(tiny_image_text: Path, caplog: pytest.LogCaptureFixture):
    logging.getLogger("transformers").addHandler(caplog.handler)
    loaded: Any = VisionTextDualEncoderModel.from_pretrained(tiny_image_text, output_loading_info=True)
    model, told = loaded

    assert not any(told.values())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert {part.dtype for part in model.parameters()} == {torch.float16}
    assert {file.suffix for file in tiny_image_text.iterdir() if file.is_file()} == {".json", ".safetensors"}
    assert str(tiny_image_text.parent) not in (tiny_image_text / "config.json").read_text()


def test_any_clip_folder_can_take_its_place(tmp_path: Path):
    torch.manual_seed(0)
    tokenizer = caption_tokenizer(TEXTS)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = sizes | ends | {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    vision = sizes | {"image_size": 32, "patch_size": 16}
    clip_model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    clip_model.save_pretrained(tmp_path)
    CLIPProcessor(CLIPImageProcessorPil(size=32, crop_size=32), tokenizer).save_pretrained(tmp_path)

    model = FolderImageTextModel.load(str(tmp_path))
    processor = CLIPProcessor.from_pretrained(tmp_path)
    inputs = processor(text=TEXTS, images=PICTURES, return_tensors="pt", padding="max_length")
    wanted = clip_model(**inputs).logits_per_image / clip_model.logit_scale.exp()

    assert not model.can_describe
    assert model.score(PICTURES, TEXTS) == pytest.approx(wanted.detach().numpy(), abs=1e-5)


def test_a_folder_that_is_not_there_is_told_as_such(tmp_path: Path):
    with pytest.raises(ModelNotFound):
        FolderImageTextModel.load(str(tmp_path / "nothing"))


def test_the_loss_falls(tiny_image_text: Path):
    for folder in (tiny_image_text.parent, *tiny_image_text.parent.glob("captioner-*")):
        lines = (folder / "losses.csv").read_text().splitlines()[1:]
        losses = [float(line.split(",")[1]) for line in lines]
        assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


@pytest.mark.slow
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path):
    pictures, known = colour_squares(tmp_path / "squares"), build_words(tmp_path / "words")
    short = Plan(samples=72, batch=12, learning_rate=3e-3, warmup=2)
    unbroken = Trainer(image_text_task(pictures, known), short, tmp_path / "one")
    assert unbroken.run(show=False)

    assert not Trainer(image_text_task(pictures, known), short, tmp_path / "two").run(minutes=0, show=False)
    resumed = Trainer(image_text_task(pictures, known), short, tmp_path / "two")
    assert resumed.run(show=False)

    assert [loss for _, loss in resumed.losses] == pytest.approx([loss for _, loss in unbroken.losses], abs=1e-6)


@pytest.mark.slow
def test_a_model_that_has_learnt_more_gets_a_captioner_of_its_own(tiny_image_text: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_image_text.parent, tmp_path / "more"))
    model: Any = VisionTextDualEncoderModel.from_pretrained(folder / "image-text")
    with torch.no_grad():
        next(model.vision_model.parameters()).mul_(2)
    model.half().save_pretrained(folder / "image-text")

    train_captioner(folder / "squares", folder, PLAN, None)

    assert len(list(folder.glob("captioner-*"))) == 2
    assert (folder / "image-text" / "captioner" / "model.safetensors").read_bytes() != (
        tiny_image_text / "captioner" / "model.safetensors"
    ).read_bytes()


def test_what_was_kept_back_is_found(tiny_image_text: Path):
    pictures = colour_squares(tiny_image_text.parent / "squares")
    task = image_text_task(pictures, tiny_image_text.parent / "words")
    trainer = Trainer(task, PLAN, tiny_image_text.parent)
    trainer.use_average()
    figures = retrieval(settled(task.network, pictures), task._tokenizer, pictures)

    assert figures == {"caption_first_of_3": 1.0, "noun_first": 1.0, "noun_in_first_five": 1.0}
    sheet = task.sample()
    assert isinstance(sheet, Image.Image)
    assert sheet.width > 3 * 32


def test_half_of_what_is_learnt_from_is_soft():
    edge = (torch.arange(64) >= 32).float().expand(200, 3, 64, 64) * 2 - 1

    softened = soften(edge, torch.Generator().manual_seed(0))

    assert 60 < int((softened == edge).flatten(1).all(1).sum()) < 140
    assert softened[..., 32].min() < 0.3  # the softest; at an edge between -1 and 1 it comes near the middle
    assert torch.allclose(softened[..., :26], edge[..., :26], atol=0.01)  # away from the edge nothing changes
    assert float(softened.mean()) == pytest.approx(float(edge.mean()), abs=1e-4)
    assert softened.diff(dim=-1).min() > -1e-5


def test_a_pickled_captioner_is_never_read(tmp_path: Path):
    shipped = Path(__file__).parent.parent.parent / "generators" / "pretrained" / "image-text"
    shutil.copytree(shipped, tmp_path / "image-text")
    captioner = tmp_path / "image-text" / "captioner"
    torch.save(load_file(captioner / "model.safetensors"), captioner / "pytorch_model.bin")
    (captioner / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound):
        FolderImageTextModel.load(str(tmp_path / "image-text"))
