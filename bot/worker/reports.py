"""What a worker writes into rows while it works: steps, previews, and its own state in the registry."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from PIL import Image

from limner.bot.app import App
from limner.bot.errors import NotClassified
from limner.bot.storage.pictures.image_files import encode_preview
from limner.bot.storage.tables.models import Job
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.generators.base import WorkDone

BEATS = 4
"""Heartbeats in one lease."""


@dataclass(frozen=True)
class State:
    """What the worker registry shows: loaded weights keys, the batch's weights key, and a storage failure's code."""

    loaded: Collection[str]
    painting: str | None
    trouble: str | None


class Reports:
    """A worker's unwritten steps and previews, and its last report to the registry."""

    def __init__(self, app: App, classifier: ClassifierThread, worker_id: str) -> None:
        self._app = app
        self._classifier = classifier
        self._worker_id = worker_id
        self._steps: dict[int, int] = {}
        self._previews: dict[int, tuple[int, Image.Image]] = {}
        self._signed: tuple[State | None, float] = (None, 0.0)
        self._stepped = asyncio.Event()
        self._work: Counter[str] = Counter()

    def stepped(self, job: Job, step: int) -> None:
        """A job has taken so many steps."""
        self._steps[job.id] = job.step = step
        self._stepped.set()

    def previewed(self, job: Job, image: Image.Image) -> None:
        """The newest preview of a job."""
        self._previews[job.id] = (job.step, image)

    def finished(self, work: WorkDone) -> None:
        """A job was painted with so much work."""
        self._work.update(work._asdict())

    def forget(self, job_id: int) -> None:
        """Write nothing more about a job."""
        self._steps.pop(job_id, None)
        self._previews.pop(job_id, None)

    async def write_steps(self) -> None:
        """Wait for steps and write them into the rows."""
        await self._stepped.wait()
        self._stepped.clear()
        steps, self._steps = self._steps, {}
        await self._app.jobs.record_steps(self._worker_id, steps)

    async def write_previews(self) -> None:
        """Classify and store the newest previews."""
        previews, self._previews = self._previews, {}
        for job_id, (step, image) in previews.items():
            with contextlib.suppress(NotClassified):  # it is not stored; the next one may be classified
                seen = await self._classifier.look(image)
                file = await asyncio.to_thread(encode_preview, image)
                await self._app.jobs.save_preview(self._worker_id, job_id, step, file, seen)

    async def sign_in(self, state: State, room: int) -> None:
        """Report the state: at each change, and often enough to count as alive."""
        now = time.monotonic()
        if state == self._signed[0] and now - self._signed[1] < self._app.settings.lease_seconds / BEATS:
            return
        await self._app.worker_registry.report(
            self._worker_id,
            device=self._app.settings.device,
            weights=state.loaded,
            room=room,
            painting=state.painting,
            trouble=state.trouble,
            work=self._work,
        )
        self._signed = (state, now)
