"""The table of a training's steps: losses.csv, and TensorBoard's event files."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limner.generators.sentences import sentence
from limner.generators.training.errors import TrainingError

LOSSES, EVENTS = "losses.csv", "tensorboard"


class LossTable:
    """One row for each step: its number, mean loss, the loss's parts, learning rate, and samples a second.

    A missing number (of a file older than its column) is NaN, and an empty cell in the file.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self.columns = ("step", "loss", *parts, "learning_rate", "samples_per_second")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._values) // len(self.columns)

    def append(self, row: Sequence[float]) -> None:
        """Add a step: a number for each column."""
        self._values.extend(row)

    def pairs(self, last: int | None = None) -> list[tuple[int, float]]:
        """Number and mean loss of the ``last`` steps, or of all."""
        width = len(self.columns)
        start = max(0, len(self) - last) * width if last is not None else 0
        return [
            (int(step), loss)
            for step, loss in zip(self._values[start::width], self._values[start + 1 :: width], strict=True)
        ]

    def write(self, file: Path) -> None:
        """Replace the file atomically.

        Raises:
            OSError: it cannot be written; the previous one stays.
        """
        part = file.with_suffix(".part")
        lines = "".join(_line(self.row(number)) for number in range(len(self)))
        try:
            part.write_text(",".join(self.columns) + "\n" + lines, encoding="utf-8")
            os.replace(part, file)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def read(self, file: Path, step: int) -> None:
        """Read the rows up to ``step`` from the file; none without the file.

        Raises:
            TrainingError: it is damaged.
        """
        if not file.exists():
            return
        try:
            heading, *lines = file.read_text(encoding="utf-8").split("\n")
            if lines.pop():
                raise ValueError("its last line has no end")
            names = heading.split(",")
            for line in lines:
                cells = dict(zip(names, line.split(","), strict=True))
                row = [float(cells.get(name) or "nan") for name in self.columns]
                if row[0] <= step:
                    self.append(row)
        except (ValueError, IndexError) as error:
            raise TrainingError(
                sentence(
                    "{file} is damaged; delete it, and the training goes on from its checkpoint with a new one.",
                    file=file,
                )
            ) from error

    def row(self, number: int) -> Sequence[float]:
        """The numbers of a step, which is counted from 0."""
        width = len(self.columns)
        return self._values[number * width : (number + 1) * width]


class Events:
    """TensorBoard's event files of a run: what its table gains from now on.

    Raises:
        TrainingError: TensorBoard is not installed.
    """

    def __init__(self, table: LossTable, folder: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                sentence("TensorBoard is not installed, and --tensorboard needs it: pip install 'limner[train]'.")
            ) from error
        self._table, self._written = table, len(table)
        self._writer: Any = SummaryWriter(str(folder))

    def write(self) -> None:
        """Add the new rows."""
        for number in range(self._written, len(self._table)):
            step, *values = self._table.row(number)
            for name, value in zip(self._table.columns[1:], values, strict=True):
                self._writer.add_scalar(name, value, int(step))
        self._written = len(self._table)
        self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        self._writer.close()


def _line(row: Sequence[float]) -> str:
    step, loss, *rest = row
    cells = [f"{value:.6g}" if not math.isnan(value) else "" for value in rest]
    return ",".join((f"{step:.0f}", f"{loss:.6f}", *cells)) + "\n"
