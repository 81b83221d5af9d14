"""The small Discord keeps Discord's rules, as a real discord.py bot in another process meets them."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.discord_records import CHANNEL, until
from tests.discord_server import DiscordServer
from tests.tiny_models import build_tiny_pipeline


@pytest.fixture
async def discord_server() -> AsyncGenerator[DiscordServer]:
    async with DiscordServer().open() as server:
        yield server


@pytest.mark.slow
async def test_a_plain_bot_is_heard_and_answers_with_a_picture(discord_server: DiscordServer, tmp_path: Path) -> None:
    model = build_tiny_pipeline(tmp_path / "tiny")
    command = ("-m", "tests.naive_bot", discord_server.address, str(model), "2")
    bot = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        await discord_server.online()
        asked = await discord_server.slash(7, CHANNEL, "imagine", prompt="a cat")
        post = asked.message
        assert post is not None
        await until(lambda: post.files, 20, "the picture")
        assert post.content == "a cat"
        assert post.files[0].data.startswith(b"\x89PNG")
        assert len(post.edits) == 2
        assert discord_server.visible() == [post]
        assert discord_server.unknown == []
    finally:
        bot.send_signal(signal.SIGKILL)
        await bot.wait()
    await until(lambda: not discord_server.sessions, 5, "the gateway notices the death")
