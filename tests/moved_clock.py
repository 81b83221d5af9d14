"""A clock that a test sets forward or back, in processes that have its folder on their Python path."""

from __future__ import annotations

from pathlib import Path

SOURCE = '''
"""time.time as if the machine's clock were set: the file beside this one holds the seconds by which it is moved."""
import pathlib, time
here, real = pathlib.Path(__file__).with_name("moved"), time.time
time.time = lambda: real() + float(here.read_text())
'''


class MovedClock:
    """Moves the wall clock of other processes; their monotonic clock goes on as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 0.0
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SOURCE)
        self.move(0.0)

    def move(self, seconds: float) -> None:
        """Set the clock forward, or back by a negative number."""
        self.seconds += seconds
        (self.folder / "moved.new").write_text(str(self.seconds))
        (self.folder / "moved.new").replace(self.folder / "moved")
