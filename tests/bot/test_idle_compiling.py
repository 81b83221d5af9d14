# pyright: basic
"""An idle worker compiles a model, and stops trying what that saves as soon as a job comes."""

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from limner.bot.settings import Settings
from limner.bot.worker import idle_compiling
from limner.bot.worker.executor_thread import ExecutorThread
from limner.bot.worker.idle_compiling import IdleCompiling
from limner.generators.executor import Executor
from limner.generators.measured import Measured
from tests.discord_records import until
from tests.tiny_models import build_tiny_pipeline


def trials() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if any("compile_trial" in part for part in one.cmdline())]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_trial_ends_when_a_job_comes_and_is_made_in_the_next_pause(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_compiling, "IDLE_SECONDS", 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    models = {"tiny": str(build_tiny_pipeline(tmp_path / "tiny"))}
    settings = settings.using(models=models, compile="tiny", device="cpu")
    measured = Measured(settings.measured_file)
    thread = ExecutorThread(Executor(settings.cards, device="cpu", max_batch=1, measured=measured), settings)
    compiling, is_idle = IdleCompiling(thread, settings), True
    await thread.open()
    await thread.warm_up(settings.default_card, "a")
    trying = asyncio.create_task(compiling.advance(lambda: is_idle))
    await until(trials, 60, "the trial has begun")
    is_idle = False
    await asyncio.wait_for(trying, 10)
    assert trials() == []
    assert measured.all("compiled") == {}
    await compiling.advance(lambda: is_idle)
    assert trials() == []
    is_idle = True
    await asyncio.wait_for(compiling.advance(lambda: is_idle), 500)
    [found] = measured.all("compiled").values()
    assert [*found["times"]] == ["1"], json.dumps(found)
    assert any(settings.compile_cache.rglob("*.so"))
    assert await thread.compile_next() is None
    await thread.close()
