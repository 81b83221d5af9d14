"""`limner imagine`, `limner history` and `limner block`: requests and pictures in a terminal."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from limner.bot import picture_actions, submit
from limner.bot.app import App, open_app
from limner.bot.cli.again import read_again
from limner.bot.cli.files import check_out, copy_pictures, read_file
from limner.bot.errors import BadOption, SetupError, StorageFull, StorageReadOnly
from limner.bot.options.ask import Ask
from limner.bot.options.notes import STATUSES, sentences
from limner.bot.place import OUTSIDE
from limner.bot.posted_pictures import NAMED
from limner.bot.quantities import decimal
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.worker_tables import WorkerState
from limner.bot.styles import Styles
from limner.bot.translation import N_, _, stored
from limner.bot.worker.supervisor import Supervisor

NONE: Mapping[str, Sequence[Path]] = MappingProxyType({})
OPERATOR = 0
"""The author of actions on the command line, in the log."""
POLL_SECONDS = 0.5
DEATHS = 3
"""Workers that may die before one claims the job; more mean a broken installation."""

UNCLASSIFIED_SECONDS = 30.0
"""How long to wait for unclassified pictures."""

STARTING, LOADING = N_("starting a worker"), N_("loading the model")
NOT_SEEN = N_(
    "It is painted, but the safety classifier could not run, so the pictures are not shown yet; `limner doctor` says "
    "why, and `limner history --json` where the pictures are once they are classified."
)
NO_WORKER = N_("No worker stays alive to paint this; the lines above and `limner doctor` say why.")
NO_NAME = N_("Name a picture by its request and number, such as 12-1; `limner history` lists them.")
INTERRUPTED = N_("It was stopped from the command line.")


async def imagine(
    settings: Settings,
    ask: Ask,
    *,
    out: Path | None,
    as_json: bool,
    given: Mapping[str, Sequence[Path]] = NONE,
    repeated: Path | None = None,
) -> int:
    """Paint a prompt's requests through the queue and print the results; the exit code is 1 if one was not painted.

    ``given`` are the files of the options that take some, ``repeated`` is a picture that is painted again.

    Starts a worker process, and stops it as soon as another running worker claims the job.
    """
    await migrate.upgrade(settings.url)
    async with open_app(settings) as app:
        check_out(app, out)
        for name, files in given.items():
            hashes = [await app.inputs.store(await asyncio.to_thread(read_file, file)) for file in files]
            ask = replace(ask.saying(**{name: ",".join(hashes)}), image_name=_name(given))
        again = await read_again(app, repeated, ask) if repeated else None
        jobs = [await submit.submit(app, again.new)] if again else await _submitted(app, ask)
        jobs = await painted(app, jobs)
        pictures = [shown(app, job, out) for job in jobs]
        more = await again.notes(app, jobs[0]) if again else []
        return report(app, jobs, pictures, more, as_json=as_json)


async def explain(settings: Settings, named: str, *, out: Path | None, as_json: bool) -> int:
    """Explain a picture that is named as 12-1, like `imagine`; raises BadOption for another name."""
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        check_out(app, out)
        found = NAMED.fullmatch(named)
        if found is None:
            raise BadOption(_(NO_NAME))
        job = await app.jobs.get(int(found["job"]))
        asker = picture_actions.Asker(OPERATOR, job.locale, OUTSIDE)
        jobs = await painted(app, [await picture_actions.explain(app, job, int(found["number"]), asker)])
        pictures = [shown(app, job, out) for job in jobs]
        return report(app, jobs, pictures, as_json=as_json)


async def painted(app: App, jobs: Sequence[Job]) -> list[Job]:
    """The jobs once they have ended, by a worker process of their own or another one; cancelled if that is stopped."""
    try:
        jobs = await _paint(app, jobs)
    except BaseException:
        for job in jobs:
            await app.jobs.cancel(job.id, _(INTERRUPTED))
        raise
    return [await _let_through(app, job) for job in jobs]


def report(
    app: App, jobs: Sequence[Job], pictures: Sequence[list[Path]], more: Sequence[str] = (), *, as_json: bool
) -> int:
    """Print the ended jobs with the paths of their files; the exit code is 1 if one of them has none to show."""
    if as_json:
        results = [result(job, paths, app.styles, more) for job, paths in zip(jobs, pictures, strict=True)]
        print(json.dumps(results if len(results) > 1 else results[0], ensure_ascii=False))
    else:
        print("\n".join(_summary(job, paths, app.styles, more) for job, paths in zip(jobs, pictures, strict=True)))
    hidden = [job for job in jobs if not _is_shown(job)]
    for job in hidden:
        print(f"limner: {stored(job.reason or '') or _(NOT_SEEN)}", file=sys.stderr)
    return 1 if hidden else 0


async def _submitted(app: App, ask: Ask) -> list[Job]:
    return await submit.submit_all(app, await submit.requests(app, ask))


def result(job: Job, paths: list[Path], styles: Styles, more: Sequence[str] = ()) -> dict[str, Any]:
    """A job in the form of `--json`; ``more`` are further notes."""
    return {
        "id": job.id,
        "status": str(job.status),
        "idea": job.idea,
        "prompt": job.prompt,
        "seed": job.request["seed"],
        "model": job.request["model"],
        "seconds": job.seconds,
        "notes": [*sentences(job, styles), *more],
        "images": [
            {"path": str(path.resolve()), "width": image.width, "height": image.height, "sha256": image.sha256}
            for image, path in zip(job.images, paths, strict=False)  # none, if they may not be shown
        ],
    }


def _name(pictures: Mapping[str, Sequence[Path]]) -> str:
    """The file name of the picture to start from."""
    return next((file.name for file in pictures.get("image", ())), "")


async def _let_through(app: App, job: Job) -> Job:
    """Compare a finished job's pictures with the limits, as delivery does."""
    if job.status == JobStatus.SUCCEEDED and (objection := await app.image_policy.objection(job, OUTSIDE)):
        await app.image_policy.stop(job, objection)
        job = await app.jobs.get(job.id)
    if job.status == JobStatus.REFUSED:
        await app.history.drop_refused(job)
    return job


