"""Worker faults: their exit codes, and the sentences for the owners of lost jobs."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from limner.bot.translation import N_, _


@dataclass(frozen=True)
class WorkerFault:
    """Why a worker lost its jobs: a code for their rows, and a plain description."""

    code: str
    what: str
    advice: str

    def reason(self, attempts: int) -> str:
        """The sentence for the owner of a job that was lost this way for the last time."""
        times = {1: _("once"), 2: _("twice")}.get(attempts, _("{number} times", number=attempts))
        return _("{what}, so it was given up; {advice}.", what=_(self.what, times=times), advice=_(self.advice))


CRASHED = WorkerFault(
    "crashed", N_("Painting crashed {times} on this request"), N_("try another size, model or wording")
)
HUNG = WorkerFault(
    "hung", N_("Painting got stuck {times} on this request"), N_("try fewer steps, another size or another model")
)
DEVICE_LOST = WorkerFault(
    "device_lost",
    N_("The device stopped answering {times} while this was painted"),
    N_("ask again later, the operator finds more in the log"),
)
KILLED = WorkerFault(
    "out_of_memory",
    N_("The machine ended the worker process {times} while it painted this, most likely because memory ran out"),
    N_("ask for a smaller picture or for fewer"),
)
UNRESPONSIVE = WorkerFault(
    "silent",
    N_("The worker process fell silent {times} while it painted this"),
    N_("ask again later, or try another size or model"),
)

EXIT_SETUP = 78
"""Exit code of `limner run` and `limner worker` where a restart cannot help: the setup is wrong (EX_CONFIG)."""
EXIT_HUNG, EXIT_DEVICE_LOST = 70, 71
"""Exit codes of a worker that gives up; others exit with Python's code or a signal."""
EXIT_CODES = {EXIT_HUNG: HUNG, EXIT_DEVICE_LOST: DEVICE_LOST, -getattr(signal, "SIGKILL", 9): KILLED}


def fault_of(exit_code: int | None) -> WorkerFault:
    """The fault that an exit code stands for."""
    return EXIT_CODES.get(exit_code or 0, CRASHED)


class WorkerBroken(Exception):
    """The worker cannot continue in this process; its jobs are back in the queue."""

    def __init__(self, fault: WorkerFault) -> None:
        super().__init__(fault.code)
        self.fault = fault

    @property
    def exit_code(self) -> int:
        """The process's exit code, for its supervisor."""
        return next(code for code, fault in EXIT_CODES.items() if fault is self.fault)
