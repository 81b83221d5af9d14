"""Serves /metrics and /health over HTTP, to this machine unless the operator says otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from limner.bot.app import App
from limner.bot.background import running
from limner.bot.web.exposition import CONTENT_TYPE
from limner.bot.web.metrics import Metrics
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

REFRESH_SECONDS = 5.0
"""Pause between two reads: however often somebody asks, the database is asked no more often."""


class MetricsServer:
    """Keeps the text for Prometheus up to date and hands it out.

    Args:
        app: whose numbers they are.
        is_online: whether the bot is connected to Discord.
    """

    def __init__(self, app: App, is_online: Callable[[], bool]) -> None:
        self._metrics = Metrics(app)
        self._is_online = is_online
        self._text: str | None = None

    async def keep_reading(self) -> None:
        """Read the numbers again and again; without a database there are none."""
        while True:
            try:
                self._text = await self._metrics.refresh()
            except Exception as error:
                self._text = None
                log.warning("metrics_unread reason=%s", error_site(error))
            await asyncio.sleep(REFRESH_SECONDS)

    async def metrics(self, _request: web.Request) -> web.Response:
        """The numbers of the last read; 503 without any."""
        if self._text is None:
            return web.Response(status=503, text="no metrics: the database does not answer\n")
        return web.Response(body=self._text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def health(self, _request: web.Request) -> web.Response:
        """Whether database and Discord answer, and how many workers there are; 503 if one of the first two does not."""
        found = {"database": self._text is not None, "discord": self._is_online()}
        workers = int(self._metrics.workers.values[()])
        return web.json_response({**found, "workers": workers}, status=200 if all(found.values()) else 503)


@asynccontextmanager
async def serving_metrics(app: App, is_online: Callable[[], bool]) -> AsyncGenerator[None]:
    """Serve inside this block if the setting `metrics_port` names a port; one that is taken costs the metrics alone."""
    settings = app.settings
    if not settings.metrics_port:
        yield
        return
    server, pages = MetricsServer(app, is_online), web.Application()
    pages.add_routes([web.get("/metrics", server.metrics), web.get("/health", server.health)])
    runner = web.AppRunner(pages, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.metrics_host, settings.metrics_port).start()
    except OSError as error:
        log.error("metrics_off port=%d reason=%s", settings.metrics_port, error_site(error))
        await runner.cleanup()
        yield
        return
    try:
        async with running(server.keep_reading(), "limner-metrics"):
            yield
    finally:
        await runner.cleanup()
