# pyright: basic, reportPrivateUsage=false, reportArgumentType=false
"""Compiled blocks paint the stock pictures, and only where that saves time; a compile that fails costs a log line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._inductor import config as inductor

from limner.generators.base import Failed
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion import compiled_blocks
from limner.generators.diffusion.compile_trial import attempt
from limner.generators.diffusion.compiled_blocks import make_room, note_compiled
from limner.generators.executor import Executor
from limner.generators.measured import Measured
from tests.generators.test_families import assert_stock, paint
from tests.tiny_models import FAMILIES, SIDE, tiny_request

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++ on a CPU")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    return tmp_path / "compiled"


@pytest.fixture
def card(tiny: Path, cache: Path) -> ModelCard:
    return ModelCard.read("tiny", str(tiny), width=SIDE, height=SIDE, compile_cache=str(cache))


def asked_by(executor: Executor) -> Any:
    """What is to be tried first, once the model is loaded."""
    executor.admit("a", tiny_request())
    assert executor.compile_next() is None  # a request is in flight
    executor.evict("a")
    asked = executor.compile_next()
    return json.loads(asked[1]) if asked else None


def load(card: ModelCard, measured: Measured) -> Executor:
    return Executor({"tiny": card}, device="cpu", max_batch=2, measured=measured)


def test_nothing_is_compiled_unless_it_was_measured_and_saves_time(card: ModelCard, caplog: pytest.LogCaptureFixture):
    measured = Measured()
    assert asked_by(load(replace(card, compile_cache=""), measured)) is None
    executor = load(card, measured)
    asked = asked_by(executor)
    assert asked["sizes"] == [1, 2]
    assert ModelCard.read(asked["name"], asked["source"], **asked["card"]) == card
    executor.compile_tried("tiny", {"times": {"1": 0.97, "2": 1.1}})
    assert measured.all("compiled") == {asked["key"]: {"sizes": [], "times": {"1": 0.97, "2": 1.1}}}
    assert executor.compile_next() is None
    assert asked_by(load(card, measured)) is None  # the next start knows it
    unet = executor._generators["tiny"]._pipelines.loaded.unet
    assert not any(module._compiled_call_impl for module in unet.modules())
    executor.compile_tried("another", {"times": {}})  # unloaded meanwhile
    for kept in (7, {"sizes": "all"}):
        measured.put("compiled", asked["key"], kept)
        assert asked_by(load(card, measured)) == asked
    measured.put("compiled", asked["key"], {"sizes": [2], "times": {"2": 0.5}})
    executor = load(card, measured)
    assert asked_by(executor) == asked  # its cache folder is gone, and filling it takes longer than a job may wait
    for found, reason in ((None, "no_answer"), ({"failed": "InvalidCxxCompiler"}, "InvalidCxxCompiler")):
        executor.compile_tried("tiny", found)
        assert executor.compile_next() is None  # not again until the next start
        assert caplog.messages[-1] == f"compile_failed model=tiny reason={reason}"


def test_a_large_cache_folder_is_emptied_and_a_full_disk_fails_the_trial(
    card: ModelCard, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    make_room(cache)
    (cache / "sub").mkdir()
    (cache / "sub" / "code").write_bytes(bytes(100))
    make_room(cache)
    assert (cache / "sub" / "code").exists()
    monkeypatch.setattr(compiled_blocks, "MOST_BYTES", 99)
    make_room(cache)
    assert [*cache.iterdir()] == []
    asked = asked_by(load(card, Measured()))
    monkeypatch.setattr(compiled_blocks, "LEAST_FREE", shutil.disk_usage(cache).total + 1)
    assert attempt(asked)["failed"].startswith("OSError")
    assert attempt({**asked, "bytes": 2**60}) == {"failed": "no_memory"}
    assert attempt({**asked, "source": "/nowhere"})["failed"]
    cache.rmdir()
    cache.write_text("a file")
    assert attempt(asked)["failed"].startswith("FileExistsError")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
@needs_compiler
@pytest.mark.parametrize("family", ["sd1", "sd3"])
def test_compiled_calls_paint_the_stock_pictures_and_others_run_uncompiled(
    family: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compiled_blocks, "GAIN", -99.0)  # tiny models gain nothing
    folder, measured = FAMILIES[family](tmp_path / "model"), Measured(tmp_path / "measured.json")
    card = ModelCard.read("tiny", str(folder), width=SIDE, height=SIDE, compile_cache=str(cache))
    executor = Executor({"tiny": card}, device="cpu", max_batch=2, measured=measured)
    executor.compile_tried("tiny", attempt(asked_by(executor)))
    assert any(cache.rglob("*.so"))
    assert [executor.compile_next() for _ in range(3)] == [None] * 3
    generator = executor._generators["tiny"]
    request = tiny_request(guidance_scale=card.guidance_scale)
    with pytest.MonkeyPatch.context() as only_compiled:
        only_compiled.setattr(generator._compilation.blocks, "_stance", "fail_on_recompile")
        [alone] = paint(generator, [(0, request)])
        joined = paint(generator, [(0, replace(request, seed=1)), (1, replace(request, seed=2))])
        [wider] = paint(generator, [(0, replace(request, width=SIDE + 8))])
        assert isinstance(wider, Failed)  # so the others ran compiled
    [wider] = paint(generator, [(0, replace(request, width=SIDE + 8))])
    assert_stock(family, folder, request, alone)
    assert_stock(family, folder, replace(request, seed=1), joined[0])
    assert_stock(family, folder, replace(request, seed=2), joined[1])
    assert_stock(family, folder, replace(request, width=SIDE + 8), wider)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler
def test_without_a_compiler_the_trial_fails_and_painting_goes_on(
    tiny: Path, card: ModelCard, caplog: pytest.LogCaptureFixture
):
    """Neither in the trial nor later, when the cache folder turns out to be empty."""
    torch._dynamo.reset()
    executor = load(card, Measured())
    asked = asked_by(executor)
    with inductor.patch({"cpp.cxx": ("no-such-compiler",)}):
        assert attempt(asked) == {"failed": "InvalidCxxCompiler"}
        executor._measured.put("compiled", asked["key"], {"sizes": [1, 2], "times": {}})
        note_compiled(card, asked["key"])
        assert executor.compile_next() is None
    assert caplog.messages[-1] == "compile_failed model=tiny reason=InvalidCxxCompiler"
    assert executor.compile_next() is None
    generator = executor._generators["tiny"]
    assert_stock("sd1", tiny, tiny_request(), *paint(generator, [(0, tiny_request())]))
