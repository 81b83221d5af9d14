"""Pictograms missing from open sets, drawn here: a lighthouse, a pirate ship, a hot air balloon and others."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

SIDE = 512
"""Pixels of the canvas; pictures are scaled to half at the end, for smooth edges."""

Read = Callable[[str], Image.Image]
"""Returns the pictogram of an emoji."""


def lighthouse(read: Read) -> Image.Image:
    """A white tower with red stripes, a lit lamp and a rock to stand on."""
    image, draw = _canvas()
    draw.ellipse((120, 440, 392, 540), fill="#7d7a86")
    for i in range(5):
        top, bottom = 150 + i * 62, 212 + i * 62
        half = (38 + i * 8, 46 + i * 8)
        draw.polygon(
            [(256 - half[0], top), (256 + half[0], top), (256 + half[1], bottom), (256 - half[1], bottom)],
            fill="#e8364f" if i % 2 == 0 else "#f4f2f6",
        )
    draw.rectangle((200, 136, 312, 154), fill="#4a4658")
    draw.rectangle((222, 80, 290, 136), fill="#ffd84a")
    draw.line((256, 80, 256, 136), fill="#4a4658", width=6)
    draw.polygon([(206, 82), (306, 82), (256, 24)], fill="#d92745")
    draw.rounded_rectangle((236, 396, 276, 462), 18, fill="#5b4a50")
    draw.rounded_rectangle((243, 232, 269, 262), 8, fill="#5b4a50")
    return _shaded(image)


def pirate_ship(read: Read) -> Image.Image:
    """A brown hull on water with black sails, a skull on the greatest."""
    image, draw = _canvas()
    for x, top in ((150, 90), (260, 30), (368, 100)):
        draw.rectangle((x - 6, top, x + 6, 380), fill="#6b4630")
    for box in (
        (96, 130, 204, 240),
        (96, 252, 204, 332),
        (190, 74, 334, 226),
        (190, 240, 334, 332),
        (322, 140, 420, 322),
    ):
        draw.rounded_rectangle(box, 22, fill="#2b2833")
    draw.polygon([(260, 30), (330, 50), (260, 72)], fill="#c8243c")
    draw.polygon([(44, 330), (468, 330), (500, 296), (452, 452), (110, 452)], fill="#96603a")
    draw.polygon([(44, 330), (468, 330), (462, 352), (58, 352)], fill="#6e4327")
    for x in range(140, 440, 62):
        draw.ellipse((x, 376, x + 30, 406), fill="#3a2418")
    skull = read("💀").resize((96, 96), Image.Resampling.LANCZOS)
    image.alpha_composite(skull, (214, 100))
    image = _shaded(image, half=False)
    draw = ImageDraw.Draw(image)
    for x in range(0, 512, 64):
        draw.ellipse((x - 8, 428, x + 72, 478), fill="#5fb4f5")
    draw.rectangle((0, 452, 512, 512), fill="#3f97ec")
    return _halved(image)


def hot_air_balloon(read: Read) -> Image.Image:
    """A striped envelope with a basket under it."""
    image, draw = _canvas()
    for offset, colour in ((0, "#ee3f57"), (44, "#ffcf3f"), (88, "#3d8df0"), (132, "#ffcf3f")):
        draw.ellipse((76 + offset, 16, 436 - offset, 356), fill=colour)
    for offset, colour in ((0, "#ee3f57"), (44, "#ffcf3f"), (88, "#3d8df0"), (132, "#ffcf3f")):
        top = 102 + offset * 0.95
        draw.polygon(
            [(top, 268), (512 - top, 268), (292 - offset * 0.15, 388), (220 + offset * 0.15, 388)], fill=colour
        )
    for x in (224, 288):
        draw.line((x, 386, x + (8 if x < 256 else -8), 436), fill="#6b4630", width=6)
    image = _shaded(image, half=False)
    ImageDraw.Draw(image).rounded_rectangle((214, 430, 298, 502), 14, fill="#9a6238")
    return _halved(image)


def school_bus(read: Read) -> Image.Image:
    """The bus, all yellow."""
    image = read("🚌")
    hsv = np.array(image.convert("RGB").convert("HSV"), dtype=np.float32)
    hue = hsv[..., 0] * 360 / 255
    body = ((hsv[..., 1] < 90) & (hsv[..., 2] > 150)) | ((hue > 15) & (hue < 60))
    hsv[..., 0][body] = 45 * 255 / 360
    hsv[..., 1][body] = 225
    yellow = Image.fromarray(hsv.round().astype(np.uint8), "HSV").convert("RGB")
    yellow.putalpha(image.getchannel("A"))
    return yellow


def branch(read: Read) -> Image.Image:
    """A brown branch with a few leaves."""
    image, draw = _canvas()
    draw.line((10, 300, 180, 270, 330, 280, 500, 240), fill="#7a4e30", width=40, joint="curve")
    draw.line((300, 280, 390, 200), fill="#7a4e30", width=22)
    for x, y in ((380, 170), (440, 190), (110, 210), (60, 240), (480, 270)):
        draw.ellipse((x - 44, y - 24, x + 44, y + 24), fill="#4fae4b")
    return _shaded(image)


DRAWINGS: dict[str, Callable[[Read], Image.Image]] = {
    "lighthouse": lighthouse,
    "pirate-ship": pirate_ship,
    "hot-air-balloon": hot_air_balloon,
    "school-bus": school_bus,
    "branch": branch,
}
"""By the name that the table of nouns gives them instead of an emoji."""


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (SIDE, SIDE))
    return image, ImageDraw.Draw(image)


def _shaded(image: Image.Image, *, half: bool = True) -> Image.Image:
    """Light from the left, as on the Fluent pictograms."""
    light = np.linspace(1.12, 0.72, SIDE, dtype=np.float32)[None, :, None]
    pixels = np.array(image, dtype=np.float32)
    pixels[..., :3] = np.clip(pixels[..., :3] * light, 0, 255)
    shaded = Image.fromarray(pixels.astype(np.uint8))
    return _halved(shaded) if half else shaded


def _halved(image: Image.Image) -> Image.Image:
    return image.resize((SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS)
