"""Scenes composed of pictograms, each with a caption that tells what is where and in which colour."""

# pyright: basic

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from generators.training.layouts import LAYOUTS, relations
from generators.training.pictograms import COLOURS, Noun, Pictograms, is_plural, plural, with_article
from generators.training.places import (
    HOMES,
    LIGHTS,
    SKIES,
    TIMES,
    VIEWS,
    paint_landscape,
    paint_paper,
    paint_place,
    paint_rainbow,
    paint_setting_sun,
    paste,
    pick_light,
)

PART = 1000
"""Scenes in one folder."""

_FILLERS = ("cute", "little", "nice", "happy", "lovely", "pretty", "funny", "beautiful", "simple", "sleepy")
_NUMBERS = {2: ("two", "2", "a pair of"), 3: ("three", "3")}


@dataclass(frozen=True)
class Scene:
    """A picture, its caption, and the names of the nouns that can be seen, the chief one first."""

    image: Image.Image
    caption: str
    nouns: tuple[str, ...]


class SceneMaker:
    """Composes scenes from pictograms; the same random numbers make the same scene.

    One combination in ten (of noun and colour, noun and place, noun and noun) is held out by its hash: a maker draws
    either none of these or, for testing, nothing else.
    """

    def __init__(self, pictograms: Pictograms, *, held_out: bool = False) -> None:
        self._pictograms = pictograms
        self._nouns = list(pictograms.nouns.values())
        self._weights = [noun.weight for noun in self._nouns]
        self._held_out = held_out
        self._kinds: dict[Callable[[Random], Scene | None], int] = {
            self._one_on_paper: 34,
            self._one_in_place: 36,
            self._two: 14,
            self._several: 8,
            self._view: 0 if held_out else 8,
        }

    def make(self, random: Random) -> Scene:
        """One more scene."""
        while True:
            kind = random.choices(list(self._kinds), list(self._kinds.values()))[0]
            scene = kind(random)
            if scene is not None:
                return scene

    def _allows(self, one: str, other: str) -> bool:
        return (zlib.crc32(f"{one}|{other}".encode()) % 10 == 0) == self._held_out

    def _noun(self, random: Random, *homes: str) -> Noun:
        while True:
            noun = random.choices(self._nouns, self._weights)[0]
            if not homes or noun.home in homes:
                return noun

    def _one_on_paper(self, random: Random) -> Scene | None:
        thing = self._thing(random, self._noun(random))
        paper, words = paint_paper(random)
        if not self._allows(thing.noun.name, thing.colour or words or "plain"):
            return None
        side = random.uniform(0.52, 0.9) * thing.scale
        paste(paper, thing.picture(self._pictograms, random), side, random.uniform(0.45, 0.55), _middle(random, side))
        return self._told(random, paper, f"{thing.words} {words}", thing.noun)

    def _one_in_place(self, random: Random) -> Scene | None:
        noun = self._noun(random)
        place = random.choice(HOMES[noun.home])
        if not self._allows(noun.name, place):
            return None
        thing = self._thing(random, noun)
        image, where, stand = paint_place(random, place, self._pictograms)
        side = random.uniform(0.42, 0.72) * thing.scale
        x = random.uniform(0.32, 0.68)
        paste(image, thing.picture(self._pictograms, random), side, x, stand(side))
        return self._told(random, image, f"{thing.words} {where}", noun)

    def _two(self, random: Random) -> Scene | None:
        one, other = self._noun(random), self._noun(random)
        relation = random.choice(relations(one, other))
        if one == other or not self._allows(one.name, other.name):
            return None
        first, second = self._thing(random, one, 0.3), self._thing(random, other, 0.3)
        image, where = self._ground_for(random, relation, one, other)
        for thing, (x, y, side) in zip((first, second), LAYOUTS[relation](random), strict=True):
            paste(image, thing.picture(self._pictograms, random), side, x, y)
        return self._told(random, image, f"{first.words} {relation} {second.words} {where}", one, other)

    def _ground_for(self, random: Random, relation: str, one: Noun, other: Noun) -> tuple[Image.Image, str]:
        homes = {one.home, other.home}
        if random.random() < 0.5 or relation in ("on top of",):
            return paint_paper(random)
        place = (
            "space" if "space" in homes else "under water" if homes == {"swim"} else random.choice(("grass", "snow"))
        )
        image, where, _ = paint_place(random, place, self._pictograms)
        return image, where if random.random() < 0.6 else ""

    def _several(self, random: Random) -> Scene | None:
        noun = self._noun(random)
        if is_plural(noun.name):
            return None
        count = random.choice((2, 2, 3))
        if not self._allows(noun.name, str(count)):
            return None
        thing = self._thing(random, noun, 0.35)
        words = " ".join(filter(None, (random.choice(_NUMBERS[count]), thing.colour, plural(thing.name))))
        if random.random() < 0.4:
            image, where, _ = paint_place(random, random.choice(HOMES[noun.home]), self._pictograms)
        else:
            image, where = paint_paper(random)
        side = {2: 0.46, 3: 0.34}[count] * random.uniform(0.9, 1.08)
        height = random.uniform(0.5, 0.62)
        picture = thing.picture(self._pictograms, random)
        for i in range(count):
            x = (i + 0.5) / count + random.uniform(-0.02, 0.02)
            paste(image, picture, side, x, height + random.uniform(-0.06, 0.06))
        return self._told(random, image, f"{words} {where}", noun)

    def _view(self, random: Random) -> Scene | None:
        """A landscape, with a sun, moon or rainbow in its sky and perhaps a tree or palm before it."""
        place = random.choice([*VIEWS, "hills", "beach", "sea"])
        time = random.choice(list(SKIES))
        image = paint_landscape(random, place, time, self._pictograms)
        words, light = random.choice(VIEWS[place]), pick_light(random, time) if place != "sky" else ""
        nouns: list[Noun] = []
        if light:
            nouns.append(self._pictograms.nouns[light])
            if light == "rainbow":
                image = paint_landscape(random, place, time, self._pictograms, sky=paint_rainbow)
                over = random.choice(("over", "above"))
                return self._told(random, image, f"a rainbow {over} {words}", *nouns)
            if time == "sunset":
                image = paint_landscape(random, place, time, self._pictograms, sky=paint_setting_sun)
            else:
                paste(image, self._pictograms[light].image, LIGHTS[light], random.uniform(0.25, 0.75), 0.24)
        if time == "sunset" and random.random() < 0.5:
            words = f"{random.choice(('a', 'the'))} sunset over {words}"
        else:
            words = f"{words} {random.choice(TIMES[time])}".strip()
            words += f" {random.choice(('under', 'with'))} a {light}" if light and random.random() < 0.7 else ""
        if place in ("beach", "hills", "grass", "snow") and random.random() < 0.5:
            tree = "palm tree" if place == "beach" else random.choice(("tree", "fir tree"))
            nouns.append(self._pictograms.nouns[tree])
            side = random.uniform(0.5, 0.68)
            paste(image, self._pictograms[tree].image, side, random.uniform(0.2, 0.8), 0.88 - side / 2)
            words += f" {random.choice(('with', 'and'))} a {tree}"
        return self._told(random, image, words, *nouns)

    def _thing(self, random: Random, noun: Noun, plain: float = 0.0) -> _Thing:
        """How a noun is to look, and its words; ``plain`` is the share that is not described further."""
        pictogram = self._pictograms[noun.name]
        name = random.choice(noun.synonyms) if noun.synonyms and random.random() < 0.3 else noun.name
        colour, painted, size, scale = "", "", "", 1.0
        dice = random.random() * (1 - plain)
        if dice < 0.22:
            wanted = random.choice(COLOURS)
            if pictogram.can_be(wanted):
                colour = painted = wanted
        elif dice < 0.42 and pictogram.colour and noun.home != "person":
            colour = pictogram.colour
        elif dice < 0.5:
            size, scale = random.choice((("big", 1.15), ("large", 1.15), ("small", 0.66), ("tiny", 0.6)))
        elif dice < 0.55:
            size = random.choice(_FILLERS)
        words = " ".join(word for word in (size, colour if colour not in name else "", name) if word)
        if random.random() < 0.9:
            words = with_article(words, name)
        return _Thing(noun, name, words, colour, painted, scale)

    def _told(self, random: Random, image: Image.Image, words: str, *nouns: Noun) -> Scene:
        caption = " ".join(words.split())
        if random.random() < 0.05:
            caption = f"{random.choice(('a picture of', 'a drawing of', 'an image of', 'a cartoon of'))} {caption}"
        return Scene(image, caption, tuple(noun.name for noun in nouns))


