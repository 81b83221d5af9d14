"""`limner demo`: a page on this machine with the whole bot behind it, and nothing left when it ends."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest
import simcord

from limner.bot.demo import open_page
from limner.bot.settings import Settings
from limner.bot.ui.interactions import app_of
from tests.simulated_discord import kept_modules


@pytest.fixture
async def page(settings: Settings) -> AsyncGenerator[simcord.Preview]:
    with kept_modules():
        async with open_page(settings) as page:
            yield page


async def test_two_people_can_use_every_command(page: simcord.Preview) -> None:
    ada, grace = page.viewers
    assert (ada.name, grace.name) == ("ada", "grace")
    assert {"imagine", "queue", "cancel", "history"} <= set(ada.available_commands(page.channel))
    assert "filter add" in grace.available_commands(page.channel)
    assert "filter add" not in ada.available_commands(page.channel)
    assert str(page.env.bot.user) == "Limner"


async def test_the_page_shows_what_the_bot_does_by_itself(page: simcord.Preview) -> None:
    ada, app = page.viewers[0], app_of(page.env.bot)
    async with Browser(page.url) as browser:
        await ada.slash(page.channel, "imagine", prompt="a red fox in the snow")
        await browser.until("queued")
        [job] = await app.jobs.claim("painter", capacity=1)
        await app.jobs.fail(job, "memory", "It does not fit.")
        await browser.until("It does not fit.")


async def test_ids_are_those_of_the_last_demo(settings: Settings) -> None:
    seen: list[tuple[int, ...]] = []
    for _ in range(2):
        with kept_modules():
            async with open_page(settings) as page:
                seen.append((page.channel.id, *(viewer.id for viewer in page.viewers)))
    assert seen[0] == seen[1]


async def test_a_taken_port_is_one_sentence(page: simcord.Preview, settings: Settings) -> None:
    port = int(page.url.split(":")[2].split("/")[0])
    process = await _start(settings.using(workers=0), port)
    _, told = await process.communicate()
    assert f"port {port}" in told.decode().splitlines()[-1]
    assert "--port" in told.decode().splitlines()[-1]
    assert process.returncode


@pytest.mark.timeout(120)
async def test_ctrl_c_leaves_no_process(settings: Settings) -> None:
    process = await _start(settings.using(workers=1), 0)
    try:
        assert process.stdout
        address = re.search(r"http://\S+", (await process.stdout.readline()).decode())
        assert address
        async with Browser(address[0]) as browser:
            await browser.until("studio")
        children = await _children(process.pid)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        assert not [child for child in children if child.is_running()]
    finally:
        with suppress(ProcessLookupError):
            process.kill()


class Browser:
    """What the page in a browser asks the server for."""

    def __init__(self, url: str) -> None:
        self._address, _, self._key = url.partition("/#")

    async def __aenter__(self) -> "Browser":
        self._session = aiohttp.ClientSession(headers={"X-Simcord-Capability": self._key})
        async with self._session.get(self._address) as answer:
            assert "<html" in await answer.text()
        async with self._session.post(f"{self._address}/api/pages", json={}) as answer:
            self._context = (await answer.json())["context"]["id"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def until(self, text: str) -> None:
        """Read the page until it says something."""
        async with asyncio.timeout(10):
            while text not in await self._read():
                await asyncio.sleep(0.05)

    async def _read(self) -> str:
        headers = {"X-Simcord-Context": self._context}
        async with self._session.get(f"{self._address}/api/state", headers=headers) as answer:
            return await answer.text()


async def _start(settings: Settings, port: int) -> asyncio.subprocess.Process:
    pipe, environment = asyncio.subprocess.PIPE, os.environ | settings.environment()
    arguments = ("-m", "limner", "demo", "--port", str(port))
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=pipe, stderr=pipe, env=environment, cwd=Path(__file__).parents[2]
    )


async def _children(pid: int) -> list[psutil.Process]:
    async with asyncio.timeout(10):
        while not (children := psutil.Process(pid).children(recursive=True)):
            await asyncio.sleep(0.05)
    return children
