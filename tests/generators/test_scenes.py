# pyright: basic
import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from limner.generators.training.data.captions import read_metadata
from limner.generators.training.data.text_encoder import split_words
from limner.generators.training.doodle.held_out import Combination, HeldOut
from limner.generators.training.doodle.pictograms import (
    COLOURS,
    Noun,
    Pictogram,
    Pictograms,
    plural,
    read_nouns,
    with_article,
)
from limner.generators.training.doodle.places import Ground
from limner.generators.training.doodle.scenes import SceneMaker, compose
from limner.generators.training.doodle.styles import WORDINGS, render
from tests.benchmarks.held_out import read_seen, unseen_scenes
from tests.drawn_pictograms import blue_square, build_pictograms


@pytest.fixture(scope="module")
def pictograms(tmp_path_factory: pytest.TempPathFactory) -> Pictograms:
    return build_pictograms(tmp_path_factory.mktemp("pictograms"), blue_square)


def test_the_table_names_each_noun_once_and_enough_of_them():
    nouns = read_nouns()
    assert len({noun.name for noun in nouns}) == len(nouns) >= 250
    assert sum(len(noun.unseen) for noun in nouns) >= 50


def test_the_same_number_makes_the_same_scene(pictograms: Pictograms):
    maker = SceneMaker(pictograms)
    one, again, other = maker.make(Random(3)), maker.make(Random(3)), maker.make(Random(4))
    assert (one.image.tobytes(), one.caption) == (again.image.tobytes(), again.caption)
    assert (one.image.tobytes(), one.caption) != (other.image.tobytes(), other.caption)


def test_a_scene_of_twice_the_side_is_the_same_scene(pictograms: Pictograms, monkeypatch: pytest.MonkeyPatch):
    small, large = SceneMaker(pictograms), SceneMaker(pictograms, scale=2)
    finer = {name: Pictogram(pictograms[name].image.resize((256, 256)), True) for name in pictograms.nouns}
    monkeypatch.setattr(pictograms, "_pictures", finer)  # pictures are never enlarged
    for number in range(5):
        one, other = small.make(Random(number)), large.make(Random(number))
        assert (one.caption, one.names) == (other.caption, other.names)
        assert other.image.size == other.regions.size == (256, 256)
        halved = np.asarray(other.image.resize((128, 128), Image.Resampling.BOX), dtype=float)
        assert np.abs(halved - np.asarray(one.image)).mean() < 3, one.caption
        assert (np.asarray(other.regions)[::2, ::2] != np.asarray(one.regions)).mean() < 0.03, one.caption


@pytest.mark.slow
def test_a_styled_scene_says_its_style_and_looks_like_no_other(pictograms: Pictograms):
    maker = SceneMaker(pictograms, styled=1.0)
    for number in range(10):
        scene, plain = maker.make(Random(number)), SceneMaker(pictograms).make(Random(number))
        known = [
            name for name, texts in WORDINGS.items() if scene.caption in {text.format(plain.caption) for text in texts}
        ]
        assert len(known) == 1, scene.caption
        looks = {name: np.asarray(render(plain.image, name, 0), dtype=float) for name in WORDINGS}
        far = {name: np.abs(look - np.asarray(scene.image)).mean() for name, look in looks.items()}
        assert min(far, key=far.__getitem__) == known[0], far


def test_unseen_words_stand_in_no_caption(pictograms: Pictograms):
    maker = SceneMaker(pictograms)
    seen = split_words([maker.make(Random(number)).caption for number in range(150)])
    named = split_words([name for noun in read_nouns() for name in (noun.name, *noun.synonyms)])
    unseen = {word for noun in read_nouns() for name in noun.unseen for word in split_words([name])} - named
    assert len(unseen) >= 50
    assert not seen & unseen


def in_words(colour: str, noun: Noun, caption: str) -> bool:
    """Whether a caption calls the noun, by any of its names, so coloured."""
    names = "|".join(re.escape(form) for name in (noun.name, *noun.synonyms) for form in (name, plural(name)))
    return re.search(rf"\b{colour} ({names})\b", caption) is not None


def check_that_nothing_is_held_out(pictograms: Pictograms, count: int) -> None:
    maker, held_out = SceneMaker(pictograms), HeldOut(pictograms)
    by_noun: dict[str, list[str]] = {}
    for noun, _, colour in held_out.colours():
        by_noun.setdefault(noun, []).append(colour)
    for number in range(count):
        scene = maker.make(Random(number))
        assert not [combination for combination in scene.combinations if combination in held_out], scene.caption
        found = [
            (colour, noun)
            for noun in scene.nouns
            for colour in by_noun.get(noun, [])
            if in_words(colour, pictograms.nouns[noun], scene.caption)
        ]
        assert not found, scene.caption


@pytest.mark.slow
def test_held_out_combinations_occur_in_no_training_scene(pictograms: Pictograms):
    check_that_nothing_is_held_out(pictograms, 2_000)


@pytest.mark.slow
def test_held_out_combinations_occur_in_none_of_many_training_scenes(pictograms: Pictograms):
    check_that_nothing_is_held_out(pictograms, 40_000)


