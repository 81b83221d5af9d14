"""A training in a terminal: its progress, its end on a signal, and the minutes that are left."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from rich.progress import BarColumn, Progress, TextColumn

from limner.generators.sentences import sentence, shown
from limner.generators.training.plan import Plan


class StopSignal:
    """Whether this process was asked to stop (Ctrl-C, SIGTERM): the training then ends after a step and is saved."""

    def __init__(self) -> None:
        self.stop = False
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, *_: object) -> None:
        self.stop = True

    def forget(self) -> None:
        """Restore the signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


class TrainingProgress:
    """Shows step, loss, speed and time left; a line every half minute where there is no terminal."""

    def __init__(self, plan: Plan, show: bool) -> None:
        self._plan, self._show = plan, show
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), disable=not show)
        self._line = self._bar.add_task("", total=plan.steps)
        self._shown_at = 0.0

    def __enter__(self) -> Callable[[int, list[tuple[int, float]], float], None]:
        self._bar.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _tell(self, step: int, losses: list[tuple[int, float]], speed: float) -> None:
        if not self._show or (now := time.monotonic()) - self._shown_at < (1 if self._bar.console.is_terminal else 30):
            return
        self._shown_at = now
        loss = sum(value for _, value in losses) / len(losses)
        left = (self._plan.steps - step) * self._plan.batch / speed / 60
        now_at = {"step": step, "steps": self._plan.steps, "loss": loss, "speed": speed, "left": left}
        text = sentence("step {step}/{steps}  loss {loss:.4f}  {speed:.1f} pictures/s  {left:.0f} min left", **now_at)
        if self._bar.console.is_terminal:
            self._bar.update(self._line, completed=step, description=shown(text))
        else:
            print(shown(text), flush=True)


def countdown(minutes: float | None) -> Callable[[], float | None]:
    """A function that returns the minutes left, for stages that share them; None for no limit."""
    begun = time.monotonic()
    return lambda: None if minutes is None else minutes - (time.monotonic() - begun) / 60
