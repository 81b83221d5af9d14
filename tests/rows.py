"""Rows as tests write them: requests that nobody will paint, and jobs that are finished at once; and LoRA files."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from limner.bot.moderation.blocked_images import ListedPicture
from limner.bot.options.ask import Ask
from limner.bot.place import Where
from limner.bot.queue.endings import StoredPicture
from limner.bot.queue.enqueue import CLICK_SECONDS, NewJob
from limner.bot.queue.jobs import JobQueue
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import LORAS
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import Job, Seen
from limner.bot.storage.tables.picture_hashes import PictureHashes
from limner.bot.storage.tables.worker_tables import WorkerState
from limner.generators.requests import GenerationRequest

QUICKLY_ON_SQLITE = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
"""Of a test whose statements are the same on both databases: it runs on Postgres with the slow ones."""
NO_WEIGHTS = struct.pack("<Q", 2) + b"{}"
"""A safetensors file without tensors."""
PIXELS = 16 * 16
"""Of one picture of `new_job`."""


def asked(
    text: str = "a fox",
    *,
    guild_id: int | None = None,
    channel_id: int | None = None,
    role_ids: Sequence[int] = (),
    user_id: int = 0,
    image_name: str = "",
    locale: str = "en-US",
    **options: Any,
) -> Ask:
    """What somebody asks for, and where."""
    where = Where(guild_id, channel_id, role_ids=tuple(role_ids))
    return Ask(text=text, where=where, user_id=user_id, image_name=image_name, locale=locale, options=options)


def new_job(
    idea: str = "a fox",
    user_id: int = 1,
    *,
    model: str = "tiny",
    samples: int = 1,
    guild_id: int | None = None,
    channel_id: int | None = None,
    **more: Any,
) -> NewJob:
    """A member's request; ``model`` decides its weights."""
    request = GenerationRequest(
        prompt=idea,
        model=model,
        width=16,
        height=16,
        num_inference_steps=4,
        guidance_scale=5.0,
        seed=7,
        num_images_per_prompt=samples,
    )
    return NewJob(idea=idea, request=request, user_id=user_id, where=Where(guild_id, channel_id), **more)


def seen(score: float = 0.01, phash: str = "f0" * 8) -> Seen:
    """The classifier's result for a harmless picture."""
    return Seen(looked_at=time.time(), classifier="test", score=score, scores={"explicit": score}, phash=phash)


def listed(phash: str = "f0" * 8) -> ListedPicture:
    """A picture to block that looks like the harmless one."""
    return ListedPicture(PictureHashes(phash))


def picture(sha256: str = "0" * 64) -> StoredPicture:
    """A stored picture that the classifier has scored."""
    return StoredPicture(sha256=sha256, width=16, height=16, size=100, seed=7, seen=seen())


async def painted(jobs: JobQueue, new: NewJob, *pictures: StoredPicture) -> Job:
    """A job that has been painted; it is not posted yet."""
    job = await jobs.enqueue(new)
    claimed = await jobs.claim("painter", capacity=1)
    assert [other.id for other in claimed] == [job.id]
    assert await jobs.finish(claimed[0], pictures or [picture()], seconds=2.0, busy_seconds=1.0)
    return await jobs.get(job.id)


async def a_moment_passes(database: Database) -> None:
    """From now on a click on the same button is another request."""
    async with database.begin() as session:
        await session.execute(update(Job).values(created_at=Job.created_at - CLICK_SECONDS))


def live_worker(worker_id: str) -> WorkerState:
    """A worker that is idle, has the weights "a" in memory and room for one picture."""
    now = time.time()
    return WorkerState(worker_id=worker_id, device="cuda:1", weights=["a|"], room=PIXELS, started_at=now, seen_at=now)


def put_lora(settings: Settings, name: str, *, model: str = "doodle") -> None:
    """A LoRA in a model's folder, on offer at once; its file cannot be loaded."""
    folder = settings.data / LORAS / model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").touch()


def put_references(
    settings: Settings, *, model: str = "doodle", width: int = 128, channels: Sequence[int] = (128, 192)
) -> None:
    """A model's ControlNets and IP-Adapters, as far as the bot looks into them; they cannot be loaded.

    ``width`` and ``channels`` are those of the model's denoiser.
    """
    for kind in ("canny", "depth", "scribble", "pose"):
        folder = settings.data / "controlnets" / model / kind
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(
            json.dumps({"cross_attention_dim": width, "block_out_channels": list(channels)})
        )
        (folder / "diffusion_pytorch_model.safetensors").write_bytes(NO_WEIGHTS)
    folder = settings.data / "adapters" / model
    (folder / "image_encoder").mkdir(parents=True)
    (folder / "image_encoder" / "config.json").write_text(json.dumps({"projection_dim": 4, "hidden_size": 8}))
    (folder / "image_encoder" / "model.safetensors").write_bytes(NO_WEIGHTS)
    shapes = {"ip_adapter.1.to_k_ip.weight": [8, width], "image_proj.proj.weight": [4 * width, 4]}
    header = json.dumps({name: {"shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}).encode()
    for role in ("style", "subject"):
        (folder / f"{role}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def put_restyler(folder: Path, **more: Any) -> str:
    """A folder of a model that changes pictures, as far as the bot looks into it; it cannot be loaded."""
    card = {"kind": "cyclegan", "restyles": True, "multiple_of": 4, "num_inference_steps": 1, "width": 16, "height": 16}
    folder.mkdir()
    (folder / "limner.json").write_text(json.dumps(card | more))
    (folder / "model.safetensors").write_bytes(NO_WEIGHTS)
    return str(folder)


def put_editor(folder: Path) -> str:
    """A folder of a model that edits pictures by words, as far as the bot looks into it; it cannot be loaded."""
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionInstructPix2PixPipeline"}')
    (folder / "limner.json").write_text('{"width": 64, "height": 64}')
    return str(folder)


async def claim(jobs: JobQueue, samples: int = 1, worker: str = "w", **more: Any) -> list[int]:
    """The numbers of the jobs that a worker with room for so many samples is given."""
    return [job.id for job in await jobs.claim(worker, capacity=samples * PIXELS, **more)]


async def serve_all(jobs: JobQueue) -> list[int]:
    """The users in the order in which they are served, one job at a time."""
    served: list[int] = []
    while claimed := await jobs.claim("w", capacity=1):
        assert await jobs.finish(claimed[0], [picture()], seconds=1, busy_seconds=1)
        served.append(claimed[0].user_id)
    return served


async def change(jobs: JobQueue, job_id: int, **values: object) -> None:
    """What time, or a crash, would do to a row."""
    async with jobs.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job_id).values(**values))
