"""Which folder may import which library, and which of our own folders: a table of folders."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("layout")  # what is read of a file serves several tests

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bot", "generators", "migrations")

START = ("limner.bot.client", "limner.bot.demo", "limner.bot.plugin")
LIGHT_GENERATORS = (
    *("added_words", "animation", "answers", "base", "cards", "embedders", "errors", "image_canvas", "image_files"),
    *(
        "installed",
        "measured",
        "references",
        "requests",
        "revisions",
        "sentences",
        "style_mix",
        "text_classifiers",
        "text_files",
        "weights",
    ),
)
"""Modules and folders of generators that the bot imports too."""
GENERATORS = tuple(
    f"limner.generators.{path.stem}"
    for path in (ROOT / "generators").iterdir()
    if path.stem not in ("__init__", "__pycache__", *LIGHT_GENERATORS)
)
MAY_IMPORT = {
    "discord": (*START, "limner.bot.cogs", "limner.bot.ui"),
    "simcord": ("limner.bot.demo",),
    "sqlalchemy": (
        *(f"limner.bot.filters.rulebook.{name}" for name in ("reads", "rows", "rulebook")),
        "limner.bot.guild_settings",
        "limner.bot.moderation",
        "limner.bot.queue",
        "limner.bot.storage",
        "limner.migrations",
    ),
    "alembic": ("limner.bot.storage.migrate", "limner.migrations"),
    "torch": GENERATORS,
    "diffusers": GENERATORS,
    "transformers": GENERATORS,
    "ray": ("limner.bot.worker.ray_pool",),
    "c2pa": ("limner.bot.provenance",),
    "cryptography": ("limner.bot.provenance", "limner.bot.storage.cipher"),
    "limner.bot": ("limner.bot", "limner.migrations"),
    "limner.bot.cogs": (*START, "limner.bot.cogs"),
    "limner.generators": ("limner.generators",),
    **{f"limner.generators.{name}": ("limner.bot", "limner.generators") for name in LIGHT_GENERATORS},
    "limner.generators.language.guard": ("limner.bot.web", "limner.generators"),
    "limner.generators.language.ranked_expander": ("limner.bot.worker", "limner.generators"),
    "limner.generators.language.unread": ("limner.bot.worker", "limner.generators"),
    "limner.generators.executor": ("limner.bot.worker", "limner.generators"),
    "limner.generators.walks": ("limner.bot.worker", "limner.generators"),
    "limner.generators.vision": ("limner.bot.worker", "limner.generators"),
    "limner.generators.training": ("limner.bot.cli", "limner.generators"),
}
"""What is imported, and the modules and folders that may import it; the longest name decides."""

LAYERS = (
    ("__main__",),
    ("cli",),
    ("plugin", "client", "demo"),
    ("cogs",),
    ("web",),
    ("ui",),
    ("worker",),
    ("animations", "file_actions"),
    ("picture_actions", "reference_actions", "held_requests", "steering"),
    ("submit",),
    ("options",),
    ("verify",),
    (
        "edited_pictures",
        "posted_pictures",
    ),
    ("server_styles", "model_pictures"),
    ("app",),
    ("moderation",),
    ("filters",),
    ("guild_settings", "wildcards"),
    ("queue",),
    ("storage",),
    ("styles", "log"),
    ("settings",),
    ("provenance",),
    ("place", "background"),
    ("errors",),
    ("limits", "reasons"),
    ("quantities",),
    ("importing", "translation"),
)
"""The modules and folders of `bot`, from the top down: imports, for types too, lead to the same row or a lower one."""
INNER_LAYERS = {
    "options": (
        ("from_picture", "several"),
        ("ask", "permutations"),
        ("flags", "parameters", "picture_files"),
        ("declarations",),
        ("finish_options", "picture_options"),
        ("option", "suggestions", "unsupported"),
        ("model_fields", "reference_fields", "size_fields"),
        ("fields",),
        ("notes",),
        ("repeats",),
    ),
    "filters": (
        ("content_filter", "lines"),
        ("floor",),
        ("rulebook",),
        ("costs", "policies", "trials"),
        ("verdicts",),
        ("matcher",),
        ("disguises",),
        ("rules",),
        ("scopes", "regex"),
        ("text",),
        ("fair_thread", "work"),
    ),
    "ui": (
        ("review",),
        ("delivery",),
        ("request", "rule_texts"),
        ("picture",),
        ("nearest_blocked",),
        ("job",),
        ("listing",),
        ("cog", "controls", "member_choices"),
        ("error_answers",),
        ("typed",),
        ("after_refusal", "form"),
        ("suggestions", "uploads"),
        ("interactions",),
        ("command_names", "days", "embeds"),
    ),
    "storage": (
        ("copy_database", "encryption", "erasures", "exports", "servers"),
        ("history",),
        ("audit_log", "erasing", "export_files", "member_data", "members", "pictures", "shared_sql", "wildcard_lists"),
        ("migrate", "together"),
        ("db",),
        ("sqlite_driver", "private_files", "tables"),
        ("cipher",),
    ),
}
"""The same of the folders of `bot` that have many files or folders."""


def layer(module: str) -> tuple[int, int | None] | None:
    """The row of a module of `bot`, and its row in its folder if that has rows; None outside of `bot`."""
    if "limner.bot." not in module:
        return None
    part, inner, *_ = [*module.removeprefix("limner.bot.").split("."), ""]
    row = _row(part, LAYERS)
    return None if row is None else (row, _row(inner, INNER_LAYERS.get(part, ())))


def is_upward(here: tuple[int, int | None] | None, there: tuple[int, int | None] | None) -> bool:
    """Whether an import from one row to another one leads up."""
    if here is None or there is None:
        return False
    if here[0] != there[0] or here[1] is None or there[1] is None:
        return there[0] < here[0]
    return there[1] < here[1]


def _row(part: str, layers: tuple[tuple[str, ...], ...]) -> int | None:
    return next((row for row, names in enumerate(layers) if part in names), None)


def imports(source: str, *, for_types: bool = False) -> Iterator[str]:
    """The modules and names that a source imports at run time (or ``for_types`` too), anywhere in it."""
    at_run_time, every, _names = _read(source)
    return iter(every if for_types else at_run_time)


@functools.cache
def _read(source: str) -> tuple[list[str], list[str], set[str]]:
    """The imports at run time, all imports, and the names that a source gives to anything."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    return list(_imported(_at_run_time(tree))), list(_imported(nodes)), set(_named(nodes))


