"""Jobs other than painting: describing a picture, and upscaling or adjusting finished pictures or a member's file."""

from __future__ import annotations

import asyncio
import time

from PIL import Image

from limner.bot.app import App
from limner.bot.errors import BadPicture, CannotDescribe, FilesGone
from limner.bot.posted_pictures import check_posted, picture_of
from limner.bot.storage.pictures.input_images import GONE
from limner.bot.storage.tables.models import Job
from limner.bot.translation import _
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.prepare import settle_description
from limner.bot.worker.results import Result, finish, hand_in
from limner.bot.worker.scoring_thread import ScoringThread, SelectedPicture

BROUGHT_SEED = 0
"""The seed of an uploaded picture, which has none."""


async def describe(app: App, classifier: ClassifierThread, scoring: ScoringThread, job: Job) -> None:
    """Describe a job's input picture, if the filter allows the description in its channel.

    Raises:
        CannotDescribe: there is no captioner.
        BadPicture: the picture's file is missing.
    """
    started = time.perf_counter()
    file, image = await _given(app, job)
    text = await scoring.describe(image)
    if not text:
        raise CannotDescribe
    seconds = time.perf_counter() - started
    if await settle_description(app, job, text, seconds):
        result = Result(SelectedPicture(image, BROUGHT_SEED), file)
        await hand_in(app, classifier, scoring, job, [result], seconds=seconds, busy_seconds=0.0)


async def finish_given(app: App, classifier: ClassifierThread, scoring: ScoringThread, job: Job) -> None:
    """Upscale or adjust the job's input picture; raises BadPicture if its file is missing."""
    started = time.perf_counter()
    _file, image = await _given(app, job)
    kept = SelectedPicture(image, BROUGHT_SEED)
    result = await finish(app, scoring, job, kept, "", job.generation.finish, job.input_sha256)
    await hand_in(app, classifier, scoring, job, [result], seconds=time.perf_counter() - started, busy_seconds=0.0)


async def enlarge(app: App, classifier: ClassifierThread, scoring: ScoringThread, job: Job) -> None:
    """Upscale or adjust the pictures of the job's parent, or the one that it names.

    Raises:
        BadOption: these are not posted (any more).
        FilesGone: their files are missing.
        BadPicture: the named one was deleted.
    """
    started = time.perf_counter()
    parent = await app.jobs.get(job.parent_id or 0)
    check_posted(parent)
    results: list[Result] = []
    for row in parent.images if job.parent_picture is None else [picture_of(parent, job.parent_picture)]:
        image = await _opened(app, row.sha256)
        kept = SelectedPicture(image, row.seed, row.nearness)
        parameters = str(image.info.get("parameters", ""))
        results.append(await finish(app, scoring, job, kept, parameters, job.generation.finish, row.sha256))
    if not results:
        raise FilesGone
    await hand_in(app, classifier, scoring, job, results, seconds=time.perf_counter() - started, busy_seconds=0.0)


async def _given(app: App, job: Job) -> tuple[bytes, Image.Image]:
    """The job's input picture, as its file and open."""
    sha256 = job.input_sha256 or ""
    try:
        return await asyncio.to_thread(app.images.read, sha256), await asyncio.to_thread(app.images.open, sha256)
    except FileNotFoundError as error:
        raise BadPicture(_(GONE)) from error


async def _opened(app: App, sha256: str) -> Image.Image:
    try:
        return await asyncio.to_thread(app.images.open, sha256)
    except FileNotFoundError as error:
        raise FilesGone from error
