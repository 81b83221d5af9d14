"""What a worker does beside painting, with a real image-text model: candidates, descriptions, larger pictures."""

import asyncio
import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from limner.bot import submit
from limner.bot.app import App
from limner.bot.cli.doctor.embeddings import pictures
from limner.bot.errors import BadOption, CannotDescribe
from limner.bot.filters.rules import RuleAction
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.tables.models import Image as ImageRow
from limner.bot.storage.tables.models import Job
from limner.generators.requests import Finish
from limner.generators.vision.clip import FolderImageTextModel
from tests.bot.test_worker import AddingExpander, ask, make_worker
from tests.rows import asked
from tests.tiny_image_text import square
from tests.tiny_models import build_tiny_pipeline


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path, tiny_image_text: Path) -> Settings:
    models = {"tiny": str(tiny), "chosen": str(tiny)}
    return settings.using(
        models=models, image_text_model=str(tiny_image_text), candidates={"chosen": "4"}, device="cpu"
    )


def opened(app: App, job: Job) -> list[Image.Image]:
    return [Image.open(io.BytesIO(app.images.read(image.sha256))) for image in job.images]


async def done(app: App, job: Job) -> Job:
    """The job after a worker of its own has worked until nothing was left."""
    await make_worker(app, AddingExpander()).run(burst=True)
    return await app.jobs.get(job.id)


async def describe(app: App, **more: Any) -> Job:
    """A request for words, for a green square."""
    file = io.BytesIO()
    square("green", 8).save(file, "PNG")
    image = await app.inputs.store(file.getvalue())
    return await submit.describe(app, asked(text="", image=image, image_name="photo.png", **more))


async def upscale(app: App, job: Job) -> Job:
    return await submit.upscale(app, job, user_id=0, where=job.where)


async def test_the_nearest_of_several_candidates_is_kept(app: App, tiny_image_text: Path) -> None:
    all_of_them = await ask(app, "a red square", count=4, steps=1)
    job = await ask(app, "a red square", model="chosen", steps=1)
    job = await done(app, job)
    all_of_them = await app.jobs.get(all_of_them.id)
    painted = opened(app, all_of_them)
    scores = FolderImageTextModel.load(str(tiny_image_text)).score(painted, ["a red square"])[:, 0].tolist()
    best = int(scores.index(max(scores)))

    [kept], [image] = job.images, opened(app, job)
    assert image.tobytes() == painted[best].tobytes()
    assert kept.seed == all_of_them.images[best].seed == 7 + best
    assert kept.nearness == pytest.approx(max(scores), abs=1e-5)
    assert image.info["parameters"].endswith(f", Nearness: {max(scores):.2f}, Candidates: 4")
    assert all(row.nearness is None for row in all_of_them.images)


async def test_candidates_are_paid_for_and_do_not_count_as_pictures(app: App) -> None:
    job = await ask(app, count=2, model="chosen", steps=1)
    assert job.pixels == 2 * 4 * 16 * 16
    with pytest.raises(BadOption, match="number of pictures must be from 1 to 4"):
        await ask(app, count=5, model="chosen")


async def test_a_missing_image_text_model_costs_nobody_a_picture_and_who_asks_for_words_reads_so(
    app: App, settings: Settings, tmp_path: Path
) -> None:
    gone = replace(app, settings=settings.using(image_text_model=str(tmp_path / "nothing")))
    job, description = await ask(gone, model="chosen", steps=1), await describe(gone, user_id=2)
    job, description = await done(gone, job), await gone.jobs.get(description.id)
    assert job.status == JobStatus.SUCCEEDED
    assert [(image.seed, image.nearness) for image in job.images] == [(7, None)]
    assert (description.status, description.reason_code) == (JobStatus.FAILED, "model")
    with pytest.raises(CannotDescribe):
        await describe(replace(app, settings=settings.using(image_text_model="", candidates={})))


async def test_a_picture_is_described_and_the_words_can_be_painted(app: App) -> None:
    job = await done(app, await describe(app))
    assert (job.status, job.prompt) == (JobStatus.SUCCEEDED, "a green square")
    assert [image.tobytes() for image in opened(app, job)] == [square("green", 8).tobytes()]
    assert [image.sha256 for image in job.images] == [job.input_sha256]
    assert await app.history.count(None) == 0

    painting = await submit.paint_described(app, job, user_id=0, where=job.where)
    assert (painting.idea, painting.kind, painting.parent_id) == ("a green square", "paint", job.id)
    assert len((await done(app, painting)).images) == 1


async def test_words_are_said_as_the_rules_want_them_or_not_at_all(app: App) -> None:
    await app.filters.add(6, "green", 1)
    await app.guilds.change(5, 1, review_channel_id=9)
    await app.filters.add(5, "green", 1, action=RuleAction.REPLACE, replacement="grey")
    await app.filters.add(5, "square", 1, action=RuleAction.FLAG)
    forbidden = await describe(app, guild_id=6, user_id=3)
    job = await done(app, await describe(app, guild_id=5, user_id=3))
    forbidden = await app.jobs.get(forbidden.id)
    assert (forbidden.status, forbidden.prompt, forbidden.images) == (JobStatus.REFUSED, None, [])
    assert forbidden.reason_code == "filter:description"
    assert "green" not in (forbidden.reason or "")
    assert (job.status, job.prompt, job.quarantine) == (JobStatus.SUCCEEDED, "a grey square", HoldReason.FLAGGED)
    with pytest.raises(BadOption, match="not posted yet"):
        await submit.paint_described(app, job, user_id=3, where=job.where)


