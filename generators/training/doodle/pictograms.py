"""The pictograms of scenes: nouns, their words, and their pictures in any colour."""

# pyright: basic

from __future__ import annotations

import csv
import io
import re
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from limner.generators.training.doodle import drawings

NOUNS = Path(__file__).with_name("nouns.tsv")

HUES = {"red": 0, "orange": 28, "yellow": 50, "green": 125, "blue": 213, "purple": 275, "pink": 330}
"""Degrees on the colour circle of each colour word."""
SHADES = {"white": (0.06, 0.55, 0.45), "black": (0.25, 0.05, 0.33), "brown": (0.6, 0.0, 0.62)}
"""Colour words without a hue of their own: factor of the saturation, then offset and factor of the brightness."""
COLOURS = (*HUES, *SHADES)

_UNCOUNTED = frozenset(
    ["bread", "corn", "broccoli", "spaghetti", "salad", "popcorn", "cheese", "chocolate", "sushi", "lightning", "fire",
     "earth", "coffee", "milk", "beer", "green tea", "wool", "candy"]
)  # fmt: skip
_IRREGULAR = {
    "mouse": "mice", "wolf": "wolves", "deer": "deer", "sheep": "sheep", "fish": "fish", "knife": "knives",
    "man": "men", "woman": "women", "old man": "old men", "old woman": "old women", "maple leaf": "maple leaves",
    "policeman": "policemen", "fireman": "firemen", "fox": "foxes", "die": "dice", "tropical fish": "tropical fish",
}  # fmt: skip


@dataclass(frozen=True)
class Noun:
    """One kind of thing.

    ``home`` is where it occurs: land, person, swim, float, fly, space or thing. A ``weight`` of 2 doubles its
    frequency, for thin things and things of many parts. The ``unseen`` words are in no caption: they test whether the
    word vectors generalise.
    """

    picture: str
    name: str
    home: str
    weight: int
    synonyms: tuple[str, ...]
    unseen: tuple[str, ...]


def read_nouns(path: Path = NOUNS) -> list[Noun]:
    """The table of nouns."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Noun(
                row["picture"],
                row["noun"],
                row["home"],
                int(row["weight"]),
                tuple(filter(None, row["synonyms"].split("|"))),
                tuple(filter(None, row["unseen"].split("|"))),
            )
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def is_plural(name: str) -> bool:
    """Whether the name already means several: grapes, scissors."""
    return name.endswith("s") and not name.endswith(("ss", "us", "os", "is"))


def plural(name: str) -> str:
    """The plural of a noun."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    if found := re.search(" (of|with|without) ", name):
        return plural(name[: found.start()]) + name[found.start() :]
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name if is_plural(name) else name + "s"


def with_article(words: str, name: str) -> str:
    """``words``, which end in ``name``, with a or an if English needs one."""
    if is_plural(name) or name in _UNCOUNTED:
        return words
    return f"{article(words)} {words}"


def article(words: str) -> str:
    """The indefinite article before ``words``."""
    return "an" if words[0].lower() in "aeiou" and not words.startswith("uni") else "a"


class Pictograms:
    """The pictures of all nouns, read from the archive of Fluent emoji; some are drawn by `drawings`."""

    def __init__(self, archive: Path, nouns: list[Noun]) -> None:
        self.nouns = {noun.name: noun for noun in nouns}
        self._pictures: dict[str, Pictogram] = {}
        with tarfile.open(archive) as tar:
            by_name = {Path(member.name).stem: member for member in tar.getmembers() if member.name.endswith(".webp")}

            def read(characters: str) -> Image.Image:
                code = "-".join(f"{ord(character):04x}" for character in characters)
                member = by_name.get(code) or by_name[code.replace("-fe0f", "")]
                file = tar.extractfile(member)
                assert file  # noqa: S101 - a member that is a file
                return Image.open(io.BytesIO(file.read())).convert("RGBA")

            for noun in nouns:
                drawn = drawings.DRAWINGS.get(noun.picture)
                image = drawn(read) if drawn else read(noun.picture)
                self._pictures[noun.name] = Pictogram(image.crop(image.getbbox()), noun.home != "person")

    def __getitem__(self, name: str) -> Pictogram:
        return self._pictures[name]


