"""Limner as its operator runs it: real processes on a data folder, in front of the small Discord of the tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import psutil

from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.private_files import make_database
from tests.discord_records import until
from tests.discord_server import DiscordServer

ROOT = Path(__file__).resolve().parent.parent
Victim = Literal["bot", "worker", "both"]


class Studio:
    """One data folder and the processes that work on it; ``settings`` are Limner's own, by name."""

    _empty_database: ClassVar[bytes] = b""
    """A migrated one without rows, once this process has made one."""

    def __init__(self, folder: Path, server: DiscordServer, **settings: Any) -> None:
        self.folder = folder.resolve()
        self.server = server
        self.settings = settings
        self.python_path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.environment = {"OMP_NUM_THREADS": "1"}  # tiny models on a shared machine: threads only wait for each other
        self._started: list[asyncio.subprocess.Process] = []

    async def start(self, *, stderr: int | None = None, **settings: Any) -> asyncio.subprocess.Process:
        """Run `limner run` until Discord says that it is online; ``settings`` are for this run only."""
        await self._migrate()
        process = await self.run("run", stderr=stderr, **settings)
        await until(lambda: self.server.sessions or process.returncode is not None, 30, "the bot is online")
        assert process.returncode is None
        return process

    async def run(self, *command: str, stderr: int | None = None, **settings: Any) -> asyncio.subprocess.Process:
        """Start `limner COMMAND` and do not wait for it."""
        arguments = ("-m", "tests.run_bot", self.server.address, *command)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=self._environment(settings), cwd=ROOT, stdin=DEVNULL, stderr=stderr
        )
        self._started.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """All that run on this data folder, also those that other processes started."""
        return [process for process in psutil.process_iter() if _works_on(process, self.folder)]

    def workers(self) -> list[psutil.Process]:
        """The processes that paint."""
        return [process for process in self.processes() if _is_worker(process)]

    async def kill(self, victim: Victim) -> None:
        """kill -9, and wait until Discord sees a bot's connection break."""
        killed = [process for process in self.processes() if victim in ("both", _kind(process))]
        assert killed
        for process in killed:
            process.kill()
        psutil.wait_procs(killed, timeout=10)
        if victim != "worker":
            await self.server.online(0)

    async def stop(self) -> None:
        """Ask every bot to stop in good order, as Ctrl-C and systemd do, and wait until no process is left."""
        for process in self.processes():
            if _kind(process) == "bot":
                process.send_signal(signal.SIGTERM)
        await until(lambda: not self.processes(), 20, "every process ends")

    async def close(self) -> None:
        """Leave no process behind, whatever has happened."""
        for process in self.processes():
            process.kill()
        await asyncio.gather(*(process.wait() for process in self._started))

    def rows(self, table: str = "jobs") -> list[dict[str, Any]]:
        """All rows of a table, as another program reads them."""
        with closing(sqlite3.connect(self.folder / "limner.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")]

    def files(self) -> set[str]:
        """The names of all files in the picture store."""
        return {path.name for path in (self.folder / "images").rglob("*") if path.is_file()}

    async def _migrate(self) -> None:
        """Bring the database up to date; a new SQLite file is a copy, because migrating takes longer."""
        own = Settings(data=self.folder, database_url=self.settings.get("database_url", ""))
        file = self.folder / "limner.db"
        is_new = not own.database_url and not file.exists()
        if is_new and Studio._empty_database:
            make_database(file)
            file.write_bytes(Studio._empty_database)
        await migrate.upgrade(own.url)
        if is_new:
            Studio._empty_database = file.read_bytes()

    def _environment(self, settings: dict[str, Any]) -> dict[str, str]:
        # With that variable, which images of containers like to set, every process would compile all of our code.
        left = {name for name in os.environ if name.startswith("LIMNER_")} | {"PYTHONDONTWRITEBYTECODE"}
        plain = {name: value for name, value in os.environ.items() if name not in left}
        ours = {"data": self.folder, "token": "token", "embedder": "off"} | self.settings | settings
        path = {"PYTHONPATH": os.pathsep.join(self.python_path)}
        return plain | self.environment | path | {f"LIMNER_{name.upper()}": str(value) for name, value in ours.items()}


@asynccontextmanager
async def open_studio(folder: Path, server: DiscordServer, **settings: Any) -> AsyncGenerator[Studio]:
    """A studio whose processes do not outlive the test, whatever happens in it."""
    studio = Studio(folder, server, **settings)
    try:
        yield studio
    finally:
        await studio.close()


def _works_on(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error):
        return process.environ().get("LIMNER_DATA") == str(folder)
    return False


def _kind(process: psutil.Process) -> Victim:
    return "worker" if _is_worker(process) else "bot"


def _is_worker(process: psutil.Process) -> bool:
    return "worker" in process.cmdline()
