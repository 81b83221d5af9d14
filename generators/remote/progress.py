"""Progress of a request whose samples are painted elsewhere, each by a call of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from limner.generators.base import Event, Preview, Progress


@dataclass
class RequestProgress:
    """Reports the events of a request: the step that all its samples have reached, and previews of the first one."""

    key: str
    samples: int
    steps: int
    report: Callable[[Event], None]
    _reached: dict[int, int] = field(default_factory=dict[int, int])
    _reported: int = 0

    def step(self, sample: int, step: int) -> None:
        """A sample has taken ``step`` steps; what goes back counts for nothing."""
        self._reached[sample] = max(min(step, self.steps), self._reached.get(sample, 0))
        slowest = min(self._reached.get(one, 0) for one in range(self.samples))
        if slowest > self._reported:
            self._reported = slowest
            self.report(Progress(self.key, slowest, self.steps))

    def preview(self, sample: int, image: Image.Image) -> None:
        """A rough picture of a sample."""
        if sample == 0:
            self.report(Preview(self.key, image))


@dataclass(frozen=True)
class SampleProgress:
    """The progress of one sample."""

    request: RequestProgress
    sample: int

    def part(self, share: float) -> None:
        """So large a share of its steps is taken, from 0 to 1."""
        self.request.step(self.sample, int(share * self.request.steps))

    def preview(self, image: Image.Image) -> None:
        """A rough picture."""
        self.request.preview(self.sample, image)