class Pictogram:
    """One cut-out picture, and its versions in other colours."""

    def __init__(self, image: Image.Image, paintable: bool) -> None:
        self.image = image
        self._paintable = paintable

    @cached_property
    def _planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Hue (degrees), saturation, value (0 to 1), alpha (0 to 255), and the pixels of the main hue."""
        hsv = np.asarray(self.image.convert("RGB").convert("HSV"), dtype=np.float32)
        hue, saturation, value = hsv[..., 0] * 360 / 255, hsv[..., 1] / 255, hsv[..., 2] / 255
        alpha = np.asarray(self.image.getchannel("A"))
        coloured = (alpha > 128) & (saturation > 0.25)
        histogram = np.histogram(hue[coloured], 36, (0, 360))[0]
        main = float(np.argmax(histogram + np.roll(histogram, 1) + np.roll(histogram, -1))) * 10 + 5
        near = np.abs((hue - main + 180) % 360 - 180) < 32
        return hue, saturation, value, alpha, near & (saturation > 0.12)

    @cached_property
    def colour(self) -> str | None:
        """The word for its own colour; None where no one colour makes up most of it."""
        hue, saturation, value, alpha, main = self._planes
        solid = alpha > 128
        if (main & solid).sum() < 0.5 * solid.sum():
            grey = solid & (saturation < 0.22)
            if grey.sum() < 0.7 * solid.sum():
                return None
            brightness = float(value[solid].mean())
            return "white" if brightness > 0.8 else "black" if brightness < 0.35 else None
        # Turned by half a circle, so that reds do not lie at both ends of the scale.
        angle = (float(np.median((hue[main & solid] + 180) % 360)) + 180) % 360
        depth, brightness = (float(np.median(plane[main & solid])) for plane in (saturation, value))
        return _colour_word(angle, depth, brightness)

    def can_be(self, colour: str) -> bool:
        """Whether it stays recognisable in this colour."""
        return self._paintable and self.colour is not None and self.colour not in ("white", "black", colour)

    def painted(self, colour: str) -> Image.Image:
        """The same thing in another colour; parts without the main hue (eyes, wheels) stay."""
        hue, saturation, value, alpha, main = (plane.copy() for plane in self._planes)
        if colour in HUES:
            hue[main] = HUES[colour]
            saturation[main] = np.clip(saturation[main] * (0.75 if colour == "pink" else 1.15), 0, 1)
            value[main] = np.clip(value[main] * 1.05 + (0.15 if colour in ("yellow", "orange", "pink") else 0.03), 0, 1)
        else:
            factor, offset, scale = SHADES[colour]
            hue[main] = 25 if colour == "brown" else hue[main]
            saturation[main] *= factor
            value[main] = np.clip(offset + value[main] * scale, 0, 1)
        planes = np.stack([hue * 255 / 360, saturation * 255, value * 255], -1).round().astype(np.uint8)
        image = Image.fromarray(planes, "HSV").convert("RGB")
        image.putalpha(Image.fromarray(alpha))
        return image


def _colour_word(hue: float, saturation: float, value: float) -> str:
    """A colour's common name; dark orange is brown, very dark colours are black."""
    if value < 0.36:
        return "black"
    if 8 < hue < 40 and value < 0.68:
        return "brown"
    if hue > 336 or hue < 12:
        return "red" if saturation > 0.62 else "pink"
    limits = {36: "orange", 68: "yellow", 166: "green", 248: "blue", 296: "purple", 361: "pink"}
    return next(word for limit, word in limits.items() if hue < limit)
