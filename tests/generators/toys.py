"""Captioned squares in three colours: what the tests train with."""

# pyright: basic

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (40, 60, 220)}


def write_squares(folder: Path, count: int, side: int, colours: Sequence[str] = tuple(COLOURS)) -> None:
    """Squares on white, each in another place, of these colours in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        colour = colours[number % len(colours)]
        pixels = np.full((side, side, 3), 255, np.uint8)
        top = side // 8 + number * side // 40
        pixels[top : top + side // 2, side // 5 : side * 7 // 10] = COLOURS[colour]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "text": f"a {colour} square"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))


def note_process(folder: Path) -> None:
    """Leave a file that says how many processes this is one of."""
    (folder / os.environ.get("RANK", "0")).write_text(os.environ.get("WORLD_SIZE", "1"))
