"""Refined requests: painted, read back, and painted again for what is missing, until it is seen or the rounds end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from limner.bot.app import App
from limner.bot.storage.tables.models import Job
from limner.bot.worker.prepare import with_addresses
from limner.bot.worker.results import idea_as_painted
from limner.bot.worker.scoring_thread import ScoringThread, SelectedPicture
from limner.generators.base import Finished
from limner.generators.requests import GenerationRequest
from limner.generators.vision.read_back import PaintedPart, Refinement, missing


class Refinements:
    """The refined requests of a worker; another attempt of one begins anew."""

    def __init__(self) -> None:
        self._begun: dict[int, Refinement] = {}

    def next_request(self, app: App, job: Job) -> GenerationRequest:
        """What is painted next for a job."""
        if job.id not in self._begun:
            card = app.settings.cards[job.request["model"]]
            self._begun[job.id] = Refinement(with_addresses(app, job), card, idea_as_painted(job))
        return self._begun[job.id].next_request()

    async def goes_on(self, scoring: ScoringThread, job: Job, finished: Finished) -> bool:
        """Read the pictures of a round back; whether there is another one."""
        refinement = self._begun[job.id]
        finished = await asyncio.to_thread(refinement.whole, finished)
        refinement.take(finished, await scoring.read_back(finished.images, refinement.idea))
        if place := refinement.where:
            picture = refinement.lacking.image
            mask = await scoring.mask(picture, place)
            refinement.part = PaintedPart(picture, mask, place) if mask else None
        return not refinement.is_over

    def steps_before(self, job: Job) -> int:
        """The steps of the rounds that are done."""
        return len(self._begun[job.id].paintings) * job.generation.steps if job.id in self._begun else 0

    def take(self, job: Job) -> Refinement:
        """What became of a job."""
        return self._begun.pop(job.id)

    def forget(self, job_id: int) -> None:
        """Keep nothing more of a job."""
        self._begun.pop(job_id, None)


def selected(refinement: Refinement) -> list[SelectedPicture]:
    """The pictures to keep, the best first."""
    own = refinement.request.prompt
    return [
        SelectedPicture(one.image, one.seed, one.reading.nearness, "" if one.prompt == own else one.prompt)
        for one in refinement.best
    ]


def note(refinement: Refinement) -> dict[str, Any]:
    """What was missing, what was done about it, and what is missing still (`bot.options.notes.REFINED`)."""
    first = refinement.best_of([one for one in refinement.pictures if not one.round])
    return {
        "read": refinement.is_read,
        "judged": any(one.reading.seen or one.reading.missing for one in refinement.pictures),
        "rounds": len(refinement.paintings) - 1,
        "first": [*missing(first)],
        "missing": [*missing(refinement.best)],
        "again": _asked_again(refinement),
        "parts": [asdict(place) for place in refinement.places],
    }


def _asked_again(refinement: Refinement) -> Sequence[str]:
    """The words that got more weight, as the last round had them."""
    if len(refinement.paintings) < 2:
        return []
    weights = refinement.last_weights
    return [f"({word}:{weight:.1f})" for word, weight in weights.items()] if refinement.card.weighs else [*weights]
