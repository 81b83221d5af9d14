# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""A LoRA by preferences: it begins at the model without it, and moves only towards what is preferred."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.bot.cli.arguments import build_parser
from limner.generators.cards.model_card import ModelCard
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.diffusion_dpo import BETA
from limner.generators.training.families.liked_pictures import RatedPicture, contrasts, write_pairs, write_rated
from limner.generators.training.families.lora import WEIGHTS, LoRARecipe, train_lora
from limner.generators.training.families.preferences import read_preferences
from limner.generators.training.losses import LOSSES
from limner.generators.training.plan import Plan
from tests.generators.test_preferences import write
from tests.generators.test_training_complaints import command

PLAN = Plan(samples=320, batch=8, learning_rate=3e-2, warmup=2, ema=0.9, weight_decay=0.0)


@pytest.fixture
def recipe(tiny: Path, tmp_path: Path) -> LoRARecipe:
    pairs = read_preferences(write(tmp_path / "pairs", members=5, each=10)).pairs
    write_pairs(pairs, tmp_path / "preferred", 16)
    folders = {"pictures": tmp_path / "preferred", "folder": tmp_path / "out"}
    return LoRARecipe(model=str(tiny), rank=2, plan=PLAN, beta=BETA, **folders)


@pytest.mark.slow
def test_the_margin_grows_from_nothing_to_what_is_preferred(recipe: LoRARecipe) -> None:
    assert train_lora(recipe, processes=1) == recipe.folder / WEIGHTS
    loss, margin, right = losses(recipe)
    assert (loss[0], margin[0], right[0]) == (pytest.approx(math.log(2), abs=1e-4), pytest.approx(0, abs=1e-4), 0)
    assert loss[-5:].mean() < 0.4
    assert margin[-5:].mean() > 2
    assert right[-5:].mean() > 0.9


@pytest.mark.slow
def test_two_equal_pictures_prefer_nothing_however_the_model_changes(recipe: LoRARecipe) -> None:
    """Both pictures of a pair are asked about with the same noise and words at the same timestep."""
    pairs = read_preferences(recipe.folder.parent / "pairs" / "pairs.jsonl").pairs
    write_pairs([replace(pair, worse=pair.better) for pair in pairs], recipe.pictures, 16)
    assert train_lora(replace(recipe, plan=replace(PLAN, samples=40)), processes=1)
    assert losses(recipe)[0] == pytest.approx(math.log(2), abs=1e-3)


def losses(recipe: LoRARecipe) -> np.ndarray:
    """Loss, margin and share of right pairs of each step."""
    return np.loadtxt(recipe.folder / LOSSES, delimiter=",", skiprows=1)[:, 1:4].T


def test_copies_of_the_pictures_lie_there_only_while_it_learns(recipe: LoRARecipe, tmp_path: Path) -> None:
    told = f"train lora {recipe.model} --pairs {tmp_path}/pairs/pairs.jsonl --samples 8 --rank 2 --processes 1"
    arguments = build_parser().parse_args([*told.split(), "--out", str(recipe.folder)])
    arguments.models, arguments.training, arguments.loras = {}, tmp_path, tmp_path
    arguments.card_of = lambda name: ModelCard(name="tiny", source=name, width=16, height=24)
    arguments.kind(arguments)
    found = {path.name for path in recipe.folder.iterdir()}
    assert {WEIGHTS, LOSSES} <= found
    assert not {"preferred", "latents"} & found


def test_a_command_names_one_thing_to_learn_from(tmp_path: Path) -> None:
    for words in ((), ("toys", "--liked", "7"), ("--liked", "7", "--pairs", "pairs.jsonl")):
        with pytest.raises(TrainingError, match=r"^Name one thing to learn from: a folder of pictures, --liked with"):
            command(tmp_path, "lora", "doodle", *words)
    few = write(tmp_path / "pairs", members=3, each=20)
    with pytest.raises(TrainingError, match=r"^60 choices of 3 members are too few"):
        command(tmp_path, "lora", "doodle", "--pairs", str(few))


RATINGS = st.lists(
    st.tuples(st.sampled_from(("a cow", "a cat", "a car")), st.integers(-3, 3).filter(bool)), max_size=20
)


@given(RATINGS)
def test_what_is_liked_is_paired_with_what_is_not_of_its_own_words_first(rated: list[tuple[str, int]]):
    pairs = contrasts([RatedPicture(words, likes, lambda: Image.new("RGB", (8, 8))) for words, likes in rated])
    liked, not_liked = Counter(pair[0] for pair in pairs), Counter(pair[1] for pair in pairs)
    assert all(rated[number][1] > 0 for number in liked)
    assert all(rated[number][1] < 0 for number in not_liked)
    if {likes > 0 for _words, likes in rated} != {True, False}:
        assert pairs == []
        return
    assert all((liked if likes > 0 else not_liked)[number] >= abs(likes) for number, (_, likes) in enumerate(rated))
    many = {sign: Counter[str]() for sign in (1, -1)}
    for words, likes in rated:
        many[1 if likes > 0 else -1][words] += abs(likes)
    same = sum(rated[one][0] == rated[other][0] for one, other in pairs)
    assert same >= (many[1] & many[-1]).total()
    assert len(pairs) == max(many[1].total(), many[-1].total())


def test_likes_alone_are_weights(tmp_path: Path) -> None:
    pictures = [RatedPicture("a cow", likes, lambda: Image.new("RGB", (24, 16))) for likes in (1, 2)]
    assert not write_rated(pictures, tmp_path / "liked", 16)
    rows = [json.loads(line) for line in (tmp_path / "liked" / "metadata.jsonl").read_text().splitlines()]
    assert [row["loss_weight"] for row in rows] == [pytest.approx(math.e), pytest.approx(math.e**2)]
