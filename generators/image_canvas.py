"""Pixels around a painting of a part: canvases to extend a picture on, masks, and what the mask leaves out."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image, ImageChops, ImageFilter

from limner.generators.references import Area
from limner.generators.requests import GenerationRequest

Box = tuple[int, int, int, int]

SEAM = 8
"""Pixels inside the painted part over which it passes into the rest."""
HALF = 128
"""Grey from which a mask is white."""
ROWS, COLUMNS = "ABCD", "1234"
"""Names of the cells of a picture, from its upper left corner."""
HALVES_AND_MIDDLE = {
    Area.ALL: (0.0, 0.0, 1.0, 1.0),
    Area.LEFT: (0.0, 0.0, 0.5, 1.0),
    Area.RIGHT: (0.5, 0.0, 1.0, 1.0),
    Area.TOP: (0.0, 0.0, 1.0, 0.5),
    Area.BOTTOM: (0.0, 0.5, 1.0, 1.0),
    Area.MIDDLE: (0.25, 0.25, 0.75, 0.75),
}
"""The left, upper, right and lower edge of an area, as shares of width and height."""
BLACK_AND_WHITE = [255 * (grey >= HALF) for grey in range(256)]


def canvas(image: Image.Image, request: GenerationRequest) -> Image.Image:
    """The picture to start from at the request's size: all of it, or in its box with its edges drawn outwards."""
    size, box = (request.width, request.height), request.box
    image = image.convert("RGB")
    if box is None:
        return image.resize(size, Image.Resampling.LANCZOS)
    left, top, right, bottom = box
    inner = image.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
    return _stretched(inner, size, box)


def canvas_mask(mask: Image.Image | None, request: GenerationRequest) -> Image.Image:
    """The mask at the request's size, white where it is painted: the given one, or all but the box without its seam."""
    size = (request.width, request.height)
    if mask is not None:
        return fitted(mask, size)
    assert request.box  # noqa: S101 - a request with neither has no mask
    left, top, right, bottom = request.box
    seam = min(SEAM, (right - left) // 4, (bottom - top) // 4)
    kept = (
        left + seam * (left > 0),
        top + seam * (top > 0),
        right - seam * (right < size[0]),
        bottom - seam * (bottom < size[1]),
    )
    white = Image.new("L", size, 255)
    white.paste(0, kept)
    return white


def pasted(
    painted: Image.Image, original: Image.Image, mask: Image.Image | None, request: GenerationRequest
) -> Image.Image:
    """The painting inside the mask, and the original's very pixels outside of it, at the original's size.

    An extended picture has the canvas for its original.
    """
    start = canvas(original, request) if request.box else original.convert("RGB")
    white = canvas_mask(mask, request) if mask is None else fitted(mask, start.size)
    return Image.composite(painted.convert("RGB").resize(start.size, Image.Resampling.LANCZOS), start, soft(white))


def fitted(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask of any size and shape at this one, black and white."""
    return mask.convert("L").point(BLACK_AND_WHITE).resize(size, Image.Resampling.NEAREST)


def soft(mask: Image.Image) -> Image.Image:
    """A mask whose edges are soft on their white side; what is black stays black, and what is thin stays white."""
    core = mask.filter(ImageFilter.MinFilter(SEAM + 1))
    # A part thinner than the seam has no core, and would be left out whole.
    thin = ImageChops.subtract(mask, core.filter(ImageFilter.MaxFilter(2 * SEAM + 1)))
    inner = ImageChops.lighter(core.filter(ImageFilter.GaussianBlur(SEAM / 3)), thin)
    return ImageChops.darker(inner, mask)


def mask_of_cells(cells: Iterable[str]) -> Image.Image:
    """A mask of 4x4 pixels, white at cells such as B3: row B, column 3."""
    mask = Image.new("L", (len(COLUMNS), len(ROWS)))
    for row, column in cells:
        mask.putpixel((COLUMNS.index(column), ROWS.index(row)), 255)
    return mask


def mask_of_area(area: Area, size: tuple[int, int]) -> Image.Image:
    """A mask of this size, white in an area."""
    mask = Image.new("L", size)
    left, top, right, bottom = HALVES_AND_MIDDLE[area]
    mask.paste(255, (round(left * size[0]), round(top * size[1]), round(right * size[0]), round(bottom * size[1])))
    return mask


def covered(mask: Image.Image) -> float:
    """The share of a mask that is white, from 0 to 1."""
    white = fitted(mask, mask.size).histogram()[255]
    return white / (mask.width * mask.height)


def grown(mask: Image.Image) -> Image.Image:
    """A mask grown by its soft edge, so that nothing of what it covers stays."""
    return mask.filter(ImageFilter.MaxFilter(2 * SEAM + 1))


def _stretched(inner: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """A picture in its box, whose edges go on to the canvas's."""
    left, top, right, bottom = box
    wide = Image.new("RGB", (size[0], inner.height))
    wide.paste(inner, (left, 0))
    if left:
        wide.paste(inner.crop((0, 0, 1, inner.height)).resize((left, inner.height)), (0, 0))
    if right < size[0]:
        edge = inner.crop((inner.width - 1, 0, inner.width, inner.height))
        wide.paste(edge.resize((size[0] - right, inner.height)), (right, 0))
    whole = Image.new("RGB", size)
    whole.paste(wide, (0, top))
    if top:
        whole.paste(wide.crop((0, 0, size[0], 1)).resize((size[0], top)), (0, 0))
    if bottom < size[1]:
        edge = wide.crop((0, inner.height - 1, size[0], inner.height))
        whole.paste(edge.resize((size[0], size[1] - bottom)), (0, bottom))
    return whole
