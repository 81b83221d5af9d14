"""Who may import whom: each foreign library has its rooms, and the arrow between our own points one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bot", "generators", "migrations")

DISCORD = {
    f"bot.{room}"
    for room in (
        "cards",
        "client",
        "cogs",
        "decisions",
        "delivery",
        "demo",
        "desk",
        "messages",
        "plugin",
        "posting",
        "views",
    )
}
DATABASE = {
    f"bot.{room}"
    for room in (
        "blocked",
        "changes",
        "db",
        "filters.book",
        "guilds",
        "history",
        "inputs",
        "intake",
        "jobs",
        "migrate",
        "models",
        "moves",
        "outbox",
        "pace",
        "reviews",
        "quarantine",
        "roster",
        "search",
        "strikes",
        "waiting",
    )
}
PAINTERS = {f"generators.{path.stem}" for path in (ROOT / "generators").iterdir()} - {
    "generators.__init__",
    "generators.base",
    "generators.image_files",
    "generators.text_files",
}
ROOMS = {
    "discord": DISCORD,
    "simcord": {"bot.demo"},
    "sqlalchemy": DATABASE | {"migrations"},
    "alembic": {"bot.migrate", "migrations"},
    "torch": PAINTERS,
    "diffusers": PAINTERS,
    "transformers": PAINTERS,
    "ray": {"bot.ray_workers"},
    "bot": {"bot", "migrations"},
    "bot.app": DISCORD
    | {
        f"bot.{room}"
        for room in (
            "__main__",
            "doctor",
            "errands",
            "lanes",
            "operators_rules",
            "results",
            "supervisor",
            "terminal",
            "wording",
            "worker",
            "worker_process",
            "workers",
        )
    },
    "bot.cogs": DISCORD,
    "generators": {"generators"},
    "generators.answers": {"generators", "bot.permissions"},
    "generators.base": {"generators", "bot"},
    "generators.executor": {"generators", "bot.worker_process"},
    "generators.finishing": {"generators", "bot.worker_process"},
    "generators.image_files": {"generators", "bot"},
    "generators.reader": {"generators", "bot.worker_process"},
    "generators.text_files": {"generators", "bot"},
    "generators.training.command": {"generators", "bot.__main__"},
    "generators.training.errors": {"generators", "bot.__main__"},
    "generators.training.evaluate": {"generators", "bot.__main__"},
}
"""What is imported, and the rooms (a module, or a folder with all that is in it) that may; the longest name counts."""


def imports(source: str) -> Iterator[str]:
    """The modules and names that a source imports at run time, wherever in it."""
    for node in _at_run_time(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """A sentence for each import that this module may not have."""
    found: list[str] = []
    for imported in imports(source):
        ruled = max((name for name in ROOMS if _is_in(imported, {name})), key=len, default=None)
        if ruled and not _is_in(module, ROOMS[ruled]):
            found.append(f"{module} imports {imported}; only {', '.join(sorted(ROOMS[ruled]))} may import {ruled}.")
    return found


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_run_time(child)


def _is_in(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _modules() -> dict[str, Path]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}


def test_every_import_is_made_in_its_room():
    found = [line for module, file in _modules().items() for line in violations(module, file.read_text("utf-8"))]

    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("bot.jobs", "import discord", "bot.jobs imports discord; only bot.cards, bot.client"),
        ("bot.cogs.queue", "from sqlalchemy import select", "may import sqlalchemy."),
        ("bot.delivery", "def f():\n    import torch.nn", "may import torch."),
        ("generators.base", "import torch", "may import torch."),
        ("generators.__init__", "from torch import nn", "may import torch."),
        ("generators.diffusion", "from bot import errors", "only bot, migrations may import bot."),
        ("bot.submit", "from generators.executor import Executor", "only bot.worker_process, generators may"),
        ("bot.submit", "from generators import diffusion", "only generators may import generators."),
        ("bot.jobs", "from bot.app import App", "may import bot.app."),
        ("bot.jobs", "if TYPE_CHECKING:\n    from bot.app import App", None),
        ("bot.cogs.queue", "import discord", None),
        ("generators.diffusion", "import torch", None),
        ("bot.worker_process", "from generators.executor import Executor", None),
    ],
)
def test_a_wrong_import_is_told_with_the_room_that_may(module: str, source: str, complaint: str | None):
    found = violations(module, source)

    assert len(found) == (complaint is not None)
    assert not complaint or complaint in found[0]


HEAVY = ("torch", "diffusers", "transformers", "accelerate", "ray")
LIGHT = [
    "generators",
    "bot.worker, generators.executor, generators.expand, generators.openai_images",
    "bot, bot.__main__, bot.client, bot.demo, bot.doctor, bot.plugin, bot.terminal, bot.cogs.imagine",
]


@pytest.mark.parametrize("modules", LIGHT)
def test_who_does_not_paint_has_no_torch(modules: str):
    script = f"import sys, {modules}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
