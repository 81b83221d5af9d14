"""The pictures in docs/ that show a page: `python -m tests.docs_pictures` (or `make pictures`) makes them anew.

A Chromium without a window shows the demo's page while a real worker paints; it is driven by the DevTools protocol.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import simcord

from limner.bot.demo import open_page
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.ui.interactions import app_of
from limner.generators.language.bundled_model import is_converted
from tests.bot.test_demo import Browser
from tests.discord_records import until
from tests.simulated_discord import kept_modules

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1200, 1100)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WARM_UP = "a green tree"
IDEAS = ("a red fox in the snow --seed 7", "a blue house on a hill --seed 3")
"""What is typed in the channel that is shown; the language model is loaded by then."""
SHOWN_LAST = IDEAS[-1].partition(" --")[0]
PAINT_SECONDS, LOAD_SECONDS = 120.0, 20.0

LOADED = """[...document.querySelectorAll("#channel-timeline img")].filter(one => one.naturalWidth >= 64).length"""
SHOWN = """document.querySelector("#channel-timeline")?.innerText ?? ''"""
"""The words of the channel on the screen; a tab may still show the one before."""
CUT = """[...document.querySelectorAll("#channel-timeline *")]
    .filter(one => one.children.length === 0 && one.textContent.trim() && one.getClientRects().length)
    .filter(one => { const box = one.getBoundingClientRect();
        return box.right > innerWidth + 1 || (one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0); })
    .map(one => one.textContent.trim().slice(0, 60))"""
"""The texts that leave the window or their own box."""


def find_browser() -> str | None:
    """The path of a Chromium on this machine, None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


async def draw_demo(file: Path, data: Path) -> list[str]:
    """Write a screenshot of the demo with painted pictures, and return the texts in it that are cut off."""
    with kept_modules():
        settings = Settings(data=data, device="cpu")
        await migrate.upgrade(settings.url)
        async with open_page(settings) as page, Browser(page.url) as member, _tab(page.url) as tab:
            await member.act("send_message", content="#after-dark")
            await _paint(page, member, WARM_UP)
            await until(lambda: is_converted(settings.data / "cache"), PAINT_SECONDS, "the language model is converted")
            await _paint(page, member, WARM_UP)
            await member.act("send_message", content="#studio")
            for idea in IDEAS:
                await _paint(page, member, idea)
            async with asyncio.timeout(LOAD_SECONDS):
                while await tab.evaluate(LOADED) < len(IDEAS) or SHOWN_LAST not in await tab.evaluate(SHOWN):
                    await asyncio.sleep(0.1)
            file.write_bytes(base64.b64decode((await tab.call("Page.captureScreenshot", format="png"))["data"]))
            return await tab.evaluate(CUT)


async def _paint(page: simcord.Preview, member: Browser, idea: str) -> None:
    app = app_of(page.env.bot)
    await member.act("run_command", **await member.command("imagine", prompt=idea))
    [job] = await app.history.page(None, every_status=True, limit=1)
    async with asyncio.timeout(PAINT_SECONDS):
        while (await app.jobs.get(job.id)).delivered_at is None:
            await asyncio.sleep(0.1)


class Tab:
    """A tab of a browser, as the DevTools protocol sees it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while (told := await self._socket.receive_json()).get("id") != self._calls:
            pass  # an event
        assert "error" not in told, told
        return told["result"]

    async def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return told["result"].get("value")


@asynccontextmanager
async def _tab(url: str) -> AsyncGenerator[Tab]:
    path = find_browser()
    assert path, "install Chromium first, for example with: apt install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0")
        process = await asyncio.create_subprocess_exec(
            *(path, *options, f"--user-data-dir={profile}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            ready = Path(profile) / "DevToolsActivePort"
            await until(lambda: ready.exists() and len(ready.read_text().splitlines()) > 1, what="the browser starts")
            port = ready.read_text().splitlines()[0]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    [address] = [tab["webSocketDebuggerUrl"] for tab in await answer.json() if tab["type"] == "page"]
                async with session.ws_connect(address, max_msg_size=2**26) as socket:
                    tab = Tab(socket)
                    width, height = SIZE
                    shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
                    await tab.call("Emulation.setDeviceMetricsOverride", **shape)
                    await tab.call("Page.navigate", url=url)
                    yield tab
        finally:
            process.terminate()
            await process.wait()


def main() -> None:
    """Make every picture anew."""
    with tempfile.TemporaryDirectory() as folder:
        unpacked = ROOT / "data" / "cache"
        if unpacked.is_dir():
            shutil.copytree(unpacked, Path(folder) / "cache")
        if cut := asyncio.run(draw_demo(ROOT / "docs" / "demo.png", Path(folder))):
            sys.exit(f"Cut off in docs/demo.png: {cut}")


if __name__ == "__main__":
    main()