async def test_pictures_become_larger_without_being_painted_again(app: App) -> None:
    job = await done(app, await ask(app, count=2, steps=1))
    larger = await done(app, await upscale(app, job))
    assert [image.size for image in opened(app, larger)] == [(32, 32), (32, 32)]
    assert [image.seed for image in larger.images] == [7, 8]
    before, after = opened(app, job)[0].info["parameters"], opened(app, larger)[0].info["parameters"]
    assert after == before + ", Upscale: 2x Lanczos"
    assert (larger.kind, larger.parent_id, larger.pixels) == ("finish", job.id, 1)
    again = await done(app, await upscale(app, larger))
    assert opened(app, again)[0].size == (64, 64)


async def test_a_request_is_finished_as_its_flags_say(app: App) -> None:
    job = await done(app, await ask(app, "a cat --crop 2:1 --upscale 3 --colour 0 --sharpen 2", steps=1))
    assert job.generation.finish == Finish(crop=(2, 1), upscale=3, colour=0, sharpness=2)
    [image] = opened(app, job)
    assert image.size == (job.images[0].width, job.images[0].height) == (48, 24)
    assert len(set(image.convert("RGB").getpixel((5, 5)) or ())) == 1  # type: ignore[arg-type]
    assert 'Crop: "2:1", Upscale: 3x Lanczos, Colour: 0, Sharpness: 2' in image.info["parameters"]
    assert (await submit.reroll(app, job, user_id=0)).generation.finish == job.generation.finish


@pytest.mark.slow
async def test_a_picture_whose_file_is_gone_cannot_be_made_larger(app: App) -> None:
    job = await done(app, await ask(app, steps=1))
    app.images.delete(job.images[0].sha256)
    larger = await done(app, await upscale(app, job))
    assert (larger.status, larger.reason_code) == (JobStatus.FAILED, "files")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--upscale 5", "upscale must be from 1 to 4"),
        ("--colour 9", "colour must be from 0 to 3"),
        ("--sharpen 9", "sharpness must be from 0 to 5"),
        ("--crop 9:1", "crop is too narrow"),
        ("--resize 90x5", "size is too narrow"),
        ("--resize 8000x8000", "would be over"),
    ],
)
async def test_what_cannot_be_done_to_a_picture_is_refused_at_once(app: App, flags: str, complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        await ask(app, f"a cat {flags}")


async def test_an_errand_survives_its_worker(app: App) -> None:
    """Its row waits like any other; another worker begins again."""
    job = await describe(app)
    await app.jobs.claim("dead", capacity=1)
    with closing(sqlite3.connect(app.settings.data / "limner.db")) as connection, connection:
        connection.execute("UPDATE jobs SET lease_until = 1")
    await app.jobs.requeue_stalled()
    job = await done(app, job)
    assert (job.status, job.attempts, job.prompt) == (JobStatus.SUCCEEDED, 2, "a green square")


async def test_what_pictures_show_is_kept_as_vectors_and_pictures_alike_are_found(app: App) -> None:
    jobs = [await ask(app, "a red cat", seed=seed) for seed in (7, 8)]
    again = await done(app, await ask(app, "the same", seed=7, expand="off"))
    async with app.database.read() as session:
        found = select(ImageRow.job_id, ImageRow.features, ImageRow.features_by).order_by(ImageRow.job_id)
        rows = (await session.execute(found)).all()
    assert [row.job_id for row in rows] == [job.id for job in (*jobs, again)]
    assert {row.features_by for row in rows} == {app.settings.image_text_model}
    assert len({len(row.features) for row in rows}) == 1
    assert (await app.alike.nearest(SearchScope(user_id=0), jobs[0].id, 0, (), 1)) in ([jobs[1].id], [again.id])
    assert len(await app.alike.nearest(SearchScope(user_id=0), jobs[0].id, 0, (), 9)) == 2
    assert await app.alike.nearest(SearchScope(user_id=5), jobs[0].id, 0, (again.id,), 9) == [again.id]
    assert await app.alike.nearest(SearchScope(user_id=0), jobs[0].id, 3, (), 9) == []


async def test_an_idle_worker_embeds_pictures_of_earlier_requests_and_the_doctor_counts_them(
    app: App, settings: Settings
) -> None:
    without = replace(app, settings=settings.using(image_text_model=""))
    old = await done(without, await ask(without, "a red square", count=3, steps=1))
    app.images.delete(old.images[1].sha256)
    async with app.database.begin() as session:
        (await session.get_one(ImageRow, old.images[2].id)).features_by = "another model"
    check = await pictures(settings, is_set_up=True)
    assert check.what.endswith("2 pictures have no embedding yet")

    worker = make_worker(app, AddingExpander())
    working = asyncio.create_task(worker.run())
    new = await ask(app, "a green square", steps=1)
    async with asyncio.timeout(60):
        while await app.alike.rows.count_missing() or not await embedded(app, new):
            await asyncio.sleep(0.05)
    worker.stop()
    await working

    assert [len(row or b"") for row in await embedded(app, old)] == [512, 0, 512]
    assert await app.alike.nearest(SearchScope(user_id=0), old.id, 0, [], 5) == [new.id]
    assert "no embedding" not in (await pictures(settings, is_set_up=True)).what


async def embedded(app: App, job: Job) -> list[bytes | None]:
    """The embeddings of the pictures that have one, or whose files cannot be read."""
    found = select(ImageRow.features).where(ImageRow.job_id == job.id, ImageRow.features_by.is_not(None))
    async with app.database.read() as session:
        return list(await session.scalars(found.order_by(ImageRow.position)))
