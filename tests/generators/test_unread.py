"""Words that do nothing: beyond what a text encoder has room for, and those that a model has never met."""

# pyright: basic

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import Event, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.language.caption_encoder import load_caption_encoder
from limner.generators.language.unread import first_unread, unknown_words, unread_from
from tests.tiny_models import stock_pipeline, tiny_request, tiny_tokenizer

LONG = "a red cat sits on a mat "
"""Too long for the tiny encoders of CLIP's kind: they read 16 letters."""


def painted(folder: Path, **request: Any) -> Finished:
    card = ModelCard.read("tiny", str(folder), width=16, height=16)
    painter = DiffusionGenerator.load(card, device="cpu", max_batch=1)
    painter.admit("1", tiny_request(**request))
    events: list[Event] = []
    while not any(isinstance(event, Finished) for event in events):
        events += painter.step()
    painter.close()
    [finished] = [event for event in events if isinstance(event, Finished)]
    return finished


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_what_is_told_as_not_read_changes_nothing(family_folder: Callable[[str], Path], family: str):
    folder = family_folder(family)
    prompt, negative = LONG * 2, "blue, green, yellow, grey"
    long = painted(folder, prompt=prompt, negative_prompt=negative)
    assert long.unread == "mat a red cat sits on a mat"
    assert long.unread_negative == "yellow, grey"  # of the first of these words some letters are read
    short = painted(folder, prompt="a red cat sits on a", negative_prompt=negative)
    assert short.unread == ""
    assert np.array_equal(np.asarray(long.images[0]), np.asarray(short.images[0]))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "longest"), [pytest.param("sd3", 256, marks=pytest.mark.slow), ("flux_dev", 512)])
def test_the_encoder_that_reads_most_counts(family_folder: Callable[[str], Path], family: str, longest: int):
    folder = family_folder(family)
    assert painted(folder, prompt=LONG).unread == ""
    words = "".join(chr(ord("a") + i % 26) + " " for i in range(longest))
    unread = painted(folder, prompt=words).unread
    tokenizer = stock_pipeline(folder).components["tokenizer_3" if family == "sd3" else "tokenizer_2"]
    kept = words.removesuffix(f" {unread} ")
    assert unread
    read = tokenizer(words, truncation=True, max_length=longest).input_ids
    assert tokenizer.decode(read, skip_special_tokens=True).strip() == kept


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@given(st.text(alphabet="ab cd,.-'狐", max_size=60))
def test_what_is_left_of_a_text_is_its_end_and_begins_with_a_word(tokenizer: Any, text: str):
    unread = unread_from(text, first_unread(tokenizer, text, 16))
    assert unread in text
    before = text[: text.rindex(unread)] if unread else text
    assert len(tokenizer(before.rstrip(" ,.-'")).input_ids) <= 16
    assert not (before[-1:] in list("abcd") and unread[:1] in list("abcd"))


@pytest.mark.slow
def test_a_language_model_that_reads_captions_tells_what_it_leaves():
    encoder = load_caption_encoder("smollm2")
    assert encoder.unread("the digit seven") == ""
    unread = encoder.unread("the digit seven " * 20)
    assert unread.endswith("the digit seven")
    assert not unread.startswith("the digit seven the digit seven the digit seven " * 5)


KNOWN = {"fox", "foxes", "apple", "red", "green", "table", "knife", "cherry", "snow", "cat"}


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a green bottle on a table", ["bottle"]),
        ("Two apples and the cat's knives", ["Two", "knives"]),
        ("cherries, tables, an Apple in the snow", []),
        ("a red bottle, a BOTTLE", ["bottle", "BOTTLE"]),
        ("3 foxes; 苹果 and a Wald", ["3", "苹果", "Wald"]),
        ("it is not very red", []),
        ("", []),
    ],
)
def test_words_that_a_model_has_never_met_are_named(text: str, unknown: list[str]):
    assert unknown_words(text, KNOWN) == unknown


def test_the_shipped_model_tells_its_words():
    card = ModelCard.read("doodle", str(PRETRAINED / "doodle"))
    assert card.is_tryout
    assert unknown_words("a green bottle on a table", card.words) == ["bottle"]
    shown = ["a red apple", "a pirate ship on the ocean", "a castle on a hill", "two cats in the snow at night"]
    assert [unknown_words(text, card.words) for text in shown] == [[]] * 4
    assert ModelCard.read("any", "somebody/some-model").words == frozenset()
