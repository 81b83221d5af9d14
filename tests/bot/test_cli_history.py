"""`limner history` has the filters of /history."""

import asyncio
import json
import os

import pytest
from sqlalchemy import update

from limner.bot.__main__ import main
from limner.bot.app import open_app
from limner.bot.queue.endings import StoredPicture
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Job
from tests.rows import new_job, painted, seen
from tests.simulated_discord import png

ADA, BOB, HERE = 5, 6, 101
DAY = 86_400.0


async def fill(settings: Settings) -> None:
    """Requests 1 to 4, a day apart from 2026-01-01 on; picture 1 of request 1 is a favourite of Bob's."""
    async with open_app(settings) as app:
        for number, (idea, user, model, channel, style) in enumerate(
            [("a red fox", ADA, "tiny", 7, "ink"), ("a cow", ADA, "large", 8, ""), ("a fox", BOB, "tiny", 7, "ink")]
        ):
            new = new_job(idea, user, model=model, guild_id=HERE, channel_id=channel, style=style)
            data = png(shade=number)
            picture = StoredPicture(app.images.save(data), 16, 16, len(data), 7, seen())
            job = await painted(app.jobs, new, picture)
            if number == 0:
                await app.favourites.star(BOB, job.images[0].id)
        await app.jobs.log_refusal(new_job("a forbidden fox", ADA, guild_id=HERE), "filter:idea", "No.")
        async with app.database.begin() as session:
            await session.execute(update(Job).values(created_at=1_767_225_600.0 + (Job.id - 1) * DAY))


def test_each_filter_finds_its_requests(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in [name for name in os.environ if name.startswith("LIMNER_")]:
        monkeypatch.delenv(name)
    for name in ("EXPANDER", "EMBEDDER", "SAFETY_CLASSIFIER"):
        monkeypatch.setenv(f"LIMNER_{name}", "off")
    asyncio.run(fill(settings))
    for typed, numbers in (
        ("", [4, 3, 2, 1]),
        ("--oldest --limit 2", [1, 2]),
        (f"--user {ADA}", [4, 2, 1]),
        (f"--user {ADA} --model tiny", [4, 1]),
        (f"--server {HERE} --style ink", [3, 1]),
        (f"--server {HERE} --channel 8", [2]),
        (f"--user {ADA} --search fox --oldest", [1, 4]),
        ("--since 2026-01-02 --until 2026-01-03", [3, 2]),
        (f"--favourites {BOB}", [1]),
        (f"--user {ADA} --upscaled", []),
        (f"--user {ADA} --lora gold", []),
        ("--id 2", [2]),
        ("--id 99", []),
    ):
        assert main(["--data", str(settings.data), "history", "--json", *typed.split()]) == 0
        assert [job["id"] for job in json.loads(capsys.readouterr().out)] == numbers, typed


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("--model tiny", "add --user or --server"),
        ("--user 5 --server 101", "not both"),
        ("--since yesterday", "is not a date"),
    ],
)
def test_filters_that_do_not_go_together_are_one_sentence(
    settings: Settings, typed: str, sentence: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["--data", str(settings.data), "history", *typed.split()]) != 0
    told = capsys.readouterr()
    assert sentence in told.err
    assert told.err.count("\n") == 1
