"""kill -9 while review cards are posted and decided: no card is lost or doubled, and each decision counts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import discord
import pytest
from aiohttp import web

from limner.bot.app import open_app
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from tests.discord_records import CHANNEL, GUILD, Post, until
from tests.discord_server import DiscordServer
from tests.studio import Studio, open_studio
from tests.tiny_models import build_tiny_pipeline

MEMBER, MODERATOR = 7, 8
REVIEWS = CHANNEL + 1


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
async def studio(tmp_path: Path, tiny: Path) -> AsyncGenerator[Studio]:
    """A server in which every cat waits for a moderator, and everybody is one."""
    server = DiscordServer(channels=2)
    server.member_permissions |= discord.Permissions(manage_guild=True).value
    settings = {
        "models": f"tiny={tiny}",
        "expander": "off",
        "device": "cpu",
        "previews": "off",
        "safety_classifier": "off",
    }
    async with server.open(), open_studio(tmp_path / "data", server, lease_seconds=2, **settings) as studio:
        own = Settings(data=studio.folder)
        await migrate.upgrade(own.url)
        async with open_app(own) as app:
            await app.guilds.change(GUILD, MODERATOR, review_channel_id=REVIEWS)
            await app.filters.add(GUILD, "cat", MODERATOR, action="flag")
        await studio.start()
        yield studio


def cards(studio: Studio) -> list[Post]:
    return studio.server.visible(REVIEWS)


def review(studio: Studio) -> dict[str, Any] | None:
    return next(iter(studio.rows("reviews")), None)


async def asked(studio: Studio) -> None:
    await studio.server.slash(MEMBER, CHANNEL, "imagine", prompt="a red cat")


async def carded(studio: Studio) -> Post:
    """Wait for the card, and until the bot knows that it is there."""
    await until(lambda: (row := review(studio)) and row["shown"], 60, "the card is posted")
    [card] = cards(studio)
    return card


async def pressed(studio: Studio) -> None:
    card = await carded(studio)
    await studio.server.click(MODERATOR, card, next(one for one in card.custom_ids if ":approve:" in one), wait=60)


def _posting(*, heard: bool) -> Callable[[Studio], Awaitable[None]]:
    """Killed while the card is on its way, or while Discord's answer is."""

    async def reach(studio: Studio) -> None:
        gate = studio.server.hold(lambda request: _is_card(request, "POST"), heard=heard)
        await asked(studio)
        await asyncio.wait_for(gate.reached.wait(), 60)
        assert len(cards(studio)) == heard

    return reach


def _closing(*, heard: bool) -> Callable[[Studio], Awaitable[None]]:
    """Killed between the decision and the card that shows it, or before it is known that it does."""

    async def reach(studio: Studio) -> None:
        gate = studio.server.hold(lambda request: _is_card(request, "PATCH"), heard=heard)
        await asked(studio)
        await pressed(studio)
        await asyncio.wait_for(gate.reached.wait(), 60)

    return reach


async def _waiting(studio: Studio) -> None:
    """Killed while the card waits for a moderator."""
    await asked(studio)
    await carded(studio)


async def _answering(studio: Studio) -> None:
    """Killed while the moderator's press is being answered; they press again."""
    await asked(studio)
    card = await carded(studio)
    gate = studio.server.hold(lambda request: request.path.endswith("/callback"))
    press = asyncio.create_task(
        studio.server.click(MODERATOR, card, next(one for one in card.custom_ids if ":approve:" in one), wait=60)
    )
    await asyncio.wait_for(gate.reached.wait(), 60)
    press.cancel()


def _is_card(request: web.Request, method: str) -> bool:
    return request.method == method and f"/channels/{REVIEWS}/messages" in request.path


POINTS: dict[str, Callable[[Studio], Awaitable[None]]] = {
    "before the card": _posting(heard=False),
    "before the card is known": _posting(heard=True),
    "the card waits": _waiting,
    "before the press is answered": _answering,
    "before the card shows the decision": _closing(heard=False),
    "before that is known": _closing(heard=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_killed_anywhere(studio: Studio, point: str) -> None:
    await POINTS[point](studio)
    await studio.kill("both")
    for gate in studio.server.gates:
        gate.open()
    studio.server.gates.clear()
    await studio.start()
    await until(lambda: (row := review(studio)) and row["shown"], 60, "the card is posted")
    if (row := review(studio)) and row["state"] == "open":
        await pressed(studio)
    await until(lambda: (row := review(studio)) and row["shown"] == "approved", 60, "the decision is shown")
    await until(lambda: all(job["delivered_at"] for job in studio.rows()), 60, "the pictures are posted")
    await studio.stop()

    [card] = cards(studio)
    assert (card.custom_ids, [file.name for file in card.files]) == ([], ["SPOILER_limner-1-1.jpg"])
    [answer] = studio.server.visible()
    assert [file.name for file in answer.files] == ["limner-1-1.png"]
    [job] = studio.rows()
    assert (job["status"], job["quarantine"]) == ("succeeded", None)
    assert studio.server.unknown == []
