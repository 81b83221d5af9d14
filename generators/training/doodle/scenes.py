"""Scenes composed of pictograms, with captions that say what is where and in which colour."""

# pyright: basic

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from limner.generators.training.doodle.held_out import Combination, HeldOut
from limner.generators.training.doodle.layouts import LAYOUTS, relations
from limner.generators.training.doodle.pictograms import COLOURS, Noun, Pictograms, is_plural, plural, with_article
from limner.generators.training.doodle.places import (
    HOMES,
    LIGHTS,
    SKIES,
    TIMES,
    VIEWS,
    Ground,
    paint_landscape,
    paint_paper,
    paint_place,
    paint_rainbow,
    paint_setting_sun,
    pick_light,
)
from limner.generators.training.doodle.styles import render, some_style, worded

PART = 1000
"""Scenes in one folder."""

_FILLERS = ("cute", "little", "nice", "happy", "lovely", "pretty", "funny", "beautiful", "simple", "sleepy")
_NUMBERS = {2: ("two", "2", "a pair of"), 3: ("three", "3")}


@dataclass(frozen=True)
class Scene:
    """A picture, its caption, and the nouns in it, the main one first.

    ``combinations`` has all combinations in the picture, and whether the caption mentions them. ``regions`` holds for
    each pixel the number (from 1) of the noun in front of it, 0 where there is none; ``names`` are the words for each
    noun with a region, with its colour and without; ``others`` are nouns without one, as parts of the background.
    """

    image: Image.Image
    caption: str
    nouns: tuple[str, ...]
    combinations: Mapping[Combination, bool]
    regions: Image.Image
    names: tuple[tuple[str, ...], ...]
    others: tuple[str, ...]