@dataclass(frozen=True)
class _Thing:
    noun: Noun
    name: str
    words: str
    colour: str
    painted: str
    scale: float

    def picture(self, pictograms: Pictograms, random: Random) -> Image.Image:
        pictogram = pictograms[self.noun.name]
        image = pictogram.painted(self.painted) if self.painted else pictogram.image
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < 0.3:
            image = image.rotate(random.uniform(-10, 10), Image.Resampling.BILINEAR, expand=True)
        return image


def _middle(random: Random, side: float) -> float:
    return 0.5 + random.uniform(-1, 1) * max(0.0, 0.46 - side / 2)


def compose(folder: Path, maker: SceneMaker, first: int, last: int) -> None:
    """Write scenes ``first`` to ``last`` (their numbers are their seeds) as an image folder: metadata.jsonl and PNG.

    Scenes lie in parts of 1,000; a part is there whole or not at all, and is not made twice.
    """
    for start in range(first, last, PART):
        part = folder / f"{start // PART:05d}"
        if part.is_dir():
            continue
        making = part.with_suffix(".part")
        making.mkdir(parents=True, exist_ok=True)
        lines: list[str] = []
        for number in range(start, min(start + PART, last)):
            scene = maker.make(Random(number))
            scene.image.save(making / f"{number % PART:03d}.png", compress_level=1)
            told = {"file_name": f"{number % PART:03d}.png", "text": scene.caption, "nouns": scene.nouns}
            lines.append(json.dumps(told) + "\n")
        (making / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
        making.rename(part)
