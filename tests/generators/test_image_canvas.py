"""What a mask leaves of the picture, and what of the painting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.generators.image_canvas import SEAM, pasted
from limner.generators.requests import GenerationRequest

SIDE = 64


def painted_white(mask: np.ndarray) -> np.ndarray:
    """A white painting over a black picture inside a mask (rows, columns), as grey (rows, columns)."""
    white, black = Image.new("RGB", (SIDE, SIDE), "white"), Image.new("RGB", (SIDE, SIDE))
    request = GenerationRequest(
        model="", prompt="", width=SIDE, height=SIDE, num_inference_steps=1, guidance_scale=1, seed=0
    )
    out = pasted(white, black, Image.fromarray(mask), request)
    return np.asarray(out)[..., 0]


@pytest.mark.parametrize("thickness", range(1, SEAM + 1))
def test_a_part_thinner_than_the_seam_is_painted(thickness: int):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[20 : 20 + thickness, 5:60] = 255
    assert (painted_white(mask)[mask == 255] == 255).all()


def test_a_wide_part_has_soft_edges():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[10:50, 10:50] = 255
    grey = painted_white(mask)
    assert grey[30, 30] == 255
    assert 0 < grey[30, 14] < 255
    assert 0 <= grey[10, 10] < 128


@given(st.lists(st.tuples(*[st.integers(0, SIDE)] * 4), max_size=5))
def test_no_pixel_outside_of_a_mask_changes(boxes: list[tuple[int, int, int, int]]):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 255
    assert (painted_white(mask)[mask == 0] == 0).all()
