"""`limner train lora --liked`: whose pictures a LoRA learns, how much each counts, and what erasing does to it."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from PIL import Image

from limner.bot.__main__ import main
from limner.bot.app import App, open_app
from limner.bot.cli.liked import LikedTraining
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import LORAS
from limner.bot.storage.erasures import Period
from limner.bot.storage.history.taught_loras import LikedLora
from limner.bot.storage.tables.models import Job
from limner.generators.training.data.picture_folder import PictureFolder
from tests.bot.test_worker import tiny
from tests.rows import new_job, painted, picture

__all__ = ["tiny"]
ADA, BOB, CAT, SERVER = 1, 2, 3, 101


async def two(app: App, user_id: int, number: int, guild_id: int | None = None) -> Job:
    """A request with two stored pictures."""
    stored: list[str] = []
    for place in range(2):
        data = io.BytesIO()
        Image.new("RGB", (24, 16), (user_id * 40, number * 9, place * 200)).save(data, "PNG")
        stored.append(app.images.save(data.getvalue()))
    job = new_job(f"a (cow:1.3) {number}", user_id, guild_id=guild_id, samples=2)
    return await painted(app.jobs, job, *map(picture, stored))


async def like(app: App) -> list[Job]:
    """What Ada, Bob and Cat like; Cat lets no model be trained."""
    for who, is_training in ((ADA, True), (BOB, True), (CAT, False)):
        await app.ratings.choose(who, is_shown=True, is_training=is_training)
    jobs = [await two(app, who, number, SERVER) for number in range(5) for who in (ADA, BOB, CAT)]
    for job in jobs:
        await app.ratings.rate(job, is_good=job.id < 13)
    await app.preferences.prefer(jobs[0], better=2, worse=1)
    await app.preferences.prefer(jobs[12], better=1, worse=2)
    return jobs


def training(settings: Settings, who: int, name: str = "ink") -> LikedTraining:
    lora = LikedLora(f"tiny/{name}", settings.data / f"lora-{name}", settings.data / LORAS / "tiny" / f"{name}.st")
    return LikedTraining(settings, who, lora, 16, is_named=False)


def texts(settings: Settings, name: str = "ink") -> list[str]:
    lines = (settings.data / f"lora-{name}" / "liked" / "metadata.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.mark.slow
def test_the_likes_of_who_allows_it_teach_a_lora_that_goes_with_its_member(settings: Settings, tiny: Path) -> None:
    settings = settings.using(models={"tiny": str(tiny)})
    told = ["--data", str(settings.data), "train", "lora", "tiny", "--liked", f"{SERVER}", "--processes", "1"]
    (settings.data / "limner.toml").write_text(f'device = "cpu"\n[models]\ntiny = "{tiny}"\n')

    async def open_and(act: Callable[[App], Awaitable[object]]) -> None:
        async with open_app(settings) as app:
            await act(app)

    asyncio.run(open_and(like))
    assert main([*told, "--samples", "8", "--rank", "2"]) == 0
    folder, file = settings.data / "training" / "lora-mine", settings.data / LORAS / "tiny" / "mine.safetensors"
    assert file.is_file()
    assert {path.name for path in folder.iterdir()} >= {"checkpoint.safetensors", "samples.png"}
    assert not (folder / "liked").exists()
    (folder / "notes.txt").touch()

    async def erase(app: App) -> None:
        lora = LikedLora("tiny/mine", folder, file)
        assert await app.taught_loras.members(lora) == {ADA, BOB}
        period = Period(BOB, 0.0, 4e9)
        erasure = await app.erasures.ask(period, is_all=True, takes_messages=False, locale="en-US")
        await app.erasures.finish(erasure)
        assert await app.taught_loras.members(lora) == set()

    asyncio.run(open_and(erase))
    assert not file.exists()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


async def test_a_picture_counts_by_its_likes_beside_one_that_is_not_liked(settings: Settings, app: App) -> None:
    jobs = await like(app)
    mine = training(settings, SERVER)
    folder, are_pairs = await asyncio.to_thread(mine.gather)
    assert (folder.name, are_pairs) == ("liked", True)
    liked, not_liked = (Counter(texts(settings)[place::2]) for place in (0, 1))
    # Two pictures each of eight liked requests; of the first one's the better counts twice and the other not at all.
    assert liked == {f"a cow {number}": 2 * 2 for number in range(4)}
    assert not_liked == {"a cow 4": 16}
    assert PictureFolder(settings.data / "lora-ink" / "liked").side == 16

    await app.erasures.finish(
        await app.erasures.ask(Period(BOB, 0.0, 4e9), is_all=True, takes_messages=False, locale="en-US")
    )
    (settings.data / "lora-ink" / "checkpoint.safetensors").touch()
    with pytest.raises(SetupError, match="was erased meanwhile, so it is deleted"):
        await asyncio.to_thread(mine.check)
    assert [*(settings.data / "lora-ink").iterdir()] == []
    for who, number in ((CAT, 0), (ADA, 0), (7, 0)):
        await app.ratings.choose(ADA, is_shown=True, is_training=False)
        with pytest.raises(SetupError, match=rf"^{number} liked pictures of {who} are too few to learn from; it takes"):
            await asyncio.to_thread(training(settings, who).gather)
    assert jobs
