"""The argument parser of all verbs: --data anywhere, and suggestions for mistyped names."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class Parser(argparse.ArgumentParser):
    """Accepts ``--data DIR`` before and after every verb, and suggests the nearest verb or kind for a mistyped one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.add_argument(
            "--data",
            metavar="DIR",
            type=Path,
            default=argparse.SUPPRESS,
            help="folder for database, pictures and caches (LIMNER_DATA, else ./data)",
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and value not in choices:
            near = get_close_matches(str(value), choices, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(choices)}."
            raise argparse.ArgumentError(action, f"there is no {value!r}; {hint}")
        super()._check_value(action, value)
