"""What each verb of the command line does; each one imports what it needs, and returns an exit code."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.bot.errors import SetupError
from limner.bot.importing import importing
from limner.bot.log import start_log
from limner.bot.options.declarations import OPTIONS
from limner.bot.options.option import OptionKind
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import LORAS
from limner.bot.translation import _, commas, stored
from limner.generators.sentences import translation
from limner.generators.text_files import read_text, stream_lines
from limner.generators.training.errors import TrainingError
from limner.generators.training.evaluation.command import count_answers, read_old_name
from limner.generators.training.evaluation.command import run as run_evaluation

if TYPE_CHECKING:
    from limner.bot.cli.liked import LikedTraining
    from limner.generators.base import PromptExpander
    from limner.generators.cards.model_card import ModelCard
    from limner.generators.training.families.lora import LoRARecipe

ROOT = Path(__file__).resolve().parents[2]
FAILED = 1
"""The exit code of a request that failed."""

OF_TERMINAL = [option for option in OPTIONS if option.kind != OptionKind.LINK]
"""The options of `limner imagine`: messages are in Discord only."""


def demo(arguments: argparse.Namespace) -> int:
    """Serve the demo until its page is closed."""
    asyncio.run(_demo_beside_worker(_settings(arguments), arguments.port))
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run the bot on Discord until it is stopped."""
    asyncio.run(_run_beside_worker(_settings(arguments)))
    return 0


def worker(arguments: argparse.Namespace) -> int:
    """Paint until it is stopped, with one process per device or as one of these."""
    settings = _settings(arguments, device=arguments.device)
    if arguments.id:
        with importing():
            from limner.bot.worker.process import be_worker

        be_worker(settings, arguments.id)
    else:
        from limner.bot.worker.supervisor import supervise

        asyncio.run(supervise(settings))
    return 0


def imagine(arguments: argparse.Namespace) -> int:
    """Paint one idea, or those that its braces make."""
    with importing():
        from limner.bot.cli.imagine import imagine as paint
        from limner.bot.options.ask import Ask

    options = {option.name: getattr(arguments, option.name) for option in OF_TERMINAL}
    named = {option.name: options.pop(option.name) for option in OF_TERMINAL if option.kind == OptionKind.PICTURE}
    given = {name: [files] if isinstance(files, Path) else files for name, files in named.items() if files}
    ask = Ask(text=arguments.idea, options=options)
    settings = _quiet_settings(arguments)
    work = paint(settings, ask, out=arguments.out, as_json=arguments.json, given=given, repeated=arguments.repeated)
    return asyncio.run(work)


def explain(arguments: argparse.Namespace) -> int:
    """Explain a picture."""
    with importing():
        from limner.bot.cli.imagine import explain

    work = explain(_quiet_settings(arguments), arguments.picture, out=arguments.out, as_json=arguments.json)
    return asyncio.run(work)


def animate(arguments: argparse.Namespace) -> int:
    """Paint one animation."""
    with importing():
        from limner.bot.animations import Motion, Movement
        from limner.bot.cli.animate import animate as paint

    wanted = Movement(Motion(arguments.motion), arguments.frames)
    given: dict[str, Any] = {"pictures": " ".join(arguments.pictures), "out": arguments.out, "as_json": arguments.json}
    return asyncio.run(paint(_quiet_settings(arguments), arguments.prompts, wanted, **given))


def history(arguments: argparse.Namespace) -> int:
    """Print requests."""
    from limner.bot.cli.history import show_history
    from limner.bot.storage.history.gallery import Filter
    from limner.bot.ui.days import DAY_SECONDS, read_day

    has_pictures = arguments.upscaled or arguments.favourites
    wanted = Filter(
        user_id=arguments.user,
        guild_id=arguments.server,
        words=arguments.search,
        model=arguments.model,
        style=arguments.style,
        lora=arguments.lora,
        channel_id=arguments.channel,
        since=read_day(arguments.since) if arguments.since else None,
        until=read_day(arguments.until) + DAY_SECONDS - 1 if arguments.until else None,
        is_upscaled=arguments.upscaled,
        starred_by=arguments.favourites,
        every_status=not has_pictures,
    )
    order = {"number": arguments.id, "is_oldest_first": arguments.oldest, "as_json": arguments.json}
    asyncio.run(show_history(_settings(arguments), wanted, arguments.limit, **order))
    return 0