def _named(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.alias():
                yield node.asname or node.name
            case _:
                pass


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """A sentence for each import that this module may not have."""
    found: list[str] = []
    for imported in imports(source):
        ruled = max((name for name in MAY_IMPORT if _is_in(imported, (name,))), key=len, default=None)
        if ruled and not _is_in(module, MAY_IMPORT[ruled]):
            allowed = ", ".join(sorted(MAY_IMPORT[ruled]))
            found.append(f"{module} imports {imported}; only {allowed} may import {ruled}.")
    return found


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_run_time(child)


def _is_in(module: str, folders: tuple[str, ...]) -> bool:
    return any(module == folder or module.startswith(f"{folder}.") for folder in folders)


def _modules() -> dict[str, Path]:
    files = (file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
    return {".".join(("limner", *file.relative_to(ROOT).with_suffix("").parts)): file for file in files}


def test_every_import_is_allowed_in_its_folder():
    found = [line for module, file in _modules().items() for line in violations(module, file.read_text("utf-8"))]

    assert not found, "\n" + "\n".join(found)


def test_imports_go_down_also_those_for_types():
    found = [
        f"{module} imports {imported}"
        for module, file in _modules().items()
        for imported in imports(file.read_text("utf-8"), for_types=True)
        if is_upward(layer(module), layer(imported))
    ]

    assert not found, "\n" + "\n".join(found)


def missing(source: str) -> list[str]:
    """What a source imports from our modules and folders that is not there, anywhere in it."""
    named = [name for name in imports(source, for_types=True) if _is_in(name, ("limner.bot", "limner.generators"))]
    return [name for name in named if not (_is_module(name) or _is_in_module(*name.rsplit(".", 1)))]


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").exists() or path.is_dir()


def _is_in_module(module: str, name: str) -> bool:
    path = ROOT.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.exists() and name in _read(file.read_text("utf-8"))[2]


@pytest.mark.slow
def test_every_import_of_ours_leads_to_a_name():
    files = [file for folder in (*FOLDERS, "tests") for file in (ROOT / folder).rglob("*.py")]
    found = [f"{file.relative_to(ROOT)} imports {name}" for file in files for name in missing(file.read_text("utf-8"))]

    assert not found, "\n" + "\n".join(found)
    assert missing("def f():\n    from limner.bot.moved import job") == ["limner.bot.moved.job"]
    assert missing("from limner.bot.ui import moved") == ["limner.bot.ui.moved"]
    assert missing("from limner.bot.queue.jobs import JobQueue, moved") == ["limner.bot.queue.jobs.moved"]


def shared_names(sources: dict[str, str]) -> dict[str, list[str]]:
    """The public classes of one name in several modules, by that name."""
    found: dict[str, list[str]] = {}
    for module, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(module)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_no_two_classes_have_one_name():
    ours = {name: file.read_text("utf-8") for name, file in _modules().items() if ".migrations." not in name}

    assert shared_names(ours) == {}
    assert shared_names({"a": "class Kind: ...", "b": "class Kind: ..."}) == {"Kind": ["a", "b"]}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others."""
    reached = {start: _reachable(graph, start) for start in graph}
    groups = {frozenset(other for other in reached[one] if one in reached[other]) for one in graph}
    return sorted(sorted(group) for group in groups if group)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen, waiting = set[str](), [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def test_there_is_no_import_cycle_for_types_either():
    modules = _modules()
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        named = imports(file.read_text("utf-8"), for_types=True)
        found = {name if name in modules else name.rpartition(".")[0] for name in named}
        graph[module] = {name for name in found if name in modules and name != module}

    assert cycles(graph) == []
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_a_bare_import_of_our_folders_is_refused(tmp_path: Path):
    for name in FOLDERS:
        (tmp_path / "wrong.py").write_text(f"import {name}\nfrom {name}.app import App\n", "utf-8")
        command = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", "--select", "TID251"]
        said = subprocess.run([*command, tmp_path / "wrong.py"], capture_output=True, text=True, check=False)

        assert said.stdout.count(f"use limner.{name}") == 2, said.stdout + said.stderr


ROWS = [("bot", LAYERS), *((f"bot/{name}", rows) for name, rows in INNER_LAYERS.items())]


@pytest.mark.parametrize(("folder", "layers"), ROWS)
def test_every_file_of_the_bot_has_its_row(folder: str, layers: tuple[tuple[str, ...], ...]):
    assert {name for row in layers for name in row} == {
        path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__"}


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("limner.bot.queue.jobs", "import discord", "limner.bot.queue.jobs imports discord; only limner.bot.client"),
        ("limner.bot.cogs.queue", "from sqlalchemy import select", "may import sqlalchemy."),
        ("limner.bot.ui.delivery.delivery", "def f():\n    import torch.nn", "may import torch."),
        ("limner.generators.base", "import torch", "may import torch."),
        ("limner.generators.__init__", "from torch import nn", "may import torch."),
        ("limner.generators.diffusion.generator", "from limner.bot import errors", "may import limner.bot."),
        (
            "limner.bot.submit",
            "from limner.generators.executor import Executor",
            "may import limner.generators.executor",
        ),
        ("limner.bot.submit", "from limner.generators import loading", "may import limner.generators."),
        ("limner.bot.cogs.queue", "import discord", None),
        ("limner.generators.diffusion.generator", "import torch", None),
        ("limner.bot.worker.process", "from limner.generators.executor import Executor", None),
    ],
)
def test_a_wrong_import_is_named_with_the_folders_that_may(module: str, source: str, complaint: str | None):
    found = violations(module, source)

    assert len(found) == (complaint is not None)
    assert not complaint or complaint in found[0]


HEAVY = ("torch", "diffusers", "transformers", "accelerate", "ray")
LIGHT = (
    *("limner", "limner.bot.__main__", "limner.bot.client", "limner.bot.demo", "limner.bot.plugin"),
    *("limner.bot.cogs.imagine", "limner.bot.cli.doctor.examine", "limner.bot.cli.imagine"),
    *("limner.bot.worker.worker", "limner.generators", "limner.generators.executor"),
    *("limner.generators.language.expanders", "limner.generators.remote.openai_images"),
)


def said(script: str) -> str:
    """What another Python prints that has loaded nothing of ours before."""
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_modules_that_paint_nothing_load_no_torch():
    script = f"import sys, {', '.join(LIGHT)}; print([name for name in {HEAVY} if name in sys.modules])"
    assert said(script) == "[]\n"


def test_a_process_that_opens_one_picture_loads_little():
    script = (
        "import sys, limner.bot.storage.pictures.decoder_process; "
        "print([name for name in ('numpy', 'babel', 'sqlalchemy', 'limner.generators.base') if name in sys.modules])"
    )
    assert said(script) == "[]\n"


def test_the_names_for_plug_ins_are_loaded_when_they_are_used():
    script = (
        "import sys, limner.generators as names; is_loaded = 'limner.generators.base' in sys.modules; "
        "print(is_loaded, [name for name in names.__all__ if not getattr(names, name)], hasattr(names, 'Nothing'))"
    )
    assert said(script) == "False [] False\n"


WITHOUT_WEIGHTS = ("Tokenizer", "Processor", "Config", "Scheduler")
"""What is read from folders and has no weights."""


def test_no_model_is_read_from_a_pickle():
    found: list[str] = []
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            source = file.read_text("utf-8")
            if not re.search(r"from_pretrained|load_lora_weights|torch|pickle", source):
                continue  # reading it as Python takes longest
            calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
            for call in calls:
                called, given = ast.unparse(call.func), {keyword.arg for keyword in call.keywords}
                reads_model = called.endswith((".from_pretrained", ".load_lora_weights"))
                has_weights = reads_model and not any(word in called for word in WITHOUT_WEIGHTS)
                is_safe = bool(given & {"use_safetensors", "gguf_file", None})
                if (has_weights and not is_safe) or called in ("torch.load", "pickle.load", "pickle.loads"):
                    found.append(f"{file.relative_to(ROOT)}:{call.lineno} {called}")
    assert not found, "\n" + "\n".join(found)
