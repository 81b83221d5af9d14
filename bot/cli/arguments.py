"""The verbs of the command line and their options, as argparse parsers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from limner.bot.cli import verbs
from limner.bot.cli.parser import Parser
from limner.bot.cli.verbs import OF_TERMINAL
from limner.bot.options.declarations import PROMPT
from limner.bot.options.option import OptionKind
from limner.generators.training.command import add_kinds
from limner.generators.training.evaluation.command import add_options

Add = Callable[..., argparse.ArgumentParser]
"""Makes the parser of a verb."""


def build_parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    parser = Parser(prog="limner", description="An image studio inside Discord.")
    parser.set_defaults(data=None)
    parser.add_argument("--version", action="version", version=f"limner {version('limner')}")
    add = parser.add_subparsers(metavar="VERB", required=True).add_parser
    _add_services(add)
    _add_requests(add)
    _add_rules(add)
    _add_upkeep(add)
    _add_models(add)
    return parser


def _add_services(add: Add) -> None:
    demo = add("demo", help="the bot in a browser page; no token, no GPU, no download")
    demo.add_argument("--port", type=int, default=0, metavar="N", help="port of the page (a free one)")
    demo.set_defaults(verb=verbs.demo)

    run = add("run", help="the bot on Discord; starts and supervises its workers")
    run.set_defaults(verb=verbs.run)

    worker = add("worker", help="paint only, for another machine on the same database")
    worker.add_argument("--device", metavar="D", help="where the models run: auto, cuda:0,cuda:1, mps or cpu")
    worker.add_argument(
        "--id", metavar="X", help="set by the process that starts this one: wake-ups come on stdin, whose end stops it"
    )
    worker.set_defaults(verb=verbs.worker)


def _add_requests(add: Add) -> None:
    _add_imagine(add("imagine", help="paint one idea, through the same filter, queue and worker"))
    explain = add("explain", help="which words drew what in a picture, and what the added words did")
    explain.add_argument("picture", metavar="PICTURE", help="its request and number, such as 12-1")
    explain.add_argument("--out", type=Path, metavar="DIR", help="copy the sheets into this folder")
    explain.add_argument("--json", action="store_true", help="print the result as JSON")
    explain.set_defaults(verb=verbs.explain)
    _add_animate(add("animate", help="an animation through prompts, or through pictures that were painted here"))
    _add_history(add("history", help="what was asked for, newest first"))

    ratings = add("ratings", help="rated results as JSON lines, of members who let models be trained")
    ratings.add_argument("--pairs", action="store_true", help="which of two pictures of a request is better, instead")
    ratings.add_argument("--out", type=Path, metavar="DIR", help="copy the pictures into this folder")
    ratings.set_defaults(verb=verbs.ratings)

    export = add("export", help="everything stored about a member, in one zip file")
    export.add_argument("member", type=int, metavar="MEMBER", help="the Discord id of the member")
    export.add_argument("file", type=Path, metavar="FILE", help="the zip file to write")
    export.set_defaults(verb=verbs.export_member)


def _add_rules(add: Add) -> None:
    filters = add("filter", help="the rules of all servers: try, import and export them")
    filters = filters.add_subparsers(metavar="VERB", required=True)
    check = filters.add_parser("check", help="read {id, text} lines, write {id, action, rule, reason} lines")
    check.add_argument("--rules", type=Path, metavar="FILE", help="JSON (the database's rules for all servers)")
    check.add_argument("--input", type=Path, metavar="FILE", help="JSON lines (stdin)")
    check.set_defaults(verb=verbs.filter_check)
    bring = filters.add_parser("import", help="add the rules of a file to those for all servers")
    bring.add_argument("file", type=Path, metavar="FILE", help="an export, a word list, or a table (.csv, .tsv)")
    bring.add_argument("--anyway", action="store_true", help="add the rest where lines are doubtful or cannot be used")
    bring.set_defaults(verb=verbs.filter_import)
    export = filters.add_parser("export", help="print the rules for all servers as JSON")
    export.set_defaults(verb=verbs.filter_export)

    ban = add("ban", help="members who may not paint with this bot anywhere")
    ban.add_argument("member", type=int, nargs="?", metavar="MEMBER", help="the Discord id (none: print the list)")
    ban.add_argument("--days", type=float, metavar="N", help="for how many days (until it is lifted)")
    ban.add_argument("--why", default="", metavar="TEXT", help="the reason, which the member reads")
    ban.add_argument("--lift", action="store_true", help="let the member paint again")
    ban.add_argument("--json", action="store_true", help="print the list as JSON")
    ban.set_defaults(verb=verbs.ban)

    _add_block(add("block", help="pictures that must not come back, nor any that look like them"))


def _add_upkeep(add: Add) -> None:
    migrate = add("migrate", help="bring the database up to date")
    migrate.add_argument(
        "--from",
        dest="source",
        metavar="URL",
        help="copy all rows from another database first: `sqlite` (the file in the data folder) or its SQLAlchemy URL",
    )
    migrate.set_defaults(verb=verbs.migrate)

    verify = add("verify", help="whether a picture file was made here or with AI, and how sure that is")
    verify.add_argument("file", type=Path, metavar="FILE", help="the picture file")
    verify.set_defaults(verb=verbs.verify)

    certify = add("certify", help="make a self-signed certificate, with which pictures are signed (C2PA)")
    certify.add_argument("name", metavar="NAME", help="whose pictures they are, as everybody can read it")
    certify.set_defaults(verb=verbs.certify)
    encrypt = add("encrypt", help="encrypt what was stored before the key LIMNER_ENCRYPTION_KEY, or under another one")
    encrypt.add_argument("--off", action="store_true", help="store everything as it is again")
    encrypt.add_argument("--json", action="store_true", help="print the numbers as JSON")
    encrypt.set_defaults(verb=verbs.encrypt)

    wipe = add("wipe", help="delete everything that was stored, at the end of operation")
    wipe.add_argument("--yes", action="store_true", help="do not ask")
    wipe.set_defaults(verb=verbs.wipe)

    doctor = add("doctor", help="what is wrong, and the command or setting that mends it")
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(verb=verbs.doctor)


def _add_models(add: Add) -> None:
    train = add("train", help="make a model of your own, or go on making it")
    add_kinds(train)
    train.set_defaults(verb=verbs.train)

    evaluate = add("evaluate", help="figures of a model, and a contact sheet")
    add_options(evaluate)
    evaluate.set_defaults(verb=verbs.evaluate)

    bench = add("bench", help="measure the whole product; needs a checkout")
    bench.add_argument("name", metavar="NAME", help="what is measured, such as executor or filters")
    bench.set_defaults(verb=verbs.bench)


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
    imagine.set_defaults(verb=verbs.imagine)


def _add_animate(animate: argparse.ArgumentParser) -> None:
    animate.add_argument(
        "prompts", metavar="PROMPTS", nargs="?", default="", help="two to six prompts with | between them; flags count"
    )
    animate.add_argument(
        "--pictures", nargs="+", default=[], metavar="N-I", help="pictures by request and number, such as 12-1 15-2"
    )
    animate.add_argument(
        "--motion",
        choices=("loop", "ping-pong", "pulse"),
        default="loop",
        help="back to the first, the same way back, or around one picture (loop)",
    )
    animate.add_argument("--frames", type=int, default=16, metavar="N", help="how many are painted, 8 to 48 (16)")
    animate.add_argument("--out", type=Path, metavar="DIR", help="write WebP, MP4 and PNG files into this folder")
    animate.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
    animate.set_defaults(verb=verbs.animate)


def _add_history(history: argparse.ArgumentParser) -> None:
    history.add_argument(
        "--user", type=int, metavar="ID", help="requests of one Discord user only; 0 is this command line"
    )
    history.add_argument("--server", type=int, metavar="ID", help="public requests of one Discord server only")
    history.add_argument("--id", type=int, metavar="N", help="one request, by its number")
    history.add_argument("--search", default="", metavar="TEXT", help="words in idea or prompt, or what they mean")
    history.add_argument("--model", default="", metavar="NAME", help="only of this model; needs --user or --server")
    history.add_argument("--style", default="", metavar="NAME", help="only in this style; needs --user or --server")
    history.add_argument("--lora", default="", metavar="NAME", help="only with this LoRA; needs --user or --server")
    history.add_argument("--channel", type=int, metavar="ID", help="only in this channel; needs --user or --server")
    history.add_argument("--since", default="", metavar="DAY", help="from this day on (UTC), such as 2026-11-30")
    history.add_argument("--until", default="", metavar="DAY", help="until this day (UTC), such as 2026-11-30")
    history.add_argument("--upscaled", action="store_true", help="only if upscaled; needs --user or --server")
    history.add_argument("--favourites", type=int, metavar="ID", help="only with pictures that this user starred")
    history.add_argument("--oldest", action="store_true", help="begin with the oldest one")
    history.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    history.add_argument("--json", action="store_true", help="print a list of results as JSON")
    history.set_defaults(verb=verbs.history)


def _add_block(block: argparse.ArgumentParser) -> None:
    block.add_argument("file", nargs="*", type=Path, metavar="FILE", help="pictures to block (none: print the list)")
    block.add_argument(
        "--server", type=int, default=0, metavar="ID", help="block in one Discord server only (everywhere)"
    )
    block.add_argument("--allow", type=int, metavar="N", help="remove a picture from the list, by its number")
    block.add_argument("--import", dest="listed", type=Path, metavar="FILE", help="block the hashes of a list")
    block.add_argument("--json", action="store_true", help="print the list as JSON")
    block.add_argument("--hashes", action="store_true", help="print hashes alone, one a line, as --import reads them")
    block.set_defaults(verb=verbs.block)
