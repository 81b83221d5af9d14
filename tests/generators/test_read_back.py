"""What of an idea is seen in a picture, and what the rounds after that paint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.image_files import read_file
from limner.generators.references import Area
from limner.generators.requests import GenerationRequest
from limner.generators.vision.clip import FolderImageTextModel
from limner.generators.vision.missing_places import MissingPlace, mask_of, place_of_missing
from limner.generators.vision.read_back import (
    MOST_WEIGHT,
    PaintedPart,
    Reading,
    Refinement,
    atoms_in,
    read_back,
    weighted,
)
from limner.generators.weights import without_weights
from tests.tiny_image_text import square

CARD = ModelCard(name="tiny", source="none", weighs=True, starts=True)
REQUEST = GenerationRequest(
    prompt="a red cat", model="tiny", width=64, height=64, num_inference_steps=4, guidance_scale=4, seed=7, refine=3
)


def reading(missing: str = "", seen: str = "", nearness: float = 0.5) -> Reading:
    return Reading(tuple(seen.split()), tuple(missing.split()), nearness)


def painted(request: GenerationRequest, colour: str = "red") -> Finished:
    images = [Image.new("RGB", (8, 8), colour) for _ in request.seeds]
    return Finished("1", images, request.seeds, 1.0, 1.0)


def after(refinement: Refinement, *rounds: Sequence[Reading]) -> Refinement:
    for found in rounds:
        refinement.take(painted(refinement.next_request()), found)
    return refinement


@pytest.mark.parametrize(
    ("idea", "words"),
    [
        ("two red cats to the left of a (blue:1.3) dog", ["two", "red", "blue", "left of", "cats", "dog"]),
        ("an orange kitten and a tropical fish", ["orange", "kitten", "tropical fish"]),
        ("An orange", ["orange"]),
        ("hope", []),
        ("一只红色的猫", []),
    ],
)
def test_the_words_of_an_idea_that_can_be_judged(idea: str, words: list[str]) -> None:
    assert sorted(atom.word for atom in atoms_in(idea)) == sorted(words)


def test_a_wrong_colour_is_missing_and_a_right_one_is_seen(tiny_image_text: Path) -> None:
    model = FolderImageTextModel.load(str(tiny_image_text))
    red, green = read_back(model, [square("red"), square("green")], "a red square")
    assert (red.seen, red.missing, red.agreement) == (("red",), (), 1)
    assert (green.seen, green.missing, green.agreement) == ((), ("red",), 0)
    assert red.nearness > green.nearness
    assert read_back(model, [square("red")], "a square")[0].agreement == 1


@given(st.lists(st.sampled_from(["red", "cat", "left of", "a", "redder", "(sky:1.2)", ","])).map(" ".join))
def test_weights_change_no_word_and_each_weighs_once(prompt: str) -> None:
    said = weighted(prompt, {"red": 1.3, "left of": 1.6}, weighs=True)
    assert without_weights(said) == without_weights(prompt)
    for word in ("(red:1.3)", "(left of:1.6)"):
        assert said.count(word) == bool(re.search(rf"(?<!\S){word[1:-5]}(?!\S)", prompt))
    assert weighted("a red cat", {"red": 1.3, "cat": 1.6}, weighs=False) == "a red cat, red, cat"


def test_rounds_weigh_up_what_is_missing_and_start_from_the_best_picture_every_second_time() -> None:
    refinement = after(Refinement(REQUEST, CARD, "a red cat"), [reading("red", "cat")])
    second = refinement.next_request()
    assert (second.prompt, second.seed, second.init_image) == ("a (red:1.3) cat", 8, None)

    refinement.take(painted(second, "blue"), [reading("red cat")])
    third = refinement.next_request()
    assert (third.prompt, third.seed, third.strength) == ("a (red:1.6) cat", 9, 0.8)
    assert b"PNG" in read_file(third.init_image or "")[:8]
    after(refinement, [reading("red", "cat", 0.7)], [reading("red", "cat", 0.6)])

    assert refinement.weights == {"red": MOST_WEIGHT}
    assert refinement.is_over
    assert [(one.round, one.prompt) for one in refinement.best] == [(2, "a (red:1.6) cat")]
    from_picture = Refinement(replace(REQUEST, init_image="own.png", strength=0.4), CARD, "a red cat")
    after(from_picture, [reading("red")], [reading("red")])
    assert (from_picture.next_request().init_image, from_picture.next_request().strength) == ("own.png", 0.4)


@pytest.mark.parametrize(
    ("idea", "missing", "place"),
    [
        ("a cat to the left of a blue dog", "dog", MissingPlace("dog", area=Area.RIGHT)),
        ("a cat to the left of a blue dog", "cat", MissingPlace("cat", area=Area.LEFT)),
        ("a cat on top of a house", "house", MissingPlace("house", area=Area.BOTTOM)),
        ("a cat below a cloud", "cloud", MissingPlace("cloud", area=Area.TOP)),
        ("a cat below a cloud", "cat cloud", None),
        ("a cat and a dog", "dog", MissingPlace("dog", things=("cat",), is_around=True)),
        ("a cat and a small blue dog", "blue", MissingPlace("blue", things=("dog",))),
        ("a red cat and a blue dog", "blue", MissingPlace("blue", things=("dog",))),
        ("a blue dog", "blue dog", None),
        ("two cats to the left of a dog", "two", None),
        ("a cat to the left of a dog", "left", None),
        ("hope", "", None),
    ],
)
def test_a_missing_word_has_a_place_where_the_idea_says_it(idea: str, missing: str, place: MissingPlace | None) -> None:
    assert place_of_missing(idea, atoms_in(idea), missing.split()) == place


def test_a_part_is_white_where_the_thing_is_or_around_it() -> None:
    image, cat = Image.new("RGB", (64, 64)), Image.new("L", (64, 64))
    cat.paste(255, (20, 20, 30, 30))

    def find(_image: Image.Image, words: str) -> Image.Image:
        return {"cat": cat, "sky": Image.new("L", (64, 64), 255)}.get(words, Image.new("L", (64, 64)))

    within = mask_of(MissingPlace("red", things=("cat",)), image, find)
    around = mask_of(MissingPlace("dog", things=("cat",), is_around=True), image, find)
    right = mask_of(MissingPlace("dog", area=Area.RIGHT), image, find)
    assert within
    assert around
    assert right
    assert [within.getpixel(at) for at in ((25, 25), (13, 13), (60, 60))] == [255, 255, 0]
    assert [around.getpixel(at) for at in ((25, 25), (60, 60))] == [0, 255]
    assert right.getbbox() == (32, 0, 64, 64)
    for things in (("sky",), ("hat",)):
        assert mask_of(MissingPlace("red", things=things), image, find) is None


def test_a_round_paints_the_part_that_lacks_a_word_and_keeps_the_rest() -> None:
    idea, request = "a cat to the left of a dog", replace(REQUEST, width=8, height=8, num_images_per_prompt=2)
    refinement = after(Refinement(request, CARD, idea), [reading("dog", "cat", 0.6), reading("dog", "cat", 0.5)])
    place = refinement.where
    assert place
    assert place == MissingPlace("dog", area=Area.RIGHT)
    mask = mask_of(place, refinement.lacking.image, lambda image, _: image)
    assert mask
    refinement.part = PaintedPart(refinement.lacking.image, mask, place)

    asked = refinement.next_request()
    assert (asked.strength, asked.seed, bool(asked.init_image and asked.mask)) == (1.0, 9, True)
    whole = refinement.whole(painted(asked, "blue")).images[0]
    assert [whole.getpixel((x, 4)) for x in (1, 7)] == [(255, 0, 0), (0, 0, 255)]
    refinement.take(painted(asked, "blue"), [reading("dog", "cat"), reading("dog", "cat")])
    assert (refinement.places, refinement.part, refinement.where) == ([place], None, None)
    assert refinement.next_request().strength == 0.8

    for card, changed in ((replace(CARD, masks=False), request), (CARD, replace(request, init_image="own.png"))):
        assert after(Refinement(changed, card, idea), [reading("dog", "cat")] * 2).where is None


def test_it_ends_when_all_pictures_to_keep_show_all_words() -> None:
    two = replace(REQUEST, num_images_per_prompt=4, keep=2)
    refinement = after(Refinement(two, CARD, "a red cat"), [reading("red", "cat")] * 3 + [reading(seen="red cat")])
    assert not refinement.is_over
    assert refinement.next_request().seeds == [11, 12, 13, 14]
    after(refinement, [reading("red", "cat")] * 2 + [reading(seen="red cat", nearness=0.9)] * 2)
    assert refinement.is_over
    assert [one.seed for one in refinement.best] == [13, 14]
    assert after(Refinement(REQUEST, CARD, "a red cat"), []).is_over  # no model could read them
