"""The small models that ship: what doodle draws is read back by the image-text model as what was asked for."""

# pyright: basic, reportPrivateImportUsage=false
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from PIL import Image

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import FIRST_BATCH, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.executor import Executor
from limner.generators.training.doodle.pictograms import read_nouns, with_article
from limner.generators.vision.clip import FolderImageTextModel
from limner.generators.vision.segmentation import load_segmentation
from tests.tiny_models import tiny_request

pytestmark = pytest.mark.xdist_group("shipped_models")  # they share what takes long to make

DOODLE, IMAGE_TEXT = PRETRAINED / "doodle", PRETRAINED / "image-text"
ASKED = ["apple", "cat", "fish", "house", "robot", "snowman", "strawberry", "rainbow", "ghost", "pizza"]


@pytest.fixture(scope="module")
def painted() -> list[Image.Image]:
    """One picture of each noun."""
    card = ModelCard.read("doodle", str(DOODLE))
    executor = Executor({"doodle": card}, device="cpu", max_batch=len(ASKED))
    how = {"width": card.width, "height": card.height, "guidance_scale": card.guidance_scale}
    how |= {"num_inference_steps": card.num_inference_steps, "model": "doodle"}
    images: dict[str, Image.Image] = {}
    for at in range(0, len(ASKED), FIRST_BATCH):
        for noun in ASKED[at : at + FIRST_BATCH]:
            executor.admit(noun, tiny_request(prompt=with_article(noun, noun), **how))
        while len(images) < len(ASKED[: at + FIRST_BATCH]):
            images |= {event.key: event.images[0] for event in executor.step() if isinstance(event, Finished)}
    executor.close()
    return [images[noun] for noun in ASKED]


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def test_the_stock_pipeline_loads_doodle_without_a_warning(caplog: pytest.LogCaptureFixture):
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).addHandler(caplog.handler)
        logging.getLogger(library).setLevel(logging.WARNING)
    pipe = DiffusionPipeline.from_pretrained(DOODLE, dtype=torch.float32)
    assert type(pipe) is StableDiffusionPipeline
    assert [record.getMessage() for record in caplog.records] == []
    assert size(DOODLE) <= 30_000_000


@pytest.mark.slow
def test_what_is_drawn_is_what_was_asked_for(painted: list[Image.Image]):
    nouns = [noun.name for noun in read_nouns()]
    nearness = FolderImageTextModel.load(str(IMAGE_TEXT)).score(painted, [with_article(noun, noun) for noun in nouns])
    found = [nouns[number] for number in nearness.argmax(1)]
    assert sum(one == asked for one, asked in zip(found, ASKED, strict=True)) >= 9, found


@pytest.mark.slow
def test_what_is_drawn_can_be_put_into_words(painted: list[Image.Image]):
    model = FolderImageTextModel.load(str(IMAGE_TEXT))
    assert model.can_describe
    said = [model.describe(image) for image in painted]
    assert sum(asked in words for words, asked in zip(said, ASKED, strict=True)) >= 9, said


@pytest.mark.slow
def test_words_find_what_is_drawn_and_nothing_else(painted: list[Image.Image]):
    folder = PRETRAINED / "segmentation"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8_000_000
    model = load_segmentation(str(folder))
    shares = np.array(
        [[np.asarray(model.find(image, f"the {noun}")).mean() / 255 for noun in ASKED] for image in painted]
    )
    assert (np.diag(shares) > 0.05).sum() >= 9, shares.round(2)
    assert np.mean(shares[~np.eye(len(ASKED), dtype=bool)] < 0.005) >= 0.8, shares.round(2)
