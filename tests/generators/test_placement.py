"""The language model and the image model on one device: how it is decided, and that taking turns harms nobody."""

# pyright: basic, reportPrivateUsage=false

import asyncio
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.executor import Executor
from limner.generators.language.expanders import TransformersExpander
from limner.generators.language.placement import (
    Neighbour,
    Policy,
    Sizes,
    choose,
    describe,
    image_model_bytes,
    language_model_bytes,
    report,
)
from tests.tiny_models import tiny_request

GB = 10**9
SIZE = st.integers(0, 100 * GB)
RANK: list[Policy] = ["cpu", "swap", "resident"]


@given(
    image_model=SIZE,
    language_model=SIZE,
    wanted=st.sampled_from(["auto", "cpu", "resident", "swap"]),
    movable=st.booleans(),
)
def test_without_an_accelerator_there_is_only_the_cpu(
    image_model: int, language_model: int, wanted: str, movable: bool
):
    assert choose(wanted, Sizes(None, image_model, language_model), movable=movable) == "cpu"


@given(free=SIZE, image_model=SIZE, language_model=SIZE, movable=st.booleans())
def test_auto_never_plans_more_than_is_free_and_takes_turns_only_if_it_must(
    free: int, image_model: int, language_model: int, movable: bool
):
    policy = choose("auto", Sizes(free, image_model, language_model), movable=movable)
    on_it = {"cpu": 0, "swap": max(image_model, language_model), "resident": image_model + language_model}[policy]
    assert policy == "cpu" or on_it + GB <= free
    assert policy != "swap" or movable
    if image_model + language_model + max(2**30, (image_model + language_model) // 2) <= free:
        assert policy == "resident"


@given(free=SIZE, more=SIZE, image_model=SIZE, language_model=SIZE)
def test_more_memory_is_never_worse(free: int, more: int, image_model: int, language_model: int):
    less = choose("auto", Sizes(free, image_model, language_model))
    assert RANK.index(choose("auto", Sizes(free + more, image_model, language_model))) >= RANK.index(less)


@given(free=SIZE, image_model=SIZE, language_model=SIZE, wanted=st.sampled_from(RANK))
def test_the_operator_has_the_last_word_on_an_accelerator(
    free: int, image_model: int, language_model: int, wanted: Policy
):
    assert choose(wanted, Sizes(free, image_model, language_model)) == wanted
    assert choose("swap", Sizes(free, image_model, language_model), movable=False) in ("cpu", "resident")


@pytest.mark.parametrize(
    ("free", "image_model", "language_model", "policy"),
    [(24 * GB, 6.9 * GB, 0.5 * GB, "resident"), (12 * GB, 6.9 * GB, 8 * GB, "swap"), (8 * GB, 6.9 * GB, 8 * GB, "cpu")],
)
def test_usual_cards(free: int, image_model: float, language_model: float, policy: Policy):
    assert choose("auto", Sizes(free, int(image_model), int(language_model))) == policy


def test_it_is_said_in_words_with_the_numbers():
    assert describe("cpu", Sizes(None, 0, 270_000_000)) == "language model on the CPU: 270 MB; no accelerator"
    both = describe("resident", Sizes(24 * GB, 6_900_000_000, 500_000_000))
    assert both == "language model and image model both on the GPU: 500 MB + 6.9 GB of 24.0 GB free"


def test_weights_are_counted_from_their_headers(tmp_path: Path):
    for part, numbers in {"unet": 1000, "vae": 10}.items():
        (tmp_path / part).mkdir()
        save_file({"w": torch.zeros(numbers)}, tmp_path / part / "model.safetensors")
    save_file({"w": torch.zeros(1000, dtype=torch.float16)}, tmp_path / "unet" / "model.fp16.safetensors")
    assert image_model_bytes(str(tmp_path), dtype="bfloat16", offload="none") == 2 * 1010
    assert image_model_bytes(str(tmp_path), dtype="float32", offload="model") == 4 * 1000
    assert image_model_bytes(str(tmp_path), dtype="float32", offload="sequential") == 0
    assert language_model_bytes(str(tmp_path / "unet"), dtype="float16") == 2 * 1000
    assert language_model_bytes("nobody/nothing", dtype="float16") == 0


def test_a_machine_is_told_of_with_what_would_be_done(tiny: Path):
    said = report(Neighbour(device="cpu", source=str(tiny)), "")
    assert (said["policy"], said["version"]) == ("cpu", torch.__version__)
    assert said["sizes"]["image_model"] == image_model_bytes(str(tiny), dtype="float32", offload="none") > 0
    assert said["placement"].startswith("language model on the CPU: 538 MB")
    assert "policy" not in report(Neighbour(device="cuda:99"), "")


def test_while_the_device_is_lent_nothing_is_painted_and_the_picture_is_the_same(tiny: Path):
    executor = Executor({"tiny": ModelCard.read("tiny", str(tiny))}, device="cpu")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(executor.admit, "alone", tiny_request()).result()
        alone = thread.submit(_paint, executor).result()
        thread.submit(executor.admit, "lent", tiny_request()).result()
        thread.submit(executor.step).result()
        with executor.aside():
            stepped = thread.submit(executor.step)
            assert not wait([stepped], timeout=0.1).done
        stepped.result(10)
        assert thread.submit(_paint, executor).result().images[0].tobytes() == alone.images[0].tobytes()


async def test_a_language_model_writes_only_while_the_painter_stands_aside(tiny_llama: Path, tiny: Path):
    executor = Executor({"tiny": ModelCard.read("tiny", str(tiny))}, device="cpu")
    beside = executor.neighbour("tiny", "swap")
    expander = TransformersExpander.create(
        model=str(tiny_llama), url="", api_key="", timeout=30, cache=tiny, beside=beside
    )
    expander.loading_seconds = 60.0
    on_cpu = await expander.expand("a red cat", locale="en-US", seed=3, max_words=20)
    assert expander._policy == "cpu"  # there is nothing to swap on this machine
    expander._policy = "swap"
    swapped = await expander.expand("a red cat", locale="en-US", seed=3, max_words=20)
    assert swapped.text == on_cpu.text
    with executor.aside():
        waiting = asyncio.ensure_future(expander.expand("a red cat", locale="en-US", seed=3, max_words=20))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
    assert (await waiting).text == on_cpu.text
    await expander.close()


@pytest.mark.gpu
@pytest.mark.parametrize("policy", RANK)
async def test_every_policy_on_an_accelerator(tiny_llama: Path, tiny: Path, policy: Policy):
    executor = Executor({"tiny": ModelCard.read("tiny", str(tiny))}, device="auto", dtype="float32")
    executor.admit("a", tiny_request())
    executor.step()
    beside = executor.neighbour("tiny", policy)
    expander = TransformersExpander.create(
        model=str(tiny_llama), url="", api_key="", timeout=30, cache=tiny, beside=beside
    )
    expander.loading_seconds = 60.0
    await expander.expand("a red cat", locale="en-US", seed=3, max_words=20)
    assert expander._policy == policy
    assert isinstance(_paint(executor), Finished)
    await expander.close()


def _paint(executor: Executor) -> Finished:
    while True:
        for event in executor.step():
            if isinstance(event, Finished):
                return event
