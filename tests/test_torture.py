"""Every accepted request is answered exactly once, whatever is killed and whatever fails; see `tests.torture`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.images_server import open_painting_server, settings_of
from tests.tiny_models import build_tiny_pipeline
from tests.torture import Arena

SEEDS = 200
CLOCK_SEEDS = 50

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Arena]:
    folder = tmp_path_factory.mktemp("torture")
    arena = Arena(folder, models=f"tiny={build_tiny_pipeline(folder / 'tiny')}")
    await arena.open()
    yield arena
    await arena.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def moved_arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Arena]:
    folder = tmp_path_factory.mktemp("moved")
    arena = Arena(folder, moves_clock=True, models=f"tiny={build_tiny_pipeline(folder / 'tiny')}")
    await arena.open()
    yield arena
    await arena.close()


@pytest.mark.slow
async def test_a_short_torture(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    async with open_painting_server() as painting:
        painting.step_seconds = 0.02
        arena = Arena(tmp_path, models="tiny=org/tiny@64x48", **settings_of(painting))
        try:
            await arena.open()
            await _survive(arena, 0, record_property)
        finally:
            await arena.close()


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_torture(arena: Arena, seed: int, record_property: Callable[[str, object], None]) -> None:
    await _survive(arena, seed, record_property)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(1, CLOCK_SEEDS + 1))
async def test_torture_with_a_moved_clock(
    moved_arena: Arena, seed: int, record_property: Callable[[str, object], None]
) -> None:
    await _survive(moved_arena, seed, record_property)


async def _survive(arena: Arena, seed: int, record_property: Callable[[str, object], None]) -> None:
    round_ = await arena.play(seed)
    record_property("torture", round_.to_json())
    if round_.trouble:
        await arena.close()
        await arena.open()
    assert round_.trouble == []
    assert round_.accepted == round_.painted + round_.cancelled + round_.failed