async def allowed(app: App, job: Job) -> list[Path]:
    """The files of a job's pictures, if they may be shown where it was requested."""
    return [] if await app.image_policy.objection(job, job.where) else _paths(app, job)


def _paths(app: App, job: Job) -> list[Path]:
    """The files of a job's pictures, if other programs can read them."""
    return [] if app.images.cipher.keys else [app.images.path(image.sha256) for image in job.images]


def _is_shown(job: Job) -> bool:
    return job.status == JobStatus.SUCCEEDED and not job.quarantine


def shown(app: App, job: Job, out: Path | None) -> list[Path]:
    """The files of a job's pictures, copied into ``out`` if that is given; none if they may not be shown."""
    if not _is_shown(job):
        return []
    return _copy(app, job, out) if out else _paths(app, job)


async def _paint(app: App, jobs: Sequence[Job]) -> list[Job]:
    async with AsyncExitStack() as ours:
        supervisor = await ours.enter_async_context(
            Supervisor(app.settings.using(workers=1), app.jobs, devices=app.settings.devices[:1])
        )
        with _progress(jobs) as show:
            while any(not job.is_final or _is_looked_at_again(job) for job in jobs):
                await app.jobs.changed.wait(POLL_SECONDS)
                jobs = [await app.jobs.get(job.id) for job in jobs]
                running = [job for job in jobs if job.status == JobStatus.RUNNING]
                queued = [job for job in jobs if job.status == JobStatus.QUEUED]
                show(jobs, phase([*running, *queued, jobs[-1]][0], await app.worker_registry.alive()))
                if any(job.worker_id not in supervisor.worker_ids for job in running):
                    await ours.aclose()
                elif queued and not running and (supervisor.is_over or supervisor.deaths >= DEATHS):
                    raise SetupError(_(NO_WORKER))
                elif queued and not running and (trouble := await app.worker_registry.trouble()):
                    raise StorageFull if trouble == StorageFull.code else StorageReadOnly
    return list(jobs)


def _is_looked_at_again(job: Job) -> bool:
    """Whether a worker may still classify the finished pictures."""
    return job.quarantine == HoldReason.UNSEEN and time.time() - (job.finished_at or 0.0) < UNCLASSIFIED_SECONDS


@contextmanager
def _progress(jobs: Sequence[Job]) -> Generator[Callable[[Sequence[Job], str], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(_(STARTING), total=sum(job.steps for job in jobs))

        def show(jobs: Sequence[Job], phase: str) -> None:
            done = sum(job.steps if job.is_final else job.step for job in jobs)
            progress.update(task, description=phase, completed=done)

        yield show


def phase(job: Job, workers: Sequence[WorkerState]) -> str:
    """The job's current phase in a few words; ``workers`` are the live ones."""
    loaded = {key for worker in workers if job.worker_id in (None, worker.worker_id) for key in worker.weights}
    if job.status == JobStatus.QUEUED:
        return _("queued") if loaded else _(LOADING) if workers else _(STARTING)
    if job.status == JobStatus.RUNNING and job.step < job.steps:
        if job.step:
            return _("step {step} of {steps}", step=job.step, steps=job.steps)
        if job.prompt is None and job.expand != "off":
            return _("describing the picture")
        return _("starting to paint") if job.weights_key in loaded else _(LOADING)
    if job.status == JobStatus.RUNNING or job.quarantine == HoldReason.UNSEEN:
        return _("checking the picture")
    return _("done") if job.status == JobStatus.SUCCEEDED else _(STATUSES[JobStatus(job.status)])


def _copy(app: App, job: Job, folder: Path) -> list[Path]:
    """Copies of the job's pictures, named by request, number, idea and seed, which several may share."""
    words = re.sub(r"\W+", "-", job.idea.casefold())[:40].strip("-")
    named = {f"{job.id}-{number}-{words}-{image.seed}.png": image.sha256 for number, image in enumerate(job.images, 1)}
    return copy_pictures(app, folder, named)


def _summary(job: Job, paths: list[Path], styles: Styles, more: Sequence[str]) -> str:
    status = _(STATUSES[JobStatus(job.status)])
    took = _("{seconds} s", seconds=decimal(job.seconds or 0, 1))
    facts = f"{job.request['seed']} · {job.request['model']} · {took} · {status}"
    notes = [stored(job.expanded.note)] if job.expanded and job.expanded.note else []
    rows = [
        (_("prompt"), job.prompt or "-"),
        *((_("note"), note) for note in [*notes, *sentences(job, styles), *more]),
        (_("seed"), facts),
        *((_("picture"), str(path)) for path in paths),
    ]
    room = max(8, *(cell_len(name) for name, _value in rows))
    return "\n".join([f"{job.id}  {job.idea}", *(f"   {set_cell_size(name, room)} {value}" for name, value in rows)])
