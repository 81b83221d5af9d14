"""Charts of a training: the loss curve, and sheets of samples."""

# pyright: basic

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, EDGE = 640, 320, 40
LINE = 14
"""Pixels from one line of a caption to the next."""
NARROWEST = 96
"""Least width of a caption in pixels."""
GAP = 4


def draw_curve(losses: Sequence[tuple[int, float]]) -> Image.Image:
    """The loss over the steps (ranges at the axes' ends): single steps pale, their moving mean dark."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((EDGE, 10, WIDTH - 10, HEIGHT - 24), outline="#999999")
    if not losses:
        return image
    thin = losses[:: max(1, len(losses) // 2000)]
    smooth: list[tuple[int, float]] = []
    mean = thin[0][1]
    for step, loss in thin:
        mean += 0.03 * (loss - mean)
        smooth.append((step, mean))
    values = sorted(math.log(max(loss, 1e-9)) for _, loss in thin)
    low, high = values[0], max(values[math.ceil(0.99 * len(values)) - 1], values[0] + 1e-3)

    def place(step: int, loss: float) -> tuple[float, float]:
        across = step / losses[-1][0]
        up = (math.log(max(loss, 1e-9)) - low) / (high - low)
        return EDGE + across * (WIDTH - 10 - EDGE), HEIGHT - 24 - min(1.0, max(0.0, up)) * (HEIGHT - 34)

    draw.point([place(*pair) for pair in thin], fill="#9bbbe8")
    draw.line([place(*pair) for pair in smooth], fill="#123c80", width=2)
    draw.text((4, 10), f"{math.exp(high):.3f}", fill="black")
    draw.text((4, HEIGHT - 36), f"{math.exp(low):.3f}", fill="black")
    draw.text((WIDTH - 90, HEIGHT - 18), f"step {losses[-1][0]}", fill="black")
    return image


def lay_out(images: Sequence[Image.Image], columns: int, captions: Sequence[str] = ()) -> Image.Image:
    """The images in rows, each above its whole caption."""
    width, height = images[0].size
    cell = max(width, NARROWEST) if captions else width
    wrapped = [_in_lines(caption, cell) for caption in captions]
    room = LINE * max((len(lines) for lines in wrapped), default=0)
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * (cell + GAP), rows * (height + room + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        x, y = number % columns * (cell + GAP), number // columns * (height + room + GAP)
        sheet.paste(image, (x, y))
        for row, line in enumerate(wrapped[number] if captions else ()):
            draw.text((x, y + height + row * LINE), line, fill="black")
    return sheet


def _in_lines(text: str, width: int) -> list[str]:
    """The words in lines of at most this many pixels; a wider word is broken."""
    font = ImageFont.load_default()
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines
