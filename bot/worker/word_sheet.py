"""Draws where words drew: a sheet of heat maps with the words as captions, and two pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from limner.generators.base import WordMap

SIDE = 256
"""The longer side of a picture in a sheet, in pixels."""
COLUMNS = 4
NARROWEST = 128
"""The least room for a caption, in pixels."""
GAP, CAPTION, MARGIN, BAR = 12, 40, 20, 18
LETTERS = 24
"""Height of the captions' letters, in pixels."""
BACKGROUND, WORDS = "#2b2d31", "#dbdee1"
COLOURS = ("#000004", "#57106e", "#bc3754", "#f98e09", "#fcffa4")
"""From no attention to the most: matplotlib's inferno, at five of its places."""
SHADE = 0.5
"""How bright the grey picture is where a map has no attention; where it has most, only the map is seen."""

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def draw_maps(picture: Image.Image, maps: Sequence[WordMap]) -> Image.Image:
    """The picture, then its grey copy under each word's map, and a bar: 0 % is a word's least share, 100 % its most.

    A caption is the word, or its number from 1 where the font lacks a letter (`numbered`).
    """
    small = ImageOps.contain(picture.convert("RGB"), (SIDE, SIDE))
    cells = [small, *(_heated(small, one.cells) for one in maps)]
    named = numbered(maps)
    captions = ["", *(str(number) if number in named else one.word for number, one in enumerate(maps, 1))]
    columns = min(COLUMNS, len(cells))
    room = max(small.width, NARROWEST)
    wide, high = room + GAP, small.height + CAPTION
    rows = -(-len(cells) // columns)
    canvas = Image.new("RGB", (2 * MARGIN + columns * wide - GAP, 2 * MARGIN + rows * high + GAP + BAR), BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(LETTERS)
    for number, (cell, caption) in enumerate(zip(cells, captions, strict=True)):
        left, top = MARGIN + number % columns * wide, MARGIN + number // columns * high
        canvas.paste(cell, (left + (room - small.width) // 2, top))
        middle = left + room / 2, top + small.height + CAPTION / 2
        draw.text(middle, _fitting(caption, room, font), WORDS, font, "mm")
    if maps:
        _draw_legend(canvas, MARGIN + rows * high + GAP)
    return canvas


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures of one size beside each other."""
    canvas = Image.new("RGB", (left.width + GAP + right.width, left.height), BACKGROUND)
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width + GAP, 0))
    return canvas


def numbered(maps: Sequence[WordMap]) -> dict[int, str]:
    """The words whose captions are numbers, by these, as Pillow's own font lacks one of their letters."""
    missing = _letter("\uffff")
    return {
        number: one.word for number, one in enumerate(maps, 1) if any(_letter(letter) == missing for letter in one.word)
    }


def _letter(letter: str) -> bytes:
    """The pixels of a letter as captions have it."""
    drawn = Image.new("L", (2 * LETTERS, 2 * LETTERS))
    ImageDraw.Draw(drawn).text((LETTERS / 2, LETTERS / 2), letter, 255, ImageFont.load_default(LETTERS))
    return drawn.tobytes()


def _heated(picture: Image.Image, cells: NDArray[np.float32]) -> Image.Image:
    """The grey picture under a map from its least to its most."""
    spread = float(cells.max() - cells.min()) or 1.0
    level = Image.fromarray(((cells - cells.min()) / spread * 255).round().astype(np.uint8))
    level = level.resize(picture.size, Image.Resampling.BICUBIC)
    share = np.asarray(level, np.float32)[..., None] / 255
    grey = np.asarray(picture.convert("L").convert("RGB"), np.float32) * SHADE
    mixed = grey * (1 - share) + _colours(np.asarray(level)) * share
    return Image.fromarray(mixed.round().astype(np.uint8))


def _colours(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The colours of levels from 0 to 255."""
    known = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in COLOURS])
    places = np.linspace(0, 255, len(COLOURS))
    table = np.stack([np.interp(np.arange(256), places, known[:, channel]) for channel in range(3)], -1)
    return table[levels].astype(np.float32)


def _draw_legend(canvas: Image.Image, top: int) -> None:
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(BAR)
    ends = [draw.textlength(text, font) for text in ("0 %", "100 %")]
    left, right = round(MARGIN + ends[0] + GAP), round(canvas.width - MARGIN - ends[1] - GAP)
    levels = np.linspace(0, 255, right - left).round().astype(np.uint8)
    bar = np.repeat(_colours(levels)[None], BAR, 0).round().astype(np.uint8)
    canvas.paste(Image.fromarray(bar), (left, top))
    middle = top + BAR / 2
    draw.text((MARGIN, middle), "0 %", WORDS, font, "lm")
    draw.text((canvas.width - MARGIN, middle), "100 %", WORDS, font, "rm")


def _fitting(text: str, width: int, font: Font) -> str:
    """As much of a text as is at most so wide."""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text
