"""Worker registry: one row for each live worker process, on any machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, update

from limner.bot.storage.db import Database
from limner.bot.storage.tables.worker_tables import WorkerState


class WorkerRegistry:
    """The live workers, their devices and loaded weights; each worker updates its own row and deletes expired ones."""

    def __init__(self, database: Database, *, lease_seconds: float = 15.0) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def report(
        self,
        worker_id: str,
        *,
        device: str,
        weights: Collection[str],
        room: int,
        painting: str | None,
        trouble: str | None = None,
        work: Mapping[str, int] | None = None,
    ) -> None:
        """Store a worker's current state; deletes rows of workers that have not reported for a lease.

        Args:
            worker_id: as in `Job.worker_id`.
            device: the device it paints on.
            weights: the weights keys in its memory.
            room: free capacity in pixels.
            painting: the weights key of its batch; None when idle.
            trouble: the code of the storage failure that keeps it from claiming jobs.
            work: what it has done since its start, by the names of `limner.generators.base.WorkDone`.
        """
        now = await self._database.now()
        said: dict[str, Any] = {
            "device": device,
            "weights": list(weights),
            "room": room,
            "painting": painting,
            "trouble": trouble,
            "work": dict(work or {}),
            "seen_at": now,
        }
        mine = update(WorkerState).where(WorkerState.worker_id == worker_id)
        async with self._database.begin(survives_power_cut=False) as session:
            known = await session.execute(mine.values(**said).returning(WorkerState.worker_id))
            if known.first() is None:
                session.add(WorkerState(worker_id=worker_id, started_at=now, **said))
            await session.execute(delete(WorkerState).where(WorkerState.seen_at < now - self._lease_seconds))

    async def remove(self, worker_id: str) -> None:
        """Delete the row of a worker that ends."""
        async with self._database.begin() as session:
            await session.execute(delete(WorkerState).where(WorkerState.worker_id == worker_id))

    async def alive(self) -> Sequence[WorkerState]:
        """The workers that have reported within a lease, in the order of their starts."""
        heard = WorkerState.seen_at >= await self._database.now() - self._lease_seconds
        async with self._database.read() as session:
            return (await session.scalars(select(WorkerState).where(heard).order_by(WorkerState.started_at))).all()

    async def trouble(self) -> str | None:
        """The code of the storage failure if every worker has one; None otherwise."""
        troubles = [worker.trouble for worker in await self.alive()]
        return troubles[0] if troubles and all(troubles) else None
