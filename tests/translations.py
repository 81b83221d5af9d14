"""The catalogues' sentences, taken from the code: `make translations` writes the new ones into every catalogue.

``python -m tests.translations de`` begins a catalogue of another language.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import write_po
from discord import app_commands

from limner.bot.cli.arguments import build_parser
from limner.bot.cogs.describe import describe_menu
from limner.bot.cogs.message_menus import message_menus
from limner.bot.cogs.pictures import block_menu
from limner.bot.errors import UserError
from limner.bot.plugin import COGS
from limner.bot.styles import STYLE, Styles
from limner.bot.translation import ENGLISH, FOLDER, languages, read_catalogue
from limner.bot.ui.command_names import NAME
from limner.generators.errors import GenerationError
from limner.generators.remote.images_answer import AccountRefused

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("bot", "generators")
KEYWORDS: dict[str, Any] = {"_": None, "N_": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2), "sentence": None}
WIDTH = 120
HEADER = "# Limner's sentences in another language; `make translations` adds the new ones."


def template() -> Catalog:
    """Every sentence of the code, in the order of the files."""
    catalog = Catalog(project="Limner", charset="utf-8")
    for file in sources():
        with file.open("rb") as source:
            for _line, text, comments, context in extract("python", source, KEYWORDS, ["Translators:"]):
                catalog.add(text, locations=[(_shown(file), 0)], auto_comments=comments, context=context)
    for text, context, file in (*_of_commands(), *_of_errors(), *_of_help(build_parser()), *_of_styles()):
        catalog.add(text, locations=[(file, 0)], context=context)
    return catalog


def sources() -> list[Path]:
    """The files whose sentences people read."""
    return sorted(file for folder in SOURCES for file in (ROOT / folder).rglob("*.py"))


def updated(language: str, sentences: Catalog) -> Catalog:
    """A language's catalogue with the code's sentences, and without those that the code has no more."""
    catalog = read_catalogue(language)
    written = catalog.creation_date
    catalog.update(sentences, no_fuzzy_matching=True)
    catalog.creation_date = written
    return catalog


def write(language: str, catalog: Catalog) -> None:
    """Write a catalogue into its file."""
    file = FOLDER / language / "LC_MESSAGES" / "limner.po"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        write_po(out, catalog, width=WIDTH, sort_by_file=True, include_lineno=False, ignore_obsolete=True)


def commands() -> Iterator[tuple[Any, Any]]:
    """Every command, group and menu that Limner adds to a bot, and what defines it."""
    for cog in COGS:
        for command in cog.__cog_app_commands__:
            yield command, cog
            if isinstance(command, app_commands.Group):
                yield from ((one, cog) for one in command.walk_commands())
    for menu in (describe_menu(), block_menu(), *message_menus()):
        yield menu, menu.callback


def _of_commands() -> Iterator[tuple[str, str | None, str]]:
    """Names with a context of their own, because Discord asks more of them than of other words."""
    for command, where in commands():
        file = _file(where)
        if isinstance(command, app_commands.ContextMenu):
            yield command.name, None, file
            continue
        yield command.name, NAME, file
        yield command.description, None, file
        for option in command.parameters if isinstance(command, app_commands.Command) else ():
            yield option.display_name, NAME, file
            yield str(option.description), None, file
            yield from ((choice.name, None, file) for choice in option.choices if choice.name.isalpha())


def _of_errors() -> Iterator[tuple[str, None, str]]:
    """The sentence of each kind of error is its docstring."""
    kinds: list[type[Exception]] = [
        UserError,
        GenerationError,
        AccountRefused,
    ]  # the last one's module is seldom imported
    for kind in kinds:
        subclasses = [one for one in kind.__subclasses__() if one.__module__.startswith("limner.")]
        kinds += [one for one in subclasses if one not in kinds]
        yield kind.__doc__ or "", None, _file(kind)


def _of_styles() -> Iterator[tuple[str, str, str]]:
    """The titles of the styles that ship."""
    for style in Styles.load("").presets.values():
        yield style.title, STYLE, "bot/styles.toml"


def _of_help(parser: argparse.ArgumentParser) -> Iterator[tuple[str, None, str]]:
    """Every help text of a command line and of its verbs."""
    actions: list[Any] = parser._actions  # argparse tells them in no other way
    verbs = [action for action in actions if action.nargs == argparse.PARSER]
    helps = [action.help for action in actions] + [one.help for verb in verbs for one in verb._choices_actions]
    for text in (parser.description, *helps):
        if text and text != argparse.SUPPRESS:
            yield text, None, "bot/cli/arguments.py"
    for verb in verbs:
        for one in verb.choices.values():
            yield from _of_help(one)


def _file(thing: Any) -> str:
    return _shown(Path(inspect.getsourcefile(thing) or ""))


def _shown(file: Path) -> str:
    return file.resolve().relative_to(ROOT).as_posix()


if __name__ == "__main__":
    sentences = template()
    for new in sys.argv[1:]:
        write(new, Catalog(locale=new, project="Limner", header_comment=HEADER, fuzzy=False))
    for known in [*languages(), *sys.argv[1:]]:
        if known != ENGLISH:
            write(known, updated(known, sentences))
