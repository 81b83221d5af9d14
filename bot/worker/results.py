"""From painted images to stored pictures: selects, postprocesses, classifies, writes files, finishes the job."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from limner.bot.app import App
from limner.bot.background import patiently
from limner.bot.errors import BadPicture, NotClassified
from limner.bot.options import notes
from limner.bot.options.parameters import parameters, with_pairs
from limner.bot.options.repeats import compared, made_with
from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import Action, JobKind
from limner.bot.server_styles import styles_at
from limner.bot.storage.history.marks import is_marked
from limner.bot.storage.pictures.input_images import GONE
from limner.bot.storage.tables.models import Job, Seen
from limner.bot.styles import PLAIN
from limner.bot.translation import _
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.finished_files import finished_file, mark_name, marked
from limner.bot.worker.picture_embeddings import embed_new
from limner.bot.worker.scoring_thread import ScoringThread, SelectedPicture
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.image_canvas import pasted
from limner.generators.language.unread import unknown_words
from limner.generators.requests import Finish
from limner.generators.revisions import Revisions
from limner.generators.weights import is_weighted, without_weights

log = logging.getLogger(__name__)

KEPT_WORDS = 20
"""Most unknown words that a job's row keeps."""


@dataclass(frozen=True)
class Result:
    """A picture, its PNG file with generation parameters, the number in its invisible mark, and its other frames.

    ``shows`` is the painted picture that it shows beside other things: the one that is classified.
    """

    kept: SelectedPicture
    png: bytes
    mark: int | None = None
    shows: Image.Image | None = None
    more: Sequence[Image.Image] = ()


async def from_painting(
    app: App, scoring: ScoringThread, job: Job, finished: Finished, selected: Sequence[SelectedPicture] = ()
) -> list[Result]:
    """The results of the images painted for a job, or of those selected before; notes list words without effect."""
    card = app.settings.cards[job.request["model"]]
    if card.server and app.measured.get(notes.UNUSED, card.origin) != [*finished.unused]:
        app.measured.put(notes.UNUSED, card.origin, [*finished.unused])
    job.notes = {**job.notes, **await _notes(app, job, card, finished)}
    revisions = Revisions(app.measured)
    found = await asyncio.to_thread(made_with, card, job.generation, app.settings.device, revisions)
    job.made_with = found | await asyncio.to_thread(mark_name, app, job)
    chosen = selected or await _nearest(scoring, job, finished)
    kept = [await with_the_rest(app, job, one) for one in chosen]
    written = [with_pairs(parameters(job, card, _seed_of(job, one)), _choice(job, one)) for one in kept]
    if job.is_animation:
        return [await _animated(app, job, kept, written[0])]
    finishing = job.generation.finish
    start = job.generation.init_image
    results = [
        await finish(app, scoring, job, one, text, finishing, start) for one, text in zip(kept, written, strict=True)
    ]
    if job.action == Action.REPEAT:
        images = [one.kept.image for one in results]
        job.notes = {**job.notes, notes.REPEATED: await compared_with_parent(app, job, images)}
    return results


async def finish(
    app: App,
    scoring: ScoringThread,
    job: Job,
    kept: SelectedPicture,
    written: str,
    wanted: Finish | None,
    start: str | None,
) -> Result:
    """One picture after the requested postprocessing, and its file.

    ``written`` is its generation parameters so far; ``start`` is the picture that was changed, by its hash.
    """
    if wanted:
        image, pairs = await scoring.finish(kept.image, wanted)
        kept, written = SelectedPicture(image, kept.seed, kept.nearness), with_pairs(written, pairs)
    is_of_marked = job.generation.keeps_pixels and start and await is_marked(app.database, start)
    image, mark = await asyncio.to_thread(marked, app, kept.image, start if is_of_marked else None)
    signs_prompt = (await app.guilds.get(job.guild_id)).signs_prompts
    make = functools.partial(finished_file, app, job, image, written, start=start, signs_prompt=signs_prompt)
    return Result(replace(kept, image=image), await asyncio.to_thread(make), mark)


async def _animated(app: App, job: Job, frames: Sequence[SelectedPicture], written: str) -> Result:
    """An animation as one picture whose file has all frames; they have one mark, so that nothing flickers."""
    start = job.generation.init_image
    kept = start if job.generation.keeps_pixels and start and await is_marked(app.database, start) else None
    first, mark = await asyncio.to_thread(marked, app, frames[0].image, kept)
    more = [(await asyncio.to_thread(marked, app, frame.image, kept, mark))[0] for frame in frames[1:]]
    signs_prompt = (await app.guilds.get(job.guild_id)).signs_prompts
    make = functools.partial(finished_file, app, job, first, written, start=start, signs_prompt=signs_prompt, more=more)
    return Result(replace(frames[0], image=first), await asyncio.to_thread(make), mark, more=more)


async def hand_in(
    app: App,
    classifier: ClassifierThread,
    scoring: ScoringThread,
    job: Job,
    results: Sequence[Result],
    *,
    seconds: float,
    busy_seconds: float,
    paintings: int = 1,
) -> None:
    """Store the files while the classifier runs, then mark the job as succeeded; its embeddings come after that.

    ``paintings`` is how often it was painted.

    Raises:
        NotClassified: a painted picture of which only a sheet is stored could not be classified.
    """
    files, images = [result.png for result in results], [result.shows or result.kept.image for result in results]
    frames = [[image, *result.more] for image, result in zip(images, results, strict=True)]
    hashes, seen = await asyncio.gather(asyncio.to_thread(_save, app, files), look_at(classifier, job.id, frames))
    if any(result.shows and not look for result, look in zip(results, seen, strict=True)):
        raise NotClassified
    pictures = [
        StoredPicture(sha256, *one.kept.image.size, len(one.png), one.kept.seed, look, one.kept.nearness, one.mark)
        for sha256, one, look in zip(hashes, results, seen, strict=True)
    ]
    took = {"seconds": seconds, "busy_seconds": busy_seconds}
    if await patiently(lambda: app.jobs.finish(job, pictures, **took, paintings=paintings)):
        await asyncio.to_thread(_keep, app, files)
        if job.kind != JobKind.EXPLAIN:
            await embed_new(app, scoring, job, images)
    # A job that is not this worker's any more is another one's, which stores the same files.
    elif await app.jobs.is_stopped(job.id):
        await app.history.drop_files(set(hashes))


