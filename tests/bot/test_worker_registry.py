"""Who is alive, and on what: the workers' rows, and the devices of this machine."""

from importlib.metadata import version
from typing import Any

import pytest
from sqlalchemy import update

from limner.bot.queue.worker_registry import WorkerRegistry
from limner.bot.settings import Settings
from limner.bot.storage.db import Database
from limner.bot.storage.tables.worker_tables import WorkerState
from limner.bot.worker.devices import ask_generators, find_devices


async def report(worker_registry: WorkerRegistry, worker_id: str, painting: str | None = None) -> None:
    await worker_registry.report(worker_id, device="cuda:1", weights=["sdxl|"], room=512, painting=painting)


async def test_a_worker_keeps_one_row_until_it_leaves(database: Database) -> None:
    worker_registry = WorkerRegistry(database)
    await report(worker_registry, "one")
    await report(worker_registry, "two")
    await report(worker_registry, "one", "sdxl|")
    one, two = await worker_registry.alive()
    assert (one.worker_id, one.device, one.weights, one.room) == ("one", "cuda:1", ["sdxl|"], 512)
    assert one.painting == "sdxl|"
    assert one.seen_at > one.started_at
    assert (two.worker_id, two.painting) == ("two", None)
    await worker_registry.remove("one")
    assert [state.worker_id for state in await worker_registry.alive()] == ["two"]


async def test_a_trouble_counts_when_every_worker_has_one(database: Database) -> None:
    worker_registry = WorkerRegistry(database)
    assert await worker_registry.trouble() is None
    said: dict[str, Any] = {"device": "cpu", "weights": [], "room": 1, "painting": None}
    await worker_registry.report("one", **said, trouble="disk")
    assert await worker_registry.trouble() == "disk"
    await worker_registry.report("two", **said)
    assert await worker_registry.trouble() is None
    await worker_registry.report("two", **said, trouble="readonly")
    assert await worker_registry.trouble() == "disk"


async def test_who_is_silent_for_a_lease_is_not_alive_and_is_swept_by_the_next(database: Database) -> None:
    worker_registry = WorkerRegistry(database, lease_seconds=10)
    await report(worker_registry, "dead")
    async with database.begin() as session:
        await session.execute(update(WorkerState).values(seen_at=WorkerState.seen_at - 11))
    assert await worker_registry.alive() == []
    await report(worker_registry, "living")
    async with database.read() as session:
        assert await session.get(WorkerState, "dead") is None


@pytest.mark.parametrize(
    ("wanted", "devices"), [("cpu", ["cpu"]), ("cpu,cpu", ["cpu", "cpu"]), ("cuda:0, cuda:1", ["cuda:0", "cuda:1"])]
)
async def test_what_is_named_is_used(wanted: str, devices: list[str]) -> None:
    assert await find_devices(Settings(device=wanted).devices) == devices


@pytest.mark.skipif(not version("torch").endswith("+cpu"), reason="this torch may find a GPU")
async def test_auto_is_the_cpu_where_torch_can_use_nothing_else() -> None:
    assert await find_devices(["auto"]) == ["cpu"]


@pytest.mark.slow
async def test_torch_is_asked_in_a_process_of_its_own() -> None:
    found = await ask_generators("device")
    assert found
    assert found["version"] == version("torch")
    assert await ask_generators("no_such_module") is None
