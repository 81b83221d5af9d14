"""The command line `limner`."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
from contextlib import ExitStack, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from limner.bot.cli.parser import Parser
from limner.bot.errors import SetupError, UserError
from limner.bot.importing import importing
from limner.bot.log import start_log
from limner.bot.options.declarations import OPTIONS, PROMPT
from limner.bot.options.option import OptionKind
from limner.bot.queue.faults import EXIT_SETUP
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import LORAS
from limner.bot.translation import _, commas, of_terminal, speak, stored
from limner.generators.sentences import translation
from limner.generators.text_files import read_text, stream_lines
from limner.generators.training.command import add_kinds
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation.command import add_options, read_old_name, run

ROOT = Path(__file__).resolve().parent.parent
FAILED, WRONG, INTERRUPTED = 1, 2, 130
"""Exit codes: the request failed, its arguments were wrong, or Ctrl-C was pressed."""

OF_TERMINAL = [option for option in OPTIONS if option.kind != OptionKind.LINK]
"""The options of `limner imagine`: messages are in Discord only."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code; a UserError ends in one line on stderr."""
    _speak_utf8()
    speak(of_terminal(os.environ))
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.verb(arguments)
    except UserError as error:
        print(f"limner: {stored(str(error))}", file=sys.stderr)
        is_service = arguments.verb in (_run, _worker)
        return EXIT_SETUP if is_service and isinstance(error, SetupError) else WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `limner history | head` closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _speak_utf8() -> None:
    """Write UTF-8 whatever the locale: Windows gives a redirected stream the code page of its language."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not a test's or a notebook's replacement
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def build_parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    parser = Parser(prog="limner", description="An image studio inside Discord.")
    parser.set_defaults(data=None)
    parser.add_argument("--version", action="version", version=f"limner {version('limner')}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    demo = verbs.add_parser("demo", help="the bot in a browser page; no token, no GPU, no download")
    demo.add_argument("--port", type=int, default=0, metavar="N", help="port of the page (a free one)")
    demo.set_defaults(verb=_demo)

    run = verbs.add_parser("run", help="the bot on Discord; starts and supervises its workers")
    run.set_defaults(verb=_run)

    worker = verbs.add_parser("worker", help="paint only, for another machine on the same database")
    worker.add_argument("--device", metavar="D", help="where the models run: auto, cuda:0,cuda:1, mps or cpu")
    worker.add_argument(
        "--id", metavar="X", help="set by the process that starts this one: wake-ups come on stdin, whose end stops it"
    )
    worker.set_defaults(verb=_worker)

    _add_imagine(verbs.add_parser("imagine", help="paint one idea, through the same filter, queue and worker"))
    _add_history(verbs.add_parser("history", help="what was asked for, newest first"))

    ratings = verbs.add_parser("ratings", help="rated results as JSON lines, of members who let models be trained")
    ratings.set_defaults(verb=_ratings)

    export = verbs.add_parser("export", help="everything stored about a member, in one zip file")
    export.add_argument("member", type=int, metavar="MEMBER", help="the Discord id of the member")
    export.add_argument("file", type=Path, metavar="FILE", help="the zip file to write")
    export.set_defaults(verb=_export_member)

    filters = verbs.add_parser("filter", help="the rules of all servers: try, import and export them")
    filters = filters.add_subparsers(metavar="VERB", required=True)
    check = filters.add_parser("check", help="read {id, text} lines, write {id, action, rule, reason} lines")
    check.add_argument("--rules", type=Path, metavar="FILE", help="JSON (the database's rules for all servers)")
    check.add_argument("--input", type=Path, metavar="FILE", help="JSON lines (stdin)")
    check.set_defaults(verb=_check)
    bring = filters.add_parser("import", help="add the rules of a file to those for all servers")
    bring.add_argument("file", type=Path, metavar="FILE", help="an export, a word list, or a table (.csv, .tsv)")
    bring.add_argument("--anyway", action="store_true", help="add the rest where lines are doubtful or cannot be used")
    bring.set_defaults(verb=_import)
    export = filters.add_parser("export", help="print the rules for all servers as JSON")
    export.set_defaults(verb=_export)

    _add_block(verbs.add_parser("block", help="pictures that must not come back, nor any that look like them"))

    migrate = verbs.add_parser("migrate", help="bring the database up to date")
    migrate.add_argument(
        "--from",
        dest="source",
        metavar="URL",
        help="copy all rows from another database first: `sqlite` (the file in the data folder) or its SQLAlchemy URL",
    )
    migrate.set_defaults(verb=_migrate)

    wipe = verbs.add_parser("wipe", help="delete everything that was stored, at the end of operation")
    wipe.add_argument("--yes", action="store_true", help="do not ask")
    wipe.set_defaults(verb=_wipe)

    doctor = verbs.add_parser("doctor", help="what is wrong, and the command or setting that mends it")
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(verb=_doctor)

    train = verbs.add_parser("train", help="make a model of your own, or go on making it")
    add_kinds(train)
    train.set_defaults(verb=_train)

    evaluate = verbs.add_parser("evaluate", help="figures of a model, and a contact sheet")
    add_options(evaluate)
    evaluate.set_defaults(verb=_evaluate)

    bench = verbs.add_parser("bench", help="measure the whole product; needs a checkout")
    bench.add_argument("name", metavar="NAME", help="what is measured, such as executor or filters")
    bench.set_defaults(verb=_bench)
    return parser


def _add_imagine(imagine: argparse.ArgumentParser) -> None:
    imagine.add_argument(
        "idea",
        metavar="IDEA",
        nargs="?",
        default="",
        help=f"{PROMPT}; flags such as --ar 3:2 work inside it as in Discord",
    )
    imagine.add_argument("--out", type=Path, metavar="DIR", help="copy the pictures into this folder")
    imagine.add_argument(
        "--from",
        dest="repeated",
        type=Path,
        metavar="FILE",
        help="paint a picture again from what its file says, and compare; also files of InvokeAI and of the web UI of "
        "AUTOMATIC1111",
    )
    for option in OF_TERMINAL:
        names = dict.fromkeys((option.name, *option.flags))
        flags = [f"--{name}" for name in names if name not in option.bare]
        kind: dict[str, Any] = {"type": Path if option.kind == OptionKind.PICTURE else str}
        kind |= {"nargs": "+"} if option.most_pictures > 1 else {}
        shown = "|".join(option.choices) if option.kind == OptionKind.NAME and option.choices else option.kind
        if flags:
            imagine.add_argument(*flags, dest=option.name, metavar=shown, help=option.help, **kind)
        for flag, value in option.bare.items():
            imagine.add_argument(
                f"--{flag}",
                dest=option.name,
                action="store_const",
                const=value,
                help=f"--{option.name} {value}" if flags else option.help,
            )
    imagine.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
    imagine.set_defaults(verb=_imagine)


def _add_history(history: argparse.ArgumentParser) -> None:
    history.add_argument(
        "--user", type=int, metavar="ID", help="requests of one Discord user only; 0 is this command line"
    )
    history.add_argument("--search", default="", metavar="TEXT", help="words in idea or prompt, or what they mean")
    history.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    history.add_argument("--json", action="store_true", help="print a list of results as JSON")
    history.set_defaults(verb=_history)


def _add_block(block: argparse.ArgumentParser) -> None:
    block.add_argument("file", nargs="*", type=Path, metavar="FILE", help="pictures to block (none: print the list)")
    block.add_argument(
        "--server", type=int, default=0, metavar="ID", help="block in one Discord server only (everywhere)"
    )
    block.add_argument("--allow", type=int, metavar="N", help="remove a picture from the list, by its number")
    block.add_argument("--json", action="store_true", help="print the list as JSON")
    block.set_defaults(verb=_block)


def _settings(arguments: argparse.Namespace, **given: Any) -> Settings:
    """Load the settings and start logging at their level."""
    settings = Settings.load(data=arguments.data, **given)
    start_log(settings)
    return settings


def _quiet_settings(arguments: argparse.Namespace) -> Settings:
    """The same for verbs with a progress bar: warnings only."""
    settings = Settings.load(data=arguments.data)
    if settings.log_level == "INFO":
        settings = settings.using(log_level="WARNING")
    start_log(settings)
    return settings


def _demo(arguments: argparse.Namespace) -> int:
    asyncio.run(_demo_beside_worker(_settings(arguments), arguments.port))
    return 0


async def _demo_beside_worker(settings: Settings, port: int) -> None:
    with importing():
        from limner.bot.storage.migrate import upgrade
        from limner.bot.worker.launch import launched_early

    await upgrade(settings.url)
    async with launched_early(settings) as early:
        with importing():
            from limner.bot.demo import run_demo

        await run_demo(settings, early, port)


def _run(arguments: argparse.Namespace) -> int:
    asyncio.run(_run_beside_worker(_settings(arguments)))
    return 0


async def _run_beside_worker(settings: Settings) -> None:
    """Run the bot; its libraries are loaded while a worker loads its own."""
    with importing():
        from limner.bot.worker.launch import launched_early

    async with launched_early(settings) if settings.token else nullcontext([]) as early:
        with importing():
            from limner.bot.client import run_bot

        await run_bot(settings, early)


def _worker(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments, device=arguments.device)
    if arguments.id:
        with importing():
            from limner.bot.worker.process import be_worker

        be_worker(settings, arguments.id)
    else:
        from limner.bot.worker.supervisor import supervise

        asyncio.run(supervise(settings))
    return 0


def _imagine(arguments: argparse.Namespace) -> int:
    with importing():
        from limner.bot.cli.imagine import imagine
        from limner.bot.options.ask import Ask

    options = {option.name: getattr(arguments, option.name) for option in OF_TERMINAL}
    named = {option.name: options.pop(option.name) for option in OF_TERMINAL if option.kind == OptionKind.PICTURE}
    given = {name: [files] if isinstance(files, Path) else files for name, files in named.items() if files}
    ask = Ask(text=arguments.idea, options=options)
    settings = _quiet_settings(arguments)
    work = imagine(settings, ask, out=arguments.out, as_json=arguments.json, given=given, repeated=arguments.repeated)
    return asyncio.run(work)


def _history(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.imagine import show_history

    settings = _settings(arguments)
    asyncio.run(show_history(settings, arguments.user, arguments.search, arguments.limit, as_json=arguments.json))
    return 0


def _ratings(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.ratings import print_ratings

    asyncio.run(print_ratings(_settings(arguments)))
    return 0


def _export_member(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.export import export

    return 0 if asyncio.run(export(_settings(arguments), arguments.member, arguments.file)) else FAILED


def _block(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.imagine import block

    work = block(_settings(arguments), arguments.file, arguments.server, arguments.allow, as_json=arguments.json)
    asyncio.run(work)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.filter_rules import matcher
    from limner.bot.filters.lines import check_lines

    rules = arguments.rules or asyncio.run(matcher(_settings(arguments)))
    failed = False
    with ExitStack() as stack:
        source, name = sys.stdin.buffer, _("the input")
        if arguments.input:
            try:
                source, name = stack.enter_context(arguments.input.open("rb")), arguments.input.name
            except OSError as error:
                raise SetupError(
                    _("The file {file} cannot be read: {why}.", file=arguments.input, why=error.strerror)
                ) from error
        for answer in check_lines(rules, stream_lines(source, name)):
            failed |= answer["action"] == "error"
            print(json.dumps(answer))
    return FAILED if failed else 0


def _import(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.filter_rules import import_rules

    return asyncio.run(import_rules(_settings(arguments), arguments.file, anyway=arguments.anyway))


def _export(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.filter_rules import export_rules

    asyncio.run(export_rules(_settings(arguments)))
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from limner.bot.storage import migrate
    from limner.bot.storage.copy_database import copy_database

    settings = _settings(arguments)
    if arguments.source:
        source = settings.using(database_url="" if arguments.source == "sqlite" else arguments.source)
        copied = asyncio.run(copy_database(source.url, settings.url))
        rows, jobs = sum(copied.values()), copied["jobs"]
        print(_("Copied {rows} rows ({jobs} requests); the old database is as it was.", rows=rows, jobs=jobs))
    else:
        asyncio.run(migrate.upgrade(settings.url))
        print(_("The database is up to date."))
    return 0


def _wipe(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.wipe import wipe

    return 0 if asyncio.run(wipe(_settings(arguments), is_sure=arguments.yes)) else FAILED


def _doctor(arguments: argparse.Namespace) -> int:
    from limner.bot.cli.doctor.examine import examine

    return asyncio.run(examine(arguments.data, as_json=arguments.json))


def _train(arguments: argparse.Namespace) -> int:
    settings = Settings.load(data=arguments.data)
    arguments.models = {name: card.source for name, card in settings.cards.items()}
    arguments.loras = settings.data / LORAS
    arguments.training = settings.data / "training"
    try:
        translation.set(stored)
        arguments.kind(arguments)
    except TrainingError as error:
        raise SetupError(stored(str(error))) from error
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from limner.bot.settings.model_sources import read_card

    read_old_name(arguments)
    settings = _quiet_settings(arguments)
    card = settings.cards.get(arguments.model) or read_card(Path(arguments.model).name, arguments.model)
    try:
        translation.set(stored)
        run(arguments, card, image_text_model=settings.image_text_source, device=settings.devices[0])
    except TrainingError as error:
        raise SetupError(stored(str(error))) from error
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    names = _benchmarks()
    if not names:
        raise SetupError(_("The benchmarks are not installed with Limner; run them from a checkout of its repository."))
    if arguments.name not in names:
        raise SetupError(_("There is no such benchmark; choose one of: {names}.", names=commas(names)))
    return subprocess.run([sys.executable, "-m", f"tests.benchmarks.{arguments.name}"], cwd=ROOT).returncode


def _benchmarks() -> list[str]:
    """Names of the benchmarks; empty outside a checkout."""
    files = (ROOT / "tests" / "benchmarks").glob("*.py")
    return sorted(path.stem for path in files if '__name__ == "__main__"' in read_text(path))
