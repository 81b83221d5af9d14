"""`limner demo`: a page on this machine with the whole bot behind it, and nothing left when it ends."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import simcord

from limner.bot.__main__ import main
from limner.bot.demo import MENDED, open_page
from limner.bot.queue.endings import StoredPicture
from limner.bot.settings import Settings
from limner.bot.ui.interactions import app_of
from tests.discord_records import until
from tests.simulated_discord import HARMLESS, kept_modules, png


@pytest.fixture
async def page(settings: Settings) -> AsyncGenerator[simcord.Preview]:
    with kept_modules():
        async with open_page(settings) as page:
            yield page


async def test_two_people_can_use_every_command(page: simcord.Preview) -> None:
    ada, bob, grace = page.viewers
    assert (ada.name, bob.name, grace.name) == ("ada", "bob", "grace")
    assert {"imagine", "queue", "cancel", "history"} <= set(ada.available_commands(page.channel))
    assert "filter add" in grace.available_commands(page.channel)
    assert "filter add" not in ada.available_commands(page.channel)
    assert str(page.env.bot.user) == "Limner"


async def test_a_pinned_message_says_what_to_try_and_the_page_is_mended(page: simcord.Preview) -> None:
    """The page shows it, and has what keeps it at the newest message and puts buttons under pictures."""
    [pinned] = page.channel.pinned_messages()
    assert "three things to try" in pinned.content.casefold()
    async with Browser(page.url) as browser:
        await browser.until("hree things to try")
        for path, (_, mended) in MENDED.items():
            assert (await browser.file(path)).count(mended) == 1


async def test_a_channel_is_shown_when_its_name_is_typed(page: simcord.Preview) -> None:
    ada, grace = page.viewers[0], page.viewers[-1]
    async with Browser(page.url) as browser:
        await browser.act("send_message", content="#after-dark")
        assert (await browser.read())["channel"]["name"] == "after-dark"
        await browser.act("run_command", **await browser.command("imagine", prompt="a red fox"))
        [job] = await app_of(page.env.bot).history.page(ada.id, every_status=True)
        assert page.channel.guild
        assert (job.channel_id, job.is_age_restricted) == (page.channel.guild.channels["after-dark"].id, True)
        await browser.act("send_message", content="#moderators")
        assert (await browser.read())["channel"]["name"] == "studio"
        await browser.act("viewer", viewer_id=str(grace.id))
        await browser.act("send_message", content="#moderators")
        assert (await browser.read())["channel"]["name"] == "moderators"
        await browser.act("viewer", viewer_id=str(ada.id))
        assert (await browser.read())["channel"]["name"] == "studio"


@pytest.mark.slow
async def test_cards_are_posted_where_moderators_alone_read_them(page: simcord.Preview) -> None:
    ada, _, grace = page.viewers
    guild, app = page.channel.guild, app_of(page.env.bot)
    assert guild
    await app.filters.add(guild.id, "badger", grace.id, action="flag")
    async with Browser(page.url) as browser:
        await browser.act("viewer", viewer_id=str(grace.id))
        await browser.act("send_message", content="#moderators")
        await ada.slash(page.channel, "imagine", prompt="a badger")
        [job] = await app.jobs.claim("painter", capacity=1)
        data = png()
        picture = StoredPicture(app.images.save(data), 16, 16, len(data), 1, seen=HARMLESS)
        assert await app.jobs.finish(job, [picture], seconds=1.0, busy_seconds=1.0)
        await browser.until("a badger")
    assert "imagine" not in ada.available_commands(guild.channels["moderators"])


async def test_the_page_shows_what_the_bot_does_by_itself(page: simcord.Preview) -> None:
    ada, app = page.viewers[0], app_of(page.env.bot)
    async with Browser(page.url) as browser:
        await ada.slash(page.channel, "imagine", prompt="a red fox in the snow")
        await browser.until("queued")
        [job] = await app.jobs.claim("painter", capacity=1)
        await app.jobs.fail(job, "memory", "It does not fit.")
        await browser.until("It does not fit.")
        await browser.act("run_command", **await browser.command("imagine", prompt="a blue house --private"))
        [job] = await app.jobs.claim("painter", capacity=1)
        await app.jobs.fail(job, "memory", "The house does not fit.")
        await browser.until("The house does not fit.")


async def test_a_refusal_is_no_crash(page: simcord.Preview) -> None:
    guild, app = page.channel.guild, app_of(page.env.bot)
    assert guild
    await app.filters.add(guild.id, "badger", page.viewers[-1].id)
    async with Browser(page.url) as browser:
        receipt = await browser.act("run_command", **await browser.command("imagine", prompt="a badger"))
        assert (receipt["settlement"], receipt["diagnostics"]) == ("settled", [])
        [refused] = await app.history.page(page.viewers[0].id, every_status=True)
        await browser.until(json.dumps(refused.reason)[1:-1])
    assert page.env.errors == []


async def test_the_page_tells_the_time_of_the_click(page: simcord.Preview) -> None:
    await until(lambda: datetime.now(UTC) - page.env.now() > timedelta(seconds=1))
    async with Browser(page.url) as browser:
        before = datetime.now(UTC)
        await browser.act("run_command", **await browser.command("imagine", prompt="a red fox"))
        assert page.env.now() >= before
        assert page.capture_time >= before - timedelta(seconds=1)


async def test_the_page_is_shown_anew_after_the_bot_was_busy_for_long(
    page: simcord.Preview, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh, tried = page.refresh, asyncio.Event()

    async def busy_once() -> None:
        if not tried.is_set():
            tried.set()
            raise TimeoutError
        await refresh()

    monkeypatch.setattr(page, "refresh", busy_once)
    async with Browser(page.url) as browser:
        await page.viewers[0].slash(page.channel, "imagine", prompt="a red fox in the snow")
        await tried.wait()
        await browser.until("queued")


async def test_ids_are_those_of_the_last_demo(settings: Settings) -> None:
    seen: list[tuple[int, ...]] = []
    for _ in range(2):
        with kept_modules():
            async with open_page(settings) as page:
                seen.append((page.channel.id, *(viewer.id for viewer in page.viewers)))
    assert seen[0] == seen[1]


def test_a_taken_port_is_one_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.using(workers=0).environment().items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as taken, kept_modules():
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port)]) != 0
    told = capsys.readouterr().err
    assert f"port {port}" in told.splitlines()[-1]
    assert "--port" in told.splitlines()[-1]


@pytest.mark.slow
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
        self._sequence = 0
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def until(self, text: str) -> None:
        """Read the page until it says something."""
        async with asyncio.timeout(10):
            while text not in json.dumps(await self.read()):
                await asyncio.sleep(0.05)

    async def read(self) -> dict[str, Any]:
        """What the page shows."""
        return await self._get("state")

    async def act(self, kind: str, **what: Any) -> dict[str, Any]:
        """Do what a click or a typed line does; what the page is told of it."""
        self._sequence += 1
        shown = await self.read()
        request = {
            "protocol_version": shown["protocolVersion"],
            "sequence": self._sequence,
            "request_id": str(self._sequence),
            "generation": shown["context"]["generation"],
            "bot_generation": shown["botGeneration"],
            "published_revision": shown["publishedRevision"],
        }
        answer = self._session.post(
            f"{self._address}/api/action", json=request | {"kind": kind} | what, headers=self._headers
        )
        async with answer as told:
            receipt = await told.json()
        assert not receipt["rejected"], receipt["diagnostics"]
        return receipt

    async def command(self, name: str, **options: Any) -> dict[str, Any]:
        """How the page names a command that is typed."""
        entries = (await self._get("commands"))["entries"]
        [found] = [entry for entry in entries if entry["invocation"] == name]
        return {
            "command_id": found["commandId"],
            "path": found["path"],
            "schema_fingerprint": found["schemaFingerprint"],
            "options": options,
        }

    async def file(self, name: str) -> str:
        """A script of the page, as it is served."""
        async with self._session.get(f"{self._address}{name}") as answer:
            return await answer.text()

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-Simcord-Context": self._context}

    async def _get(self, what: str) -> dict[str, Any]:
        async with self._session.get(f"{self._address}/api/{what}", headers=self._headers) as answer:
            return await answer.json()


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
