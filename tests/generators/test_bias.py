# pyright: basic
"""How the pictures of neutral words spread over attributes: counts, and how far the judge can be believed."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.generators.cards.model_card import ModelCard
from limner.generators.training.doodle.pictograms import COLOURS, with_article
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation import command
from limner.generators.training.evaluation.bias import PEOPLE, THINGS, measure_bias
from limner.generators.training.evaluation.painting import Painting, Tell, tell_nobody
from limner.generators.training.kinds import PRETRAINED
from tests.generators.test_atoms import KnowsThePictures, grey
from tests.generators.test_evaluation import arguments

CARD = ModelCard(name="tiny", source="", words=frozenset({"car", "cat", *COLOURS}))


class Drawing(Painting):
    """Draws a grey for each prompt, and keeps what the judge is to see there."""

    def __init__(self, card: ModelCard, shown: dict[str, list[str]]) -> None:
        self.card = card
        self._shown = shown
        self.sentences: list[str] = []

    def paint(self, prompts: Sequence[str], tell: Tell = tell_nobody) -> list[Image.Image]:
        self.sentences += [self._shown[prompt].pop(0) if self._shown.get(prompt) else prompt for prompt in prompts]
        return [grey(number) for number in range(len(prompts))]


class SeesWhatIsDrawn(KnowsThePictures):
    """Knows what each picture of a `Drawing` shows, once it is drawn."""

    def __init__(self, drawing: Drawing) -> None:
        super().__init__()
        self._drawing = drawing

    def score(self, images: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        return KnowsThePictures(*self._drawing.sentences).score(images, texts)


def test_each_picture_counts_for_what_it_is_most_like_and_named_values_say_how_sure_that_is():
    shown = {
        "a car": ["a red car", "a red car", "a blue car"],
        "a cat": ["a red cat"] * 3,
    }
    first, second, *_ = COLOURS
    shown[f"{with_article(first, first)} car"] = [f"{with_article(second, second)} car"]
    drawing = Drawing(CARD, shown)
    report = measure_bias(drawing, SeesWhatIsDrawn(drawing), 7, tell_nobody)
    assert report.prompts == ("a car",) * 3 + ("a cat",) * 3
    [both, cars, cats] = [one for one in report.spreads if one.attribute == "colour"]
    assert [one.noun for one in (both, cars, cats)] == ["", "car", "cat"]
    assert {value: number for value, number in cars.counts.items() if number} == {"red": 2, "blue": 1}
    assert [*cars.counts] == [*COLOURS]
    assert (cats.counts["red"], both.counts["red"], both.counts["blue"]) == (3, 5, 1)
    colours, _number, places = report.controls  # the model does not know a word of people
    assert (colours.asked, colours.right) == (len(COLOURS), len(COLOURS) - 1)
    assert (places.attribute, places.asked) == ("place", 0)  # it knows no place either
    named = drawing.sentences[6:]
    assert {word for prompt in named for word in prompt.split()} >= {"car", "cat"}


def test_pictures_with_a_value_named_are_a_quarter_of_the_others_and_at_least_one_of_each():
    everything = ModelCard(name="tiny", source="")
    values = sum(len(values) for subject in (THINGS, PEOPLE) for values in subject.attributes.values())
    for count, times in ((1, 1), (8 * values, 2)):
        drawing = Drawing(everything, {})
        report = measure_bias(drawing, SeesWhatIsDrawn(drawing), count, tell_nobody)
        assert sum(one.asked for one in report.controls) == values * times
        assert len(drawing.sentences) == len(report.prompts) + values * times


def test_all_words_are_english_and_a_model_that_knows_none_of_them_is_refused():
    texts = [text for subject in (THINGS, PEOPLE) for values in subject.attributes.values() for text in values.values()]
    made = [text.format(a="an owl", noun="owl", several="owls") for text in texts]
    assert len({*made}) == len(made)
    assert all("owl" in text and "{" not in text for text in made)
    stranger = ModelCard(name="tiny", source="", words=frozenset({"zebra"}))
    with pytest.raises(TrainingError, match="knows none of the words"):
        measure_bias(Drawing(stranger, {}), KnowsThePictures(), 7, tell_nobody)


def test_the_command_prints_the_counts_and_writes_a_sheet(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    card = ModelCard.read("tiny", str(tiny), num_inference_steps=1, words=frozenset({"car", "red", "green"}))
    told = arguments(tmp_path / "sheet.png")
    told.bias = True
    command.run(told, card, image_text_model=str(PRETRAINED / "image-text"), device="cpu")
    found = json.loads(capsys.readouterr().out)
    colours = next(one for one in found["spreads"] if (one["noun"], one["attribute"]) == ("car", "colour"))
    assert (found["pictures"], sum(colours["counts"].values())) == (6, 6)
    assert found["controls"][0] == {"attribute": "colour", "asked": 2, "right": found["controls"][0]["right"]}
    assert (tmp_path / "sheet.png").is_file()
    command.show_bias(card, found)
    table = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "6 pictures of tiny" in table
    assert "no verdict" in table