def ratings(arguments: argparse.Namespace) -> int:
    """Print rated results, or which of two pictures is better."""
    from limner.bot.cli.preferences import print_preferences
    from limner.bot.cli.ratings import print_ratings

    printing = print_preferences if arguments.pairs else print_ratings
    asyncio.run(printing(_settings(arguments), arguments.out))
    return 0


def export_member(arguments: argparse.Namespace) -> int:
    """Write everything stored about a member."""
    from limner.bot.cli.export import export

    return 0 if asyncio.run(export(_settings(arguments), arguments.member, arguments.file)) else FAILED


def encrypt(arguments: argparse.Namespace) -> int:
    """Write everything anew under the present key, or without one."""
    from limner.bot.cli.encrypt import encrypt as write_anew

    work = write_anew(_settings(arguments), is_off=arguments.off, as_json=arguments.json)
    return 0 if asyncio.run(work) else FAILED


def ban(arguments: argparse.Namespace) -> int:
    """Ban a member everywhere, lift the ban, or print the bans."""
    from limner.bot.cli.ban import ban as ban_everywhere

    given = {"days": arguments.days, "why": arguments.why, "is_lifted": arguments.lift, "as_json": arguments.json}
    asyncio.run(ban_everywhere(_settings(arguments), arguments.member, **given))
    return 0


def block(arguments: argparse.Namespace) -> int:
    """Block or allow pictures, or print the blocked ones."""
    from limner.bot.cli.block import BlockChanges
    from limner.bot.cli.block import block as change_blocked

    changes = BlockChanges(arguments.file, arguments.listed, arguments.allow)
    how = {"as_json": arguments.json, "as_hashes": arguments.hashes}
    asyncio.run(change_blocked(_settings(arguments), arguments.server, changes, **how))
    return 0


def filter_check(arguments: argparse.Namespace) -> int:
    """Try the rules on lines of JSON."""
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


def filter_import(arguments: argparse.Namespace) -> int:
    """Add the rules of a file to those for all servers."""
    from limner.bot.cli.filter_rules import import_rules

    return asyncio.run(import_rules(_settings(arguments), arguments.file, anyway=arguments.anyway))


def filter_export(arguments: argparse.Namespace) -> int:
    """Print the rules for all servers."""
    from limner.bot.cli.filter_rules import export_rules

    asyncio.run(export_rules(_settings(arguments)))
    return 0


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the database up to date, or copy another one into it."""
    from limner.bot.storage.copy_database import copy_database
    from limner.bot.storage.migrate import upgrade

    settings = _settings(arguments)
    if arguments.source:
        source = settings.using(database_url="" if arguments.source == "sqlite" else arguments.source)
        copied = asyncio.run(copy_database(source.url, settings.url))
        rows, jobs = sum(copied.values()), copied["jobs"]
        print(_("Copied {rows} rows ({jobs} requests); the old database is as it was.", rows=rows, jobs=jobs))
    else:
        asyncio.run(upgrade(settings.url))
        print(_("The database is up to date."))
    return 0


def certify(arguments: argparse.Namespace) -> int:
    """Make a certificate to try with."""
    from limner.bot.cli.certify import certify as make

    make(_settings(arguments), arguments.name)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Say where a picture comes from."""
    from limner.bot.cli.verify import verify_file

    asyncio.run(verify_file(_settings(arguments), arguments.file))
    return 0


def wipe(arguments: argparse.Namespace) -> int:
    """Delete everything that was stored."""
    from limner.bot.cli.wipe import wipe as wipe_all

    return 0 if asyncio.run(wipe_all(_settings(arguments), is_sure=arguments.yes)) else FAILED