class SceneMaker:
    """Composes scenes from pictograms; the same random numbers make the same scene.

    A maker makes either scenes without held-out combinations, for training, or only scenes whose caption has one, for
    testing. With a ``scale`` of 2 the same scenes have 256 pixels a side instead of 128; ``styled`` is the share of
    scenes that are rendered in a style, which their captions name.
    """

    def __init__(self, pictograms: Pictograms, *, held_out: bool = False, scale: int = 1, styled: float = 0.0) -> None:
        self._pictograms, self._scale, self._styled = pictograms, scale, styled
        self._nouns = list(pictograms.nouns.values())
        self._weights = [noun.weight for noun in self._nouns]
        self._held_out, self._wants_held_out = HeldOut(pictograms), held_out
        self._kinds: dict[Callable[[Random], Scene | None], int] = {
            self._one_on_paper: 34,
            self._one_in_place: 36,
            self._two: 14,
            self._several: 8,
            self._view: 8,
        }

    def make(self, random: Random) -> Scene:
        """One more scene."""
        while True:
            kind = random.choices(list(self._kinds), list(self._kinds.values()))[0]
            scene = kind(random)
            if scene is not None and self._fits(scene.combinations):
                return _in_style(scene, random) if self._styled and random.random() < self._styled else scene

    def _fits(self, found: Mapping[Combination, bool]) -> bool:
        if self._wants_held_out:
            return any(is_said and combination in self._held_out for combination, is_said in found.items())
        return not any(combination in self._held_out for combination in found)

    def _noun(self, random: Random) -> Noun:
        return random.choices(self._nouns, self._weights)[0]

    def _one_on_paper(self, random: Random) -> Scene:
        thing = self._thing(random, self._noun(random))
        ground = paint_paper(random, self._scale)
        self._put(random, ground, thing, random.uniform(0.52, 0.9), random.uniform(0.45, 0.55))
        return self._scene(random, ground, f"{thing.words} {ground.words}", [thing])

    def _one_in_place(self, random: Random) -> Scene:
        noun = self._noun(random)
        thing = self._thing(random, noun)
        ground = paint_place(random, random.choice(HOMES[noun.home]), self._pictograms, self._scale)
        self._put(random, ground, thing, random.uniform(0.42, 0.72), random.uniform(0.32, 0.68))
        return self._scene(random, ground, f"{thing.words} {ground.words}", [thing])

    def _put(self, random: Random, ground: Ground, thing: _Thing, side: float, x: float) -> None:
        side *= thing.scale
        ground.put(1, thing.picture(self._pictograms, random), side, x, ground.stand(side))

    def _two(self, random: Random) -> Scene | None:
        one, other = self._noun(random), self._noun(random)
        if one == other:
            return None
        relation = random.choice(relations(one, other))
        first, second = self._thing(random, one, 0.3), self._thing(random, other, 0.3)
        ground = self._ground_for(random, relation, one, other)
        for number, (thing, place) in enumerate(zip((first, second), LAYOUTS[relation](random), strict=True), 1):
            x, y, side = place
            ground.put(number, thing.picture(self._pictograms, random), side, x, y)
        return self._scene(random, ground, f"{first.words} {relation} {second.words} {ground.words}", [first, second])

    def _ground_for(self, random: Random, relation: str, one: Noun, other: Noun) -> Ground:
        homes = {one.home, other.home}
        if random.random() < 0.5 or relation in ("on top of",):
            return paint_paper(random, self._scale)
        place = (
            "space" if "space" in homes else "under water" if homes == {"swim"} else random.choice(("grass", "snow"))
        )
        ground = paint_place(random, place, self._pictograms, self._scale)
        return ground if random.random() < 0.6 else ground.wordless()

    def _several(self, random: Random) -> Scene | None:
        noun = self._noun(random)
        if is_plural(noun.name):
            return None
        count = random.choice((2, 2, 3))
        thing = self._thing(random, noun, 0.35)
        words = " ".join(filter(None, (random.choice(_NUMBERS[count]), thing.colour, plural(thing.name))))
        if random.random() < 0.4:
            ground = paint_place(random, random.choice(HOMES[noun.home]), self._pictograms, self._scale)
        else:
            ground = paint_paper(random, self._scale)
        side = {2: 0.46, 3: 0.34}[count] * random.uniform(0.9, 1.08)
        height = random.uniform(0.5, 0.62)
        picture = thing.picture(self._pictograms, random)
        for i in range(count):
            x = (i + 0.5) / count + random.uniform(-0.02, 0.02)
            ground.put(1, picture, side, x, height + random.uniform(-0.06, 0.06))
        return self._scene(random, ground, f"{words} {ground.words}", [thing], count)

    def _view(self, random: Random) -> Scene:
        """A landscape, perhaps with a sun, moon or rainbow in its sky and a tree or palm in front."""
        place = random.choice([*VIEWS, "hills", "beach", "sea"])
        time = random.choice(list(SKIES))
        words, light = random.choice(VIEWS[place]), pick_light(random, time) if place != "sky" else ""
        sky = paint_rainbow if light == "rainbow" else paint_setting_sun if light and time == "sunset" else None
        image, decoration = paint_landscape(random, place, time, self._pictograms, sky, self._scale)
        ground = Ground(image, "", {("place", place): True} | {("noun", noun): False for noun in decoration}, float)
        tells_light = light == "rainbow" or random.random() < 0.7
        things = [self._plain(light, tells_light)] if light else []
        if light == "rainbow":
            return self._scene(random, ground, f"a rainbow {random.choice(('over', 'above'))} {words}", things)
        if light and not sky:
            ground.put(1, self._pictograms[light].image, LIGHTS[light], random.uniform(0.25, 0.75), 0.24)
        if time == "sunset" and not (light and tells_light) and random.random() < 0.7:
            words = f"{random.choice(('a', 'the'))} sunset over {words}"
        else:
            words = f"{words} {random.choice(TIMES[time])}".strip()
            words += f" {random.choice(('under', 'with'))} a {light}" if light and tells_light else ""
        if place in ("beach", "hills", "grass", "snow") and random.random() < 0.5:
            tree = self._plain("palm tree" if place == "beach" else random.choice(("tree", "fir tree")))
            things.append(tree)
            side = random.uniform(0.5, 0.68)
            ground.put(len(things), self._pictograms[tree.name].image, side, random.uniform(0.2, 0.8), 0.88 - side / 2)
            words += f" {random.choice(('with', 'and'))} {tree.words}"
        return self._scene(random, ground, words, things)

    def _plain(self, name: str, is_said: bool = True) -> _Thing:
        """A noun without attributes; not mentioned are those without a word in the caption."""
        return _Thing(self._pictograms.nouns[name], name, with_article(name, name) if is_said else "", "", "", 1.0)

    def _thing(self, random: Random, noun: Noun, plain: float = 0.0) -> _Thing:
        """A noun's look and words; ``plain`` is the share without attributes."""
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

    def _scene(self, random: Random, ground: Ground, words: str, things: Sequence[_Thing], count: int = 1) -> Scene:
        caption = " ".join(words.split())
        if random.random() < 0.05:
            caption = f"{random.choice(('a picture of', 'a drawing of', 'an image of', 'a cartoon of'))} {caption}"
        nouns = tuple(thing.noun.name for thing in things)
        visible = {number for _, number in ground.regions.getcolors() or ()}
        names = tuple(thing.names(count) if number in visible else () for number, thing in enumerate(things, 1))
        others = {noun for kind, noun in ground.shows if kind == "noun"}
        others |= {noun for noun, words in zip(nouns, names, strict=True) if not words}  # a sun in the painted sky
        return Scene(
            ground.image, caption, nouns, _combine(ground, things, count), ground.regions, names, tuple(sorted(others))
        )