@pytest.mark.slow
def test_a_scene_to_test_with_tells_a_held_out_combination(pictograms: Pictograms):
    maker, held_out = SceneMaker(pictograms, held_out=True), HeldOut(pictograms)
    kinds: set[str] = set()
    for number in range(60):
        scene = maker.make(Random(number))
        told = [combination for combination, told in scene.combinations.items() if told and combination in held_out]
        assert told
        kinds |= {kind for _, kind, _ in told}
        for noun, kind, other in told:
            if kind == "colour":
                assert in_words(other, pictograms.nouns[noun], scene.caption)
            if kind == "paper":
                assert "background" in scene.caption
                assert other in scene.caption
    assert kinds == {"colour", "paper", "place", "number", "noun"}


@pytest.mark.slow
def test_scenes_of_what_doodle_has_never_seen_tell_a_combination_that_is_not_in_its_table(pictograms: Pictograms):
    seen, held_out = read_seen(), HeldOut(pictograms)
    assert Counter(kind for _, kind, _ in seen) == {"noun": 786, "paper": 333, "colour": 180, "place": 139}
    for scene, kinds in islice(unseen_scenes(pictograms, seen), 20):
        told = {combination for combination, is_told in scene.combinations.items() if is_told}
        assert kinds == {combination.kind for combination in told - seen if combination in held_out}
        assert kinds


def test_a_tenth_of_all_nouns_and_colours_is_held_out_but_never_a_colour_of_its_own(pictograms: Pictograms):
    held_out = HeldOut(pictograms)
    pairs = [
        (noun, colour)
        for noun in pictograms.nouns.values()
        for colour in COLOURS
        if Combination(noun.name, "colour", colour) in held_out
    ]
    assert 0.08 < len(pairs) / len(pictograms.nouns) / len(COLOURS) < 0.12
    names = {name for noun in pictograms.nouns.values() for name in (noun.name, *noun.synonyms)}
    for noun, colour in pairs:
        assert pictograms[noun.name].colour != colour
        for name in (noun.name, *noun.synonyms):
            assert colour not in name.split()
            assert f"{colour} {name}" not in names  # "a white bear" is a polar bear


def test_no_two_nouns_share_a_name():
    names = [name for noun in read_nouns() for name in (noun.name, *noun.synonyms)]
    assert len(set(names)) == len(names)


def test_scenes_are_written_once_as_an_image_folder(pictograms: Pictograms, tmp_path: Path):
    maker = SceneMaker(pictograms)
    compose(tmp_path, maker, 0, 3)
    lines = [json.loads(line) for line in (tmp_path / "00000" / "metadata.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == [maker.make(Random(number)).caption for number in range(3)]
    (tmp_path / "00000" / "000.png").unlink()
    compose(tmp_path, maker, 0, 3)
    assert not (tmp_path / "00000" / "000.png").exists()


def test_the_regions_of_a_scene_are_its_things(pictograms: Pictograms, tmp_path: Path):
    maker = SceneMaker(pictograms)
    compose(tmp_path, maker, 0, 60, regions=True)
    rows = list(read_metadata(tmp_path / "00000" / "metadata.jsonl"))
    for number, row in enumerate(rows):
        scene, regions = maker.make(Random(number)), row.regions
        assert regions
        assert (regions.names, regions.others) == (scene.names, scene.others)
        assert len(regions.names) == len(scene.nouns)
        numbers = Image.open(regions.file)
        assert numbers.tobytes() == scene.regions.tobytes()
        counted = {value: count for count, value in numbers.getcolors() or ()}
        assert {at for at, names in enumerate(regions.names, 1) if names} == counted.keys() - {0}


def test_what_is_put_in_front_has_the_region():
    ground = Ground(Image.new("RGB", (128, 128), "white"), "", {}, float)
    faint = Image.new("RGBA", (64, 32), (255, 0, 0, 100))
    faint.paste((255, 0, 0, 255), (0, 0, 32, 32))
    ground.put(1, faint, 0.5, 0.5, 0.5)
    ground.put(2, Image.new("RGBA", (16, 16), (0, 0, 255, 255)), 0.125, 0.375, 0.5)
    shown, regions = np.asarray(ground.image), np.asarray(ground.regions)
    for number, colour in ((1, (255, 0, 0)), (2, (0, 0, 255))):
        assert ((shown == colour).all(2) == (regions == number)).all()
    assert {*np.unique(regions)} == {0, 1, 2}
    assert ground.image.getpixel((80, 64)) == (255, 155, 155)


def test_a_pictogram_knows_its_colour_and_takes_another():
    blue = Pictogram(Image.new("RGBA", (16, 16), (40, 90, 230, 255)), paintable=True)
    assert blue.colour == "blue"
    assert blue.can_be("red")
    assert not blue.can_be("blue")
    assert Pictogram(blue.painted("red"), paintable=True).colour == "red"


@pytest.mark.parametrize(
    ("name", "several"),
    [
        ("cat", "cats"),
        ("mouse", "mice"),
        ("bus", "buses"),
        ("cup of tea", "cups of tea"),
        ("cake with candles", "cakes with candles"),
        ("strawberry", "strawberries"),
    ],
)
def test_several_of_a_thing(name: str, several: str):
    assert plural(name) == several


def test_articles():
    assert with_article("red apple", "apple") == "a red apple"
    assert with_article("orange cat", "cat") == "an orange cat"
    assert with_article("unicorn", "unicorn") == "a unicorn"
    assert with_article("blue scissors", "scissors") == "blue scissors"
