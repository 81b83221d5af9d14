"""The argument parser of all verbs: --data anywhere, and suggestions for mistyped names."""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from limner.bot.translation import N_, _, commas, stored

COMPLAINTS = (
    N_("the following arguments are required: {names}"),
    N_("unrecognized arguments: {names}"),
    N_("argument {name}: expected one argument"),
    N_("argument {name}: expected at least one argument"),
    N_("argument {name}: invalid int value: {value}"),
    N_("argument {name}: invalid float value: {value}"),
    N_("argument {name}: not allowed with argument {other}"),
)
"""What argparse itself says of arguments."""
HEADINGS = (N_("positional arguments"), N_("options"), N_("usage: "), N_("show this help message and exit"))
"""What argparse itself writes into a help text."""


class TranslatedHelp(argparse.HelpFormatter):
    """Writes help in the language that is current then; the options themselves are declared in English."""

    def start_section(self, heading: str | None) -> None:
        """Begin a part of the help under a heading."""
        super().start_section(_(heading) if heading else heading)

    def format_help(self) -> str:
        """The whole text, with the colon of the language behind each heading."""
        text = super().format_help()
        for heading in map(_, HEADINGS[:2]):
            text = text.replace(f"\n{heading}:\n", "\n" + _("{heading}:", heading=heading) + "\n")
        return text

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """Write the line that shows how the options are written."""
        super().add_usage(usage, actions, groups, _("usage: ") if prefix is None else prefix)

    def _get_help_string(self, action: argparse.Action) -> str:
        """A help text, with a capital whether it is Discord's description of an option or a phrase of ours."""
        text = _(action.help) if action.help else ""
        return text[:1].upper() + text[1:]


class Parser(argparse.ArgumentParser):
    """Accepts ``--data DIR`` before and after every verb, and suggests the nearest verb or kind for a mistyped one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": TranslatedHelp, **options})
        self.add_argument(
            "--data",
            metavar="DIR",
            type=Path,
            default=argparse.SUPPRESS,
            help="folder for database, pictures and caches (LIMNER_DATA, else ./data)",
        )

    def format_help(self) -> str:
        """The whole help text."""
        declared = self.description
        self.description = _(declared) if declared else declared
        try:
            return super().format_help()
        finally:
            self.description = declared

    def error(self, message: str) -> NoReturn:
        """End with the usage and one sentence."""
        self.print_usage(sys.stderr)
        self.exit(2, _("{program}: error: {message}", program=self.prog, message=stored(message)) + "\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and value not in choices:
            near = get_close_matches(str(value), choices, n=1)
            if near:
                problem = _("there is no {value!r}; did you mean {near}?", value=value, near=near[0])
            else:
                problem = _("there is no {value!r}; choose one of {names}.", value=value, names=commas(choices))
            raise argparse.ArgumentError(None, problem)
        super()._check_value(action, value)
