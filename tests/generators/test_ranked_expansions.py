# pyright: basic
"""Which expansion is painted: learnt from what is read in pictures, chosen among what the expander says anyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.generators.base import Expansion
from limner.generators.cards.model_card import ModelCard
from limner.generators.embedders import UniversalSentenceEncoder
from limner.generators.errors import ModelNotFound
from limner.generators.language.ranked_expander import APART, CANDIDATES, ExpansionRanker, RankedExpander
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation.painting import Painting
from limner.generators.training.families.expansions import (
    KEPT,
    ReadExpansion,
    ReadIdea,
    learn,
    paint_expansions,
    read_ideas,
)
from limner.generators.vision.clip import FolderImageTextModel

GOOD, BAD = ("bright clear light", "clean outlines", "sharp details"), ("thick fog", "deep shadows", "blurred mist")


class SayingExpander:
    """Adds one of some phrases to an idea, by the seed; "" stands for a text that its guard rejected."""

    def __init__(self, *phrases: str) -> None:
        self.phrases, self.seeds = phrases, []

    async def expand(
        self, idea: str, *, locale: str, seed: int, max_words: int, english_only: bool = False, dialect: str = ""
    ) -> Expansion:
        self.seeds.append(seed)
        return expansion(idea, self.phrases[len(self.seeds) - 1])

    async def close(self) -> None:
        self.phrases = ()


def expansion(idea: str, added: str) -> Expansion:
    note = "" if added else "It left out some of your words."
    return Expansion(f"{idea}, {added}" if added else idea, added, (idea,), "test", 0.1, note)


def ranker(count: int = 24) -> ExpansionRanker:
    """Learnt from ideas whose pictures show them in bright light, and not in fog."""
    ideas = [f"a {thing} number {number}" for number in range(count // 4) for thing in ("cat", "car", "cup", "tree")]
    read = [
        ReadIdea(
            idea,
            [
                ReadExpansion(expansion(idea, BAD[number % 3]), 0.5, 0.2),
                ReadExpansion(expansion(idea, GOOD[(number + 1) % 3]), 0.5 + number % 2 / 2, 0.3),
            ],
        )
        for number, idea in enumerate(ideas)
    ]
    learnt = learn([*read, ReadIdea("hope", read[0].expansions[:1])], UniversalSentenceEncoder.create())
    assert (learnt.right.value, learnt.right.samples) == (1.0, count)
    assert learnt.agreement["first"].value == 0.5
    assert learnt.agreement["chosen"].value == learnt.agreement["best"].value == pytest.approx(0.75)
    assert learnt.nearness["gain"].low == pytest.approx(0.1)
    return learnt.ranker


async def test_the_better_expansion_is_chosen_among_what_the_guard_let_through(tmp_path: Path) -> None:
    ranker().save(tmp_path / "ranker")
    loaded = ExpansionRanker.load(tmp_path / "ranker")

    async def said(*phrases: str) -> tuple[str, list[int]]:
        expander = SayingExpander(*phrases)
        ranked = RankedExpander(expander, loaded)
        text = (await ranked.expand("a dog", locale="en-US", seed=7, max_words=9)).added
        await ranked.close()
        assert expander.phrases == ()
        return text, expander.seeds

    seeds = [7 + APART * number for number in range(CANDIDATES)]
    assert await said("dense fog", "bright sharp lines", "dark mist") == ("bright sharp lines", seeds)
    assert await said("dense fog", "", "bright sharp lines") == ("bright sharp lines", seeds)
    assert await said("dense fog", "dense fog", "dense fog") == ("dense fog", seeds)
    assert await said("") == ("", seeds[:1])
    with pytest.raises(ModelNotFound):
        ExpansionRanker.load(tmp_path)


@pytest.mark.slow
def test_expansions_are_painted_and_read_once(tiny: Path, tiny_image_text: Path, tmp_path: Path) -> None:
    painting = Painting(ModelCard.read("tiny", str(tiny)), device="cpu")
    model = FolderImageTextModel.load(str(tiny_image_text))
    told: list[int] = []

    def paint(*phrases: str) -> list[ReadIdea]:
        expander = SayingExpander(*phrases)
        ideas = ["a red square", "a green square"][: len(phrases) // CANDIDATES]
        return paint_expansions(ideas, expander, painting, model, tmp_path / "out", lambda done, _: told.append(done))

    first = paint("soft", "warm", "soft")
    with (tmp_path / "out" / KEPT).open("a") as lines:
        lines.write('{"idea": "a green sq\n')
    again = paint("none", "of", "these", "dark", "cold", "pale")
    assert [[one.expansion.added for one in idea.expansions] for idea in (*first, *again)] == [
        *([["soft", "warm"]] * 2),
        ["none", "of", "these"],
    ]
    assert again[0] == first[0]
    assert all(0 <= one.agreement <= 1 and 0 < abs(one.nearness) < 1 for idea in again for one in idea.expansions)
    assert told == [1, 1, 2]
    painting.close()


def test_too_few_ideas_are_told(tmp_path: Path) -> None:
    (tmp_path / "ideas.txt").write_text("a cat\n\n a cat \na dog\n")
    with pytest.raises(TrainingError, match=r"^ideas.txt has 2 ideas, one a line; it takes from 20 to 10000"):
        read_ideas(tmp_path / "ideas.txt")
    with pytest.raises(TrainingError, match="expands none of these ideas in two ways"):
        learn([ReadIdea("hope", [])], UniversalSentenceEncoder.create())
