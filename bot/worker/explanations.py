"""Explanations: which words drew what in a picture, and what the added words did; from one or two paintings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from limner.bot.app import App
from limner.bot.options import notes
from limner.bot.options.repeats import made_with
from limner.bot.storage.tables.models import Job
from limner.bot.worker.finished_files import mark_name
from limner.bot.worker.prepare import with_addresses
from limner.bot.worker.results import Result, compared_with_parent, finish, idea_as_painted, with_the_rest
from limner.bot.worker.scoring_thread import ScoringThread, SelectedPicture
from limner.bot.worker.word_sheet import draw_maps, numbered, side_by_side
from limner.generators.base import Finished
from limner.generators.requests import Finish, GenerationRequest
from limner.generators.revisions import Revisions


class Explanations:
    """The explanations whose second painting is still to come, with the first one."""

    def __init__(self) -> None:
        self._first: dict[int, Finished] = {}

    def next_request(self, app: App, job: Job) -> GenerationRequest:
        """What is painted next for a job: with the added words, then without them."""
        request = with_addresses(app, job)
        if job.id not in self._first:
            return request
        return replace(request, prompt=without_addition(job), explained=False)

    def has_another(self, job: Job, finished: Finished) -> bool:
        """Whether an explanation needs a second painting; then the first one is kept."""
        is_first = job.id not in self._first and bool(without_addition(job))
        if is_first:
            self._first[job.id] = finished
        return is_first

    def steps_before(self, job: Job) -> int:
        """The steps of the paintings that are done."""
        return job.generation.steps if job.id in self._first else 0

    def take(self, job: Job, finished: Finished) -> list[Finished]:
        """All paintings of a job."""
        first = self._first.pop(job.id, None)
        return [first, finished] if first else [finished]

    def forget(self, job_id: int) -> None:
        """Keep nothing more of a job."""
        self._first.pop(job_id, None)


def without_addition(job: Job) -> str:
    """The prompt of an explained picture without the words that the expansion added; empty if there are none."""
    return job.expanded.left_out(job.prompt or "", job.idea) if job.expanded else ""


async def from_explanation(app: App, scoring: ScoringThread, job: Job, paintings: Sequence[Finished]) -> list[Result]:
    """The sheet of heat maps and, with a second painting, both pictures side by side; notes say what they show."""
    card, first = app.settings.cards[job.request["model"]], paintings[0]
    found = await asyncio.to_thread(made_with, card, job.generation, app.settings.device, Revisions(app.measured))
    job.made_with = found | await asyncio.to_thread(mark_name, app, job)
    pictures = [
        (await with_the_rest(app, job, SelectedPicture(each.images[0], each.seeds[0]))).image for each in paintings
    ]
    as_posted = await _finished(app, scoring, job, pictures[0], job.generation.finish)
    sheets = [await asyncio.to_thread(draw_maps, pictures[0], first.maps)]
    if len(pictures) > 1:
        sheets.append(side_by_side(*pictures))
    likeness = await scoring.likeness(pictures, idea_as_painted(job)) if len(pictures) > 1 else []
    job.notes = {
        **job.notes,
        notes.REPEATED: await compared_with_parent(app, job, [as_posted.kept.image]),
        notes.EXPLAINED: _note(first, is_compared=len(pictures) > 1, likeness=likeness),
    }
    results = [await _finished(app, scoring, job, sheet, None) for sheet in sheets]
    return [replace(result, shows=picture) for result, picture in zip(results, pictures, strict=True)]


async def _finished(app: App, scoring: ScoringThread, job: Job, image: Image.Image, wanted: Finish | None) -> Result:
    return await finish(app, scoring, job, SelectedPicture(image, job.generation.seed), "", wanted, None)


def _note(painted: Finished, *, is_compared: bool, likeness: Sequence[float]) -> dict[str, Any]:
    """What the sheets cannot say."""
    found = {"numbered": numbered(painted.maps), "compared": is_compared, "likeness": [*likeness]}
    return found | {"words": len(painted.maps)}
