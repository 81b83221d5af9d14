"""Backgrounds of scenes: papers, landscapes by time of day, the sea, space; with their words."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Self

import numpy as np
from PIL import Image, ImageDraw

from limner.generators.training.doodle.pictograms import Pictograms, with_article

SIDE = 128
"""Width and height of a scene in its own coordinates, and in pixels unless a multiple of it is asked for."""
OPAQUE = 128
"""Alpha from which a pixel belongs to a thing."""

PAPERS = {
    "red": (225, 60, 66), "orange": (247, 150, 60), "yellow": (251, 217, 92), "green": (96, 186, 98),
    "blue": (84, 148, 236), "purple": (150, 98, 214), "pink": (247, 160, 196), "white": (250, 250, 250),
    "black": (32, 31, 38), "brown": (146, 104, 74), "grey": (168, 170, 178),
}  # fmt: skip
"""Colours of plain backgrounds."""

SKIES = {
    "day": ((96, 176, 250), (206, 233, 252)),
    "sunset": ((104, 74, 148), (255, 158, 80)),
    "night": ((14, 18, 52), (52, 58, 118)),
}
"""Upper and lower colour of the sky at each time of day."""

_SKY_ONLY: dict[str, tuple[str, ...]] = {
    "day": ("in the sky", "in a blue sky", "in the blue sky", "high in the air"),
    "sunset": ("in the sky at sunset", "at sunset"),
    "night": ("in the night sky", "in the sky at night", "at night"),
}
TIMES = {"day": ("",), "sunset": ("at sunset", "at dusk"), "night": ("at night",)}
HOMES = {
    "land": ("grass", "snow", "hills", "forest", "beach", "desert", "mountains", "night"),
    "person": ("grass", "snow", "hills", "forest", "beach", "night"),
    "swim": ("under water", "under water", "sea"),
    "float": ("sea",),
    "fly": ("sky", "sky", "hills above", "mountains above", "sea above"),
    "space": ("space", "space", "sky", "night sky"),
    "thing": ("table", "grass"),
}
"""Places of each kind of thing; frequent ones occur twice."""

_PREPOSITIONS = {
    "grass": ("on the grass", "in a field", "in a meadow", "on a green field", "in a garden"),
    "snow": ("in the snow", "on snow", "in a snowy field", "in winter"),
    "hills": ("on a hill", "on a green hill", "on the hills"),
    "forest": ("in a forest", "in the forest", "in the woods", "among trees"),
    "beach": ("on a beach", "on the beach", "on the sand", "by the sea"),
    "desert": ("in the desert", "on sand dunes"),
    "mountains": ("in the mountains", "in front of mountains"),
    "sea": ("on the sea", "on the ocean", "in the sea", "in the ocean", "on the water"),
    "under water": ("under water", "in the sea", "in the ocean", "in the deep sea", "underwater"),
    "hills above": ("over hills", "over green hills", "above the hills"),
    "mountains above": ("over mountains", "above the mountains"),
    "sea above": ("over the sea", "above the ocean"),
    "space": ("in space", "in outer space", "among the stars"),
    "table": ("on a table", "on a wooden table"),
}
_SAME = {"under water": "sea"}
"""Places of two names in captions: both are "in the sea"."""
VIEWS = {
    "hills": ("green hills", "hills"), "mountains": ("mountains", "snowy mountains"), "beach": ("a beach",),
    "forest": ("a forest", "trees"), "sea": ("the sea", "the ocean"), "desert": ("a desert",),
    "snow": ("a snowy field", "snow"), "grass": ("a meadow", "a green field"), "sky": ("the sky",),
}  # fmt: skip
_HORIZONS = {
    "grass": 0.62,
    "snow": 0.62,
    "hills": 0.66,
    "forest": 0.7,
    "beach": 0.66,
    "desert": 0.64,
    "mountains": 0.74,
}
LIGHTS = {"sun": 0.26, "full moon": 0.24, "crescent moon": 0.22, "star": 0.16, "rainbow": 0.3}


Colour = tuple[int, ...] | str


class Brush:
    """Draws in coordinates of `SIDE` on a picture whose side is a multiple of it; lines become thicker with it."""

    def __init__(self, image: Image.Image) -> None:
        self._draw, self._scale = ImageDraw.Draw(image), image.width // SIDE

    def ellipse(
        self, box: Sequence[float], *, fill: Colour | None = None, outline: Colour | None = None, width: int = 1
    ) -> None:
        """An ellipse in a box."""
        self._draw.ellipse(self._scaled(box), fill, outline, width * self._scale)

    def rectangle(self, box: Sequence[float], fill: Colour) -> None:
        """A filled box."""
        self._draw.rectangle(self._scaled(box), fill)

    def polygon(self, points: Sequence[tuple[float, float]], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * self._scale, y * self._scale) for x, y in points], fill)

    def line(self, ends: Sequence[float], fill: Colour) -> None:
        """A thin line between two points."""
        self._draw.line(self._scaled(ends), fill, self._scale)

    def dot(self, x: int, y: int, fill: Colour) -> None:
        """One pixel, or the square that takes its place."""
        x, y, last = x * self._scale, y * self._scale, self._scale - 1
        self._draw.rectangle((x, y, x + last, y + last), fill)

    def _scaled(self, places: Sequence[float]) -> list[float]:
        return [place * self._scale for place in places]


@dataclass(frozen=True)
class Ground:
    """A background: its picture, its words, and the height of a thing's centre for a given side.

    ``shows`` names its contents by kind ("place", "paper", "noun"), and whether the words mention them.
    """

    image: Image.Image
    words: str
    shows: Mapping[tuple[str, str], bool]
    stand: Callable[[float], float]

    @cached_property
    def regions(self) -> Image.Image:
        """For each pixel the number of the thing in front of it, 0 where there is only background."""
        return Image.new("L", self.image.size)

    def put(self, number: int, picture: Image.Image, side: float, x: float, y: float) -> None:
        """`paste` a thing, and write its number into the regions."""
        self.regions.paste(number, mask=paste(self.image, picture, side, x, y))

    def wordless(self) -> Self:
        """The same background without words."""
        return replace(self, words="", shows=dict.fromkeys(self.shows, False))


def paste(image: Image.Image, picture: Image.Image, side: float, x: float, y: float) -> Image.Image:
    """Put the cut-out into the image: the longer edge ``side`` long, its middle at x, y (parts of the image).

    Returns the mask, black and white, of the pixels that it covers by half or more.
    """
    picture = picture.copy()
    longest = round(side * image.width)
    picture.thumbnail((longest, longest), Image.Resampling.BICUBIC, reducing_gap=2.0)
    corner = (round(x * image.width - picture.width / 2), round(y * image.height - picture.height / 2))
    image.paste(picture, corner, picture)
    mask = Image.new("1", image.size)
    covered = picture.getchannel("A").point([255 * (alpha >= OPAQUE) for alpha in range(256)], "1")
    mask.paste(covered, corner)
    return mask


def paint_paper(random: Random, scale: int = 1) -> Ground:
    """A plain or gradient background, and its words (none, for half of them)."""
    word = random.choice(list(PAPERS))
    if random.random() < 0.5:
        name, base = random.choice(
            (("white", PAPERS["white"]), (word, PAPERS[word]), (word, tuple(round(170 + c / 3) for c in PAPERS[word])))
        )
        return _paper(random, scale, base, base, "", {name: False})
    if random.random() < 0.15:
        other = random.choice([colour for colour in PAPERS if colour != word])
        words = f"on a {word} and {other} background"
        return _paper(random, scale, PAPERS[word], PAPERS[other], words, {word: True, other: True})
    words = f"on {with_article(f'{word} background', 'background')}"
    return _paper(random, scale, PAPERS[word], PAPERS[word], words, {word: True})


def _paper(
    random: Random,
    scale: int,
    upper: tuple[int, ...],
    lower: tuple[int, ...],
    words: str,
    colours: Mapping[str, bool],
) -> Ground:
    image = _gradient(_jittered(random, upper), _jittered(random, lower), scale)
    shows = {("paper", colour): is_said for colour, is_said in colours.items()}
    return Ground(image, words, shows, lambda side: 0.5 + random.uniform(-1, 1) * max(0.0, 0.46 - side / 2))


def paint_place(random: Random, place: str, pictograms: Pictograms, scale: int = 1) -> Ground:
    """A place of `HOMES` with its words."""
    if place == "table":
        image = _gradient(_jittered(random, (240, 232, 222)), _jittered(random, (226, 214, 200)), scale)
        wood = _jittered(random, (176, 122, 78))
        Brush(image).rectangle((0, 92, SIDE, SIDE), wood)
        return _ground(random, image, place, lambda side: 0.82 - side / 2)
    if place == "space":
        image = _gradient((8, 8, 30), _jittered(random, (40, 24, 76)), scale)
        _stars(random, image, 60, SIDE)
        return _ground(random, image, place, lambda side: random.uniform(0.42, 0.58))
    if place == "under water":
        image = _gradient(_jittered(random, (58, 160, 226)), _jittered(random, (14, 62, 132)), scale)
        _water(random, image)
        return _ground(random, image, place, lambda side: random.uniform(0.42, 0.58))
    if place in ("sky", "night sky"):
        time = "night" if place == "night sky" else random.choice(list(SKIES))
        image, nouns = paint_landscape(random, "sky", time, pictograms, scale=scale)
        shows = {("place", "sky"): True} | {("noun", noun): False for noun in nouns}
        return Ground(image, random.choice(_SKY_ONLY[time]), shows, lambda side: random.uniform(0.4, 0.6))
    return _landscape_place(random, place, pictograms, scale)


def _ground(random: Random, image: Image.Image, place: str, stand: Callable[[float], float]) -> Ground:
    words = random.choice(_PREPOSITIONS[place])
    return Ground(image, words, {("place", _SAME.get(place, place)): True}, stand)


def _landscape_place(random: Random, place: str, pictograms: Pictograms, scale: int) -> Ground:
    time = random.choices(list(SKIES), (6, 2, 2))[0]
    where = place.removesuffix(" above")
    if place == "night":
        time, where = "night", random.choice(("grass", "hills"))
    image, nouns = paint_landscape(random, where, time, pictograms, scale=scale)
    hour = random.choice(TIMES[time])
    words = hour if place == "night" else f"{random.choice(_PREPOSITIONS[place])} {hour}"
    if where == "forest" and time == "night" and random.random() < 0.5:
        words = random.choice(("in a dark forest", "in the dark forest"))
    shows = {("place", where): place != "night"} | {("noun", noun): False for noun in nouns}
    light = pick_light(random, time) if random.random() < 0.3 else ""
    if light and light != "rainbow":
        paste(image, pictograms[light].image, LIGHTS[light] * 0.8, random.choice((0.16, 0.84)), 0.16)
        shows["noun", light] = random.random() < 0.6
        if shows["noun", light]:
            words += f" under a {light}" if light != "sun" else " in the sun"
    if place.endswith("above"):
        return Ground(image, words, shows, lambda side: 0.4)
    if where == "sea":
        return Ground(image, words, shows, lambda side: 0.86 - side / 2)
    return Ground(image, words, shows, lambda side: random.uniform(0.88, 0.94) - side / 2)


def pick_light(random: Random, time: str) -> str:
    """The light in the sky at that time; often none."""
    lights = {"day": ("", "sun", "rainbow"), "sunset": ("", "sun"), "night": ("", "full moon", "crescent moon")}
    return random.choice(lights[time])


def paint_rainbow(random: Random, draw: Brush) -> None:
    """A rainbow whose feet end behind the horizon."""
    x, radius = random.randint(54, 74), random.randint(52, 66)
    for colour in ("#f0435a", "#f8963c", "#fbdc4e", "#5fc46b", "#4796f0", "#8a5be0"):
        draw.ellipse((x - radius, 82 - radius, x + radius, 82 + radius), outline=colour, width=5)
        radius -= 5


def paint_setting_sun(random: Random, draw: Brush) -> None:
    """A large sun near the horizon."""
    x, y, radius = random.randint(36, 92), random.randint(56, 70), random.randint(15, 22)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_jittered(random, (255, 216, 92)))


def paint_landscape(
    random: Random,
    place: str,
    time: str,
    pictograms: Pictograms,
    sky: Callable[[Random, Brush], None] | None = None,
    scale: int = 1,
) -> tuple[Image.Image, set[str]]:
    """A place of `_PREPOSITIONS` at a time of day, and the nouns in it.

    ``sky`` may paint into its sky before the ground is painted.
    """
    upper, lower = SKIES[time]
    image = _gradient(_jittered(random, upper), _jittered(random, lower), scale)
    if time == "night":
        _stars(random, image, 22, 70)
    if sky:
        sky(random, Brush(image))
    nouns: set[str] = set()
    if place == "sky":
        for _ in range(random.randint(0, 3) if time == "day" else 0):
            nouns.add("cloud")
            paste(
                image, pictograms["cloud"].image, random.uniform(0.2, 0.36), random.random(), random.uniform(0.1, 0.9)
            )
        return image, nouns
    shade = {"day": 1.0, "sunset": 0.8, "night": 0.45}[time]
    draw = Brush(image)
    painter = {"hills": _hills, "mountains": _mountains, "sea": _sea, "beach": _beach}.get(place, _plain)
    painter(random, draw, place, shade)
    if place == "forest":
        for _ in range(7):
            tree = random.choice(("fir tree", "fir tree", "tree"))
            nouns.add(tree)
            side = random.uniform(0.36, 0.6)
            paste(image, _dimmed(pictograms[tree].image, shade), side, random.random(), 0.82 - side / 2)
    return image, nouns


def _plain(random: Random, draw: Brush, place: str, shade: float) -> None:
    colour = {"grass": (116, 196, 84), "snow": (240, 245, 252), "forest": (82, 150, 78), "desert": (236, 196, 124)}[
        place
    ]
    top = round(SIDE * (_HORIZONS[place] + random.uniform(-0.04, 0.04)))
    draw.rectangle((0, top, SIDE, SIDE), fill=_jittered(random, _dark(colour, shade)))


def _hills(random: Random, draw: Brush, place: str, shade: float) -> None:
    for x, top, colour in (
        (random.randint(-20, 40), 70, (130, 204, 96)),
        (random.randint(70, 130), 76, (104, 184, 80)),
    ):
        draw.ellipse((x - 90, top, x + 90, top + 150), fill=_jittered(random, _dark(colour, shade)))
    draw.ellipse((-60, 94, SIDE + 60, 230), fill=_jittered(random, _dark((88, 170, 70), shade)))


def _mountains(random: Random, draw: Brush, place: str, shade: float) -> None:
    for x in (random.randint(0, 30), random.randint(90, 128), random.randint(50, 80)):
        top, half = random.randint(44, 62), random.randint(44, 60)
        draw.polygon(
            [(x - half, 102), (x, top), (x + half, 102)], fill=_jittered(random, _dark((126, 116, 138), shade))
        )
        draw.polygon([(x - half / 4, top + (102 - top) / 4), (x, top), (x + half / 4, top + (102 - top) / 4)],
                     fill=_dark((246, 248, 252), shade))  # fmt: skip
    draw.rectangle((0, 98, SIDE, SIDE), fill=_jittered(random, _dark((112, 172, 92), shade)))


def _sea(random: Random, draw: Brush, place: str, shade: float) -> None:
    top = random.randint(66, 80)
    draw.rectangle((0, top, SIDE, SIDE), fill=_jittered(random, _dark((46, 132, 214), shade)))
    for _ in range(7):
        x, y = random.randint(-10, SIDE), random.randint(top + 5, SIDE - 4)
        draw.line((x, y, x + random.randint(8, 22), y), fill=_dark((132, 194, 240), shade))


def _beach(random: Random, draw: Brush, place: str, shade: float) -> None:
    draw.rectangle((0, 66, SIDE, 96), fill=_jittered(random, _dark((60, 154, 224), shade)))
    draw.rectangle((0, 88, SIDE, SIDE), fill=_jittered(random, _dark((240, 212, 150), shade)))


def _stars(random: Random, image: Image.Image, count: int, bottom: int) -> None:
    draw = Brush(image)
    for _ in range(count):
        brightness = random.randint(150, 255)
        draw.dot(random.randrange(SIDE), random.randrange(bottom), (brightness, brightness, brightness))


def _water(random: Random, image: Image.Image) -> None:
    draw = Brush(image)
    for _ in range(random.randint(3, 8)):
        x, y, radius = random.randrange(SIDE), random.randrange(SIDE), random.randint(1, 4)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(170, 216, 244))
    draw.ellipse((-40, 116, SIDE + 40, 190), fill=(206, 186, 136))


def _dimmed(picture: Image.Image, shade: float) -> Image.Image:
    if shade == 1.0:
        return picture
    planes = np.array(picture)
    planes[..., :3] = (planes[..., :3] * shade).astype(np.uint8)
    return Image.fromarray(planes)


def _gradient(upper: tuple[int, ...], lower: tuple[int, ...], scale: int) -> Image.Image:
    side = SIDE * scale
    down = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    rows = np.asarray(upper, np.float32) * (1 - down) + np.asarray(lower, np.float32) * down
    return Image.fromarray(np.broadcast_to(rows, (side, side, 3)).astype(np.uint8))


def _dark(colour: tuple[int, ...], shade: float) -> tuple[int, ...]:
    return tuple(round(value * shade) for value in colour)


def _jittered(random: Random, colour: tuple[int, ...]) -> tuple[int, ...]:
    shift = random.randint(-10, 10)
    return tuple(max(0, min(255, value + shift + random.randint(-6, 6))) for value in colour)