async def look_at(
    classifier: ClassifierThread, job_id: int, pictures: Sequence[Sequence[Image.Image]]
) -> list[Seen | None]:
    """The classifier's results for the frames of a job's pictures; None for those that could not be classified.

    A picture is as explicit as the worst of its frames.
    """
    seen: list[Seen | None] = []
    for frames in pictures:
        try:
            seen.append(_worst([await classifier.look(frame) for frame in frames]))
        except NotClassified:
            seen.append(None)
    if None in seen:
        log.warning("job_unseen job=%s", job_id)
    return seen


def _worst(frames: Sequence[Seen]) -> Seen:
    first, *others = (frame.hashes for frame in frames)
    worst = max(frames, key=lambda frame: frame.score or 0.0)
    return replace(worst, phash=first.phash, pdq=first.pdq, frame_hashes=[*dict.fromkeys(map(str, others))] or None)


async def with_the_rest(app: App, job: Job, one: SelectedPicture) -> SelectedPicture:
    """A painting of a part of a picture, with the picture's own pixels in the rest."""
    request = job.generation
    if not request.init_image or not request.keeps_pixels:
        return one
    try:
        original = await asyncio.to_thread(app.images.open, request.init_image)
        mask = await asyncio.to_thread(app.images.open, request.mask) if request.mask else None
    except FileNotFoundError as error:
        raise BadPicture(_(GONE)) from error
    return replace(one, image=await asyncio.to_thread(pasted, one.image, original, mask, request))


async def _notes(app: App, job: Job, card: ModelCard, finished: Finished) -> dict[str, Any]:
    style, idea = styles_at(app, job.guild_id).presets.get(job.style, PLAIN).text, idea_as_painted(job)
    is_weighed = card.weighs and (is_weighted(idea) or is_weighted(job.request["negative_prompt"]))
    idea = without_weights(idea) if is_weighed else idea
    for part in notes.not_understood(idea):
        idea = idea.replace(part, " ")
    found = {
        notes.WEIGHED: is_weighed,
        notes.UNUSED: notes.in_vain(card, job.generation, job.notes, finished.unused),
        notes.UNREAD: finished.unread,
        notes.UNREAD_NEGATIVE: finished.unread_negative,
        notes.BRIDGED: finished.bridged,
        notes.UNKNOWN: unknown_words(idea, card.words)[:KEPT_WORDS] if card.words else [],
        notes.UNKNOWN_STYLE: bool(card.words) and 2 * len(unknown_words(style, card.words)) > len(style.split()),
        notes.TRYOUT: card.is_tryout and await app.history.is_first(job),
    }
    return {name: value for name, value in found.items() if value}


async def compared_with_parent(app: App, job: Job, images: Sequence[Image.Image]) -> dict[str, Any]:
    """How a repeat's pictures compare with those of the request that it repeats, as far as these are kept.

    That of one picture has this picture alone.
    """
    number = job.parent_id or 0
    found = await app.history.some([number])
    then = found[0].made_with if found else None
    rows = found[0].images if found else []
    first = (job.parent_picture or 1) - 1
    pairs = [(image, row.sha256) for row in rows for at, image in enumerate(images, first) if at == row.position]
    now = job.made_with or {}
    return {"job": number} | await asyncio.to_thread(lambda: compared(then, now, list(_opened(app, pairs))))


def _opened(app: App, pairs: Sequence[tuple[Image.Image, str]]) -> Iterator[tuple[Image.Image, Image.Image]]:
    for image, sha256 in pairs:
        with suppress(FileNotFoundError):
            yield image, app.images.open(sha256)


def _save(app: App, files: Sequence[bytes]) -> list[str]:
    return [app.images.save(file) for file in files]


def _keep(app: App, files: Sequence[bytes]) -> None:
    """Save again: while no row held them, deleting another job may have removed the same files."""
    for sha256 in _save(app, files):
        app.images.keep(sha256)


def _seed_of(job: Job, kept: SelectedPicture) -> int:
    """The seed that paints a picture again: its own, or the request's, whose rounds lead to it."""
    return job.generation.seed if job.generation.refine else kept.seed


def _choice(job: Job, kept: SelectedPicture) -> Mapping[str, str]:
    """Generation parameters that say how a picture was selected."""
    if kept.nearness is None:
        return {}
    pairs = {"Nearness": f"{kept.nearness:.2f}", "Candidates": str(job.generation.num_images_per_prompt)}
    if job.generation.refine:
        pairs |= {"Refined seed": str(kept.seed), "Refined prompt": kept.prompt}
    return pairs


async def _nearest(scoring: ScoringThread, job: Job, finished: Finished) -> Sequence[SelectedPicture]:
    request = job.generation
    if not request.keep:
        return [SelectedPicture(image, seed) for image, seed in zip(finished.images, finished.seeds, strict=True)]
    return await scoring.choose(finished.images, finished.seeds, request.keep, idea_as_painted(job))


def idea_as_painted(job: Job) -> str:
    """The idea in the model's language, without additions."""
    return job.expanded.without_addition if job.expanded else job.idea
