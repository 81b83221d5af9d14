from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.generators.training.data.picture_folder import CaptionedPicture
from limner.generators.training.doodle.pictograms import COLOURS
from limner.generators.training.evaluation.atoms import judge_atoms
from limner.generators.vision.atoms import COUNTS, OPPOSITES, atoms_of
from limner.generators.vision.clip import FolderImageTextModel

NOUNS = ("apple", "cat", "dog", "fox", "owl", "ship", "tree", "bell", "kite", "snail", "unicorn", "mouse")


def captioned(text: str, *nouns: str) -> CaptionedPicture:
    return CaptionedPicture(Path(), text, nouns)


def rivals(kind: str, text: str, *nouns: str) -> list[tuple[str, ...]]:
    return [atom.rivals for atom in atoms_of(text, nouns, {*NOUNS} - {*nouns}) if atom.kind == kind]


class KnowsThePictures(FolderImageTextModel):
    """Knows a true sentence of each picture, by the picture's grey, and how many of its words another one has."""

    def __init__(self, *sentences: str) -> None:
        self._sentences = sentences

    def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        return np.array([[self._likeness(image, text) for text in texts] for image in images])

    def _likeness(self, image: Image.Image, text: str) -> float:
        true, said = self._sentences[image.tobytes()[0]].split(), text.split()
        return sum(one == other for one, other in zip(true, said, strict=False)) - abs(len(true) - len(said))


def grey(number: int) -> Image.Image:
    return Image.new("L", (1, 1), number)


def test_each_word_is_compared_with_others_of_its_kind_in_a_caption_that_stays_english():
    text = "a red cat to the left of two owls"
    assert rivals("colour", text)[0][:2] == (
        "an orange cat to the left of two owls",
        "a yellow cat to the left of two owls",
    )
    assert len(rivals("colour", text)[0]) == len(COLOURS) - 1
    assert rivals("count", text) == [("a red cat to the left of four owls", "a red cat to the left of three owls")]
    assert rivals("relation", text, "cat", "owl") == [("a red cat to the right of two owls",)]
    (of_cats,), (of_owls,) = (rivals("noun", text, noun) for noun in ("cat", "owl"))
    assert len(of_cats) == len(of_owls) == 9
    assert {"a red unicorn to the left of two owls"} <= {*of_cats, *rivals("noun", text, "cat")[0]} | {*NOUNS}
    assert all(one.endswith("s") or one.endswith("mice") for one in of_owls)
    assert rivals("noun", "An apple", "apple")[0][0].startswith("A ")


@pytest.mark.parametrize("text", ["", "ein roter Fuchs", "一只红色的狐狸", "a colourful thing", "over the hills"])
def test_a_caption_without_known_words_has_no_atoms(text: str):
    assert atoms_of(text, (), NOUNS) == []
    assert judge_atoms(KnowsThePictures(""), [grey(0)], [captioned(text)], NOUNS) == {}


captions = st.builds(
    "{} {} {} {} a {} {}".format,
    st.sampled_from(sorted(COUNTS)),
    st.sampled_from(COLOURS),
    st.just("cats"),
    st.sampled_from(sorted(OPPOSITES)),
    st.sampled_from(COLOURS),
    st.just("dog"),
)


@given(captions)
def test_what_is_there_is_right(text: str):
    found = judge_atoms(KnowsThePictures(text), [grey(0)], [captioned(text, "cat", "dog")], NOUNS)
    assert {name: figure.value for name, figure in found.items()} == dict.fromkeys(
        ("atom_noun", "atom_colour", "atom_count", "atom_relation", "all_atoms"), 1
    )
    assert [figure.samples for figure in found.values()] == [2, 2, 1, 1, 1]


def test_one_wrong_colour_costs_its_atom_and_its_picture():
    asked = [captioned("a red cat", "cat"), captioned("two blue dogs", "dog")]
    found = judge_atoms(KnowsThePictures("a green cat", "two blue dogs"), [grey(0), grey(1)], asked, NOUNS)

    assert found["atom_colour"][::3] == (0.5, 2)
    assert found["atom_noun"][::3] == (1, 2)
    assert found["atom_count"][::3] == (1, 1)
    assert found["all_atoms"][::3] == (0.5, 2)
    assert "atom_relation" not in found
