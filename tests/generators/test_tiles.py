# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""Tiles: the stock pipeline's picture with convolutions that read across the edges."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import BadRequest
from tests.generators.test_families import load, paint, stock_images
from tests.tiny_models import SIDE, stock_pipeline, tiny_request

MakeFolder = Callable[[str], Path]


def convolutions(folder: Path) -> list[torch.nn.Conv2d]:
    pipe = stock_pipeline(folder)
    return [part for model in (pipe.unet, pipe.vae) for part in model.modules() if isinstance(part, torch.nn.Conv2d)]


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_a_tile_is_the_stock_picture_and_its_neighbours_are_none(
    family: str, family_folder: MakeFolder, pictures: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    folder = family_folder(family)
    tile, plain = tiny_request(tile=True, num_images_per_prompt=2), tiny_request(seed=3, num_inference_steps=5)
    start = tiny_request(tile=True, seed=4, init_image=pictures["init_image"], strength=1.0)
    untiled = stock_images(family, folder, plain)
    with monkeypatch.context() as patched:
        for part in convolutions(folder):
            patched.setattr(part, "padding_mode", "circular")
        expected = [stock_images(family, folder, request) for request in (tile, start)]
    left = paint(load(folder), [(0, plain), (1, tile), (2, start)])
    for event, images in zip(left, (untiled, *expected), strict=True):
        for image, want in zip(event.images, images, strict=True):
            assert np.abs(np.asarray(image, dtype=int) - want).max() <= 2
    assert np.abs(np.subtract(stock_images(family, folder, tile), expected[0])).max() > 2


def test_a_transformer_paints_no_tiles(family_folder: MakeFolder):
    folder = family_folder("sd3")
    assert not ModelCard.read("m", str(folder)).tiles
    with pytest.raises(BadRequest, match="cannot join"):
        load(folder).admit("1", tiny_request(tile=True, width=SIDE, height=SIDE))