def doctor(arguments: argparse.Namespace) -> int:
    """Examine the setup."""
    from limner.bot.cli.doctor.examine import examine

    return asyncio.run(examine(arguments.data, as_json=arguments.json))


def train(arguments: argparse.Namespace) -> int:
    """Train a model of one kind."""
    settings = Settings.load(data=arguments.data)
    arguments.models = {name: card.source for name, card in settings.cards.items()}
    arguments.loras = settings.data / LORAS
    arguments.training = settings.data / "training"
    arguments.image_text_source = settings.image_text_source
    arguments.card_of, arguments.liked_lora = partial(_card_of, settings), partial(_liked_lora, settings)
    arguments.open_expander = partial(_open_expander, settings)
    try:
        translation.set(stored)
        arguments.kind(arguments)
    except TrainingError as error:
        raise SetupError(stored(str(error))) from error
    return 0


def _card_of(settings: Settings, model: str) -> ModelCard:
    """Of a model on offer, or of a folder."""
    from limner.bot.settings.model_sources import read_card

    return settings.cards.get(model) or read_card(Path(model).name, model)


def _open_expander(settings: Settings) -> PromptExpander:
    from limner.bot.worker.process import load_expander

    return load_expander(settings.using(expansion_ranker=""), None)


def _liked_lora(settings: Settings, arguments: argparse.Namespace, recipe: LoRARecipe) -> LikedTraining:
    from limner.bot.cli.liked import LikedTraining

    return LikedTraining.of_command(settings, arguments, recipe)


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate a model, or the expansions of the requests that were made."""
    from limner.bot.cli.expansion import print_drift
    from limner.bot.settings.model_sources import read_card

    read_old_name(arguments)
    settings = _quiet_settings(arguments)
    if arguments.expansion:
        asyncio.run(print_drift(settings, arguments.model, arguments.count, as_json=arguments.json))
        return 0
    if not (arguments.model or arguments.answers):
        raise SetupError(_("Name a model on offer, or its folder; or read the requests with --expansion."))
    names = filter(None, (arguments.model, arguments.study))
    cards = [settings.cards.get(name) or read_card(Path(name).name, name) for name in names]
    try:
        translation.set(stored)
        if arguments.answers:
            count_answers(arguments)
        else:
            how = {"image_text_model": settings.image_text_source, "device": settings.devices[0]}
            run_evaluation(arguments, *cards, **how)
    except TrainingError as error:
        raise SetupError(stored(str(error))) from error
    return 0


def bench(arguments: argparse.Namespace) -> int:
    """Run a benchmark of a checkout."""
    names = _benchmarks()
    if not names:
        raise SetupError(_("The benchmarks are not installed with Limner; run them from a checkout of its repository."))
    if arguments.name not in names:
        raise SetupError(_("There is no such benchmark; choose one of: {names}.", names=commas(names)))
    return subprocess.run([sys.executable, "-m", f"tests.benchmarks.{arguments.name}"], cwd=ROOT).returncode


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


async def _demo_beside_worker(settings: Settings, port: int) -> None:
    with importing():
        from limner.bot.storage.migrate import upgrade
        from limner.bot.worker.launch import launched_early

    await upgrade(settings.url)
    async with launched_early(settings) as early:
        with importing():
            from limner.bot.demo import run_demo

        await run_demo(settings, early, port)


async def _run_beside_worker(settings: Settings) -> None:
    """Run the bot; its libraries are loaded while a worker loads its own."""
    with importing():
        from limner.bot.worker.launch import launched_early

    async with launched_early(settings) if settings.token else nullcontext([]) as early:
        with importing():
            from limner.bot.client import run_bot

        await run_bot(settings, early)


def _benchmarks() -> list[str]:
    """Names of the benchmarks; empty outside a checkout."""
    files = (ROOT / "tests" / "benchmarks").glob("*.py")
    return sorted(path.stem for path in files if '__name__ == "__main__"' in read_text(path))