def _in_style(scene: Scene, random: Random) -> Scene:
    """The scene in a style by chance, which its caption names."""
    style = some_style(random)
    return replace(
        scene, image=render(scene.image, style, random.getrandbits(32)), caption=worded(scene.caption, style, random)
    )


def _combine(ground: Ground, things: Sequence[_Thing], count: int) -> dict[Combination, bool]:
    """The combinations of things on a background, and whether the words mention them."""
    found: dict[Combination, bool] = {}
    for thing in things:
        is_named = bool(thing.words)
        if thing.colour:
            found[Combination.of(thing.noun.name, "colour", thing.colour)] = is_named
        if count > 1:
            found[Combination.of(thing.noun.name, "number", str(count))] = is_named
        for (kind, other), is_said in ground.shows.items():
            if other != thing.noun.name:
                found[Combination.of(thing.noun.name, kind, other)] = is_named and is_said
    for one, other in combinations(things, 2):
        found[Combination.of(one.noun.name, "noun", other.noun.name)] = bool(one.words and other.words)
    return found


@dataclass(frozen=True)
class _Thing:
    noun: Noun
    name: str
    words: str
    colour: str
    painted: str
    scale: float

    def names(self, count: int) -> tuple[str, ...]:
        """The noun's names, without its colour and with it; in the plural if there are several of it."""
        names = (self.noun.name, *self.noun.synonyms)
        if count > 1:
            names = tuple(map(plural, names))
        coloured = tuple(f"{self.colour} {name}" for name in names if self.colour and self.colour not in name.split())
        return names + coloured

    def picture(self, pictograms: Pictograms, random: Random) -> Image.Image:
        pictogram = pictograms[self.noun.name]
        image = pictogram.painted(self.painted) if self.painted else pictogram.image
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < 0.3:
            image = image.rotate(random.uniform(-10, 10), Image.Resampling.BILINEAR, expand=True)
        return image


def compose(folder: Path, maker: SceneMaker, first: int, last: int, *, regions: bool = False) -> None:
    """Write scenes ``first`` to ``last`` (their numbers are their seeds) as an image folder: metadata.jsonl and PNG.

    Scenes are written in parts of 1,000, each atomically and once; with ``regions`` also those of each scene as PNG,
    to learn segmentation from.
    """
    for start in range(first, last, PART):
        part = folder / f"{start // PART:05d}"
        if part.is_dir():
            continue
        making = part.with_suffix(".part")
        numbers = range(start, min(start + PART, last))
        write_scenes(making, (maker.make(Random(number)) for number in numbers), regions=regions)
        making.rename(part)


def write_scenes(folder: Path, scenes: Iterable[Scene], *, regions: bool = False) -> None:
    """Write scenes as an image folder; with ``regions`` also those of each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for number, scene in enumerate(scenes):
        scene.image.save(folder / f"{number:03d}.png", compress_level=1)
        row: dict[str, Any] = {"file_name": f"{number:03d}.png", "text": scene.caption, "nouns": scene.nouns}
        if regions:
            row |= {"regions": f"{number:03d}-regions.png", "names": scene.names, "others": scene.others}
            scene.regions.save(folder / row["regions"])
        lines.append(json.dumps(row) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
