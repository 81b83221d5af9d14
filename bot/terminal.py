"""`limner imagine` and `limner history`: one request with a progress bar, and what was made, in a terminal."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bot import migrate, submit
from bot.app import App, open_app
from bot.errors import SetupError, StorageFull
from bot.models import Job, JobStatus
from bot.settings import Settings
from bot.submit import Ask
from bot.supervisor import Supervisor

POLL_SECONDS = 0.5
DEATHS = 3
"""So many workers may die before one claims the job; then something is wrong with their installation."""

NO_WORKER = "No worker stays alive to paint this; the lines above and `limner doctor` tell why."
INTERRUPTED = "It was stopped from the command line."


async def imagine(settings: Settings, ask: Ask, *, out: Path | None, as_json: bool) -> int:
    """Paint one request through the queue and print what came of it; the exit code is 1 if it was not painted.

    A worker process is started for it, and stopped again as soon as a worker that runs already takes the job.
    """
    await migrate.upgrade(settings.url)
    async with open_app(settings) as app:
        job = await submit.imagine(app, ask)
        try:
            job = await _paint(app, job)
        except BaseException:
            await app.jobs.cancel(job.id, INTERRUPTED)
            raise
        pictures = _copy(app, job, out) if out else [app.images.path(image.sha256) for image in job.images]
    print(json.dumps(result(job, pictures), ensure_ascii=False) if as_json else _summary(job, pictures))
    if job.status != JobStatus.SUCCEEDED:
        print(f"limner: {job.reason}", file=sys.stderr)
    return 0 if job.status == JobStatus.SUCCEEDED else 1


async def show_history(settings: Settings, user: int | None, search: str, limit: int, *, as_json: bool) -> None:
    """Print what one user asked for, or everybody, newest first."""
    await migrate.check(settings.url)
    async with open_app(settings) as app:
        jobs = await app.history.page(user, search=search, limit=max(1, limit), every_status=True)
        results = [result(job, [app.images.path(image.sha256) for image in job.images]) for job in jobs]
    if as_json:
        print(json.dumps(results, ensure_ascii=False))
    else:
        Console().print(_table(jobs) if jobs else "Nothing was found.")


def result(job: Job, paths: list[Path]) -> dict[str, Any]:
    """A job as `--json` prints it."""
    return {
        "id": job.id,
        "status": str(job.status),
        "idea": job.idea,
        "prompt": job.prompt,
        "seed": job.request["seed"],
        "model": job.request["model"],
        "seconds": job.seconds,
        "images": [
            {"path": str(path.resolve()), "width": image.width, "height": image.height, "sha256": image.sha256}
            for image, path in zip(job.images, paths, strict=True)
        ],
    }


async def _paint(app: App, job: Job) -> Job:
    async with AsyncExitStack() as ours:
        supervisor = await ours.enter_async_context(
            Supervisor(app.settings.using(workers=1), app.jobs, devices=app.settings.devices[:1])
        )
        with _progress(job) as show:
            while not job.is_final:
                await app.jobs.changed.wait(POLL_SECONDS)
                job = await app.jobs.get(job.id)
                show(job)
                if job.status == JobStatus.RUNNING and job.worker_id not in supervisor.worker_ids:
                    await ours.aclose()
                elif job.status == JobStatus.QUEUED and supervisor.deaths >= DEATHS:
                    raise SetupError(NO_WORKER)
    return job


@contextmanager
def _progress(job: Job) -> Generator[Callable[[Job], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("queued", total=job.steps)

        def show(job: Job) -> None:
            progress.update(task, description=_stage(job), completed=job.steps if job.is_final else job.step)

        yield show


def _stage(job: Job) -> str:
    if job.status == JobStatus.RUNNING and job.prompt is None:
        return "expanding"
    if job.status == JobStatus.RUNNING:
        return f"step {job.step} of {job.steps}" if job.step else "starting to paint"
    return "done" if job.status == JobStatus.SUCCEEDED else str(job.status)


def _copy(app: App, job: Job, folder: Path) -> list[Path]:
    """Copies of the job's pictures, named by number, idea and seed."""
    words = re.sub(r"\W+", "-", job.idea.casefold())[:40].strip("-")
    paths = [folder / f"{job.id}-{words}-{image.seed}.png" for image in job.images]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, image in zip(paths, job.images, strict=True):
            shutil.copyfile(app.images.path(image.sha256), path)
    except OSError as error:
        kept = "The pictures are kept in the data folder, where `limner history --json` finds them"
        raise StorageFull(f"Nothing can be written into {folder} ({error.strerror}). {kept}.") from error
    return paths


def _summary(job: Job, paths: list[Path]) -> str:
    lines = [f"{job.id}  {job.idea}", f"   prompt   {job.prompt or '-'}"]
    if job.expanded and job.expanded.note:
        lines.append(f"   note     {job.expanded.note}")
    lines.append(
        f"   seed     {job.request['seed']} · {job.request['model']} · {job.seconds or 0:.1f} s · {job.status}"
    )
    return "\n".join([*lines, *(f"   picture  {path}" for path in paths)])


def _table(jobs: Sequence[Job]) -> Table:
    table = Table("id", "when", "user", "status", "idea", "seed", "model", box=None)
    for job in jobs:
        when = datetime.fromtimestamp(job.created_at).astimezone().strftime("%Y-%m-%d %H:%M")
        cells = (job.id, when, job.user_id, job.status, job.idea, job.request["seed"], job.request["model"])
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table
