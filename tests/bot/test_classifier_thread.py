"""The lookout: what cannot be seen is told as unseen, in time, and costs nobody else a look."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from PIL import Image

from limner.bot.errors import NotClassified
from limner.bot.settings import Settings
from limner.bot.storage.pictures.perceptual_hash import fingerprint
from limner.bot.worker import classifier_thread
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.generators.base import SafetyClassifier, SafetyScores
from limner.generators.errors import ModelNotFound

PICTURE = Image.linear_gradient("L").convert("RGB")
POISON = Image.new("RGB", (8, 8))


class FaultyClassifier:
    """See everything but one picture, at which they fail as they are told."""

    def __init__(self, fail: Callable[[], float] = lambda: 0.9) -> None:
        self._fail = fail

    @classmethod
    def create(cls, **_: object) -> "FaultyClassifier":
        return cls()

    def look(self, image: Image.Image) -> SafetyScores:
        score = self._fail() if image is POISON else 0.25
        return SafetyScores(score, {"explicit": score})


@asynccontextmanager
async def looking(
    settings: Settings, load: Callable[[Settings], SafetyClassifier | None]
) -> AsyncGenerator[ClassifierThread]:
    out = ClassifierThread(settings.using(safety_classifier="default"), load)
    try:
        yield out
    finally:
        out.close()


async def test_a_look_is_kept_with_its_likeness(settings: Settings):
    async with looking(settings, lambda _: FaultyClassifier()) as out:
        seen = await out.look(PICTURE)

    assert (seen.score, seen.scores, seen.classifier) == (0.25, {"explicit": 0.25}, "default")
    assert seen.hashes == fingerprint(PICTURE)
    assert abs(seen.looked_at - time.time()) < 60


async def test_the_real_eyes_are_loaded_by_their_entry_point(settings: Settings):
    async with looking(settings, classifier_thread.load_classifier) as out:
        await out.open()
        seen = await out.look(PICTURE)

    assert seen.score is not None
    assert 0 <= seen.score < 0.5


async def test_eyes_that_are_off_see_the_likeness_only(settings: Settings):
    out = ClassifierThread(settings.using(safety_classifier="off"))
    seen = await out.look(PICTURE)
    out.close()

    assert (seen.score, seen.scores, seen.hashes) == (None, None, fingerprint(PICTURE))


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.5])
async def test_a_score_that_is_none_is_no_look(settings: Settings, score: float):
    async with looking(settings, lambda _: FaultyClassifier(lambda: score)) as out:
        with pytest.raises(NotClassified):
            await out.look(POISON)
        assert (await out.look(PICTURE)).score == 0.25


async def test_eyes_that_raise_miss_one_picture_only(settings: Settings):
    async with looking(settings, lambda _: FaultyClassifier(lambda: 1 // 0)) as out:
        for _ in range(3):
            with pytest.raises(NotClassified):
                await out.look(POISON)
            assert (await out.look(PICTURE)).score == 0.25


async def test_no_error_of_a_classifier_reaches_the_log_by_another_way(
    settings: Settings, caplog: pytest.LogCaptureFixture
):
    """An error's text may be a path, and asyncio logs what nobody asked for."""

    def fail(*_: object) -> Any:
        raise ValueError("a path of the operator's")

    def faulty(*_: object) -> FaultyClassifier:
        return FaultyClassifier(fail)

    for load in (fail, faulty):
        async with looking(settings, load) as out:
            with pytest.raises(NotClassified):
                await out.look(POISON)
            await out.open()
        gc.collect()
    assert "operator" not in caplog.text
    assert {record.name for record in caplog.records} == {"limner.bot.worker.classifier_thread"}


async def test_eyes_that_hang_are_left_behind_and_others_loaded(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(classifier_thread, "PAUSE_SECONDS", 0.05)
    free, loads = threading.Event(), list[float]()

    def hang() -> float:
        free.wait(60)
        return 0.0

    def load(_: Settings) -> SafetyClassifier:
        loads.append(time.monotonic())
        return FaultyClassifier(hang)

    async with looking(settings.using(safety_classifier_timeout=1.0), load) as out:
        poisoned, next_one = await asyncio.gather(out.look(POISON), out.look(PICTURE), return_exceptions=True)
        assert isinstance(poisoned, NotClassified)
        assert isinstance(next_one, NotClassified)  # it waited behind the other in the thread that hangs
        began = time.monotonic()
        with pytest.raises(NotClassified):
            await out.look(PICTURE)  # nobody waits for a look while the pause lasts
        assert time.monotonic() - began < 0.5
        async with asyncio.timeout(20):
            while True:
                try:
                    assert (await out.look(PICTURE)).score == 0.25
                    break
                except NotClassified:
                    await asyncio.sleep(0.01)
        assert len(loads) == 2
    free.set()


async def test_eyes_that_cannot_be_loaded_are_tried_again_after_a_growing_pause(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(classifier_thread, "PAUSE_SECONDS", 30.0)
    loads = list[int]()

    def load(_: Settings) -> SafetyClassifier:
        loads.append(1)
        raise ModelNotFound

    async with looking(settings, load) as out:
        for _ in range(5):
            with pytest.raises(NotClassified):
                await out.look(PICTURE)

    assert len(loads) == 1
