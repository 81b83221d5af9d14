"""The command line `limner`."""

from __future__ import annotations

import io
import os
import sys

from limner.bot.cli.arguments import build_parser
from limner.bot.cli.verbs import run, worker
from limner.bot.errors import SetupError, UserError
from limner.bot.queue.faults import EXIT_SETUP
from limner.bot.translation import of_terminal, speak, stored

WRONG, INTERRUPTED = 2, 130
"""Exit codes: the arguments were wrong, or Ctrl-C was pressed."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code; a UserError ends in one line on stderr."""
    _speak_utf8()
    speak(of_terminal(os.environ))
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.verb(arguments)
    except UserError as error:
        print(f"limner: {stored(str(error))}", file=sys.stderr)
        is_service = arguments.verb in (run, worker)
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
