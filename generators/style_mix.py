"""Style mixing: a picture's coarse layers from one seed or prompt, its fine layers from another (Karras 2019)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

MOST_SIDE = 5
"""Most rows and columns of a grid."""
_TEXT = re.compile(r"(?P<fine>.*?)\s*(?:@\s*(?P<layer>\d{1,2}))?", re.DOTALL)
_GRID = re.compile(r"(\d{1,2})\s*[x×]\s*(\d{1,2})")
_SEED = re.compile(r"\d{1,20}")


@dataclass(frozen=True)
class StyleMix:
    """Where the fine layers of a picture take their style from; JSON in and out.

    Attributes:
        layer: how many layers, the coarsest, keep the picture's own style.
        seed: of the fine style; None: the picture's own.
        prompt: of the fine style; empty: the picture's own.
        grid: rows and columns of a sheet of mixes. Its seeds count up from the picture's, first of the rows' coarse
            styles and then of the columns' fine ones; its first row and column show what is mixed.
    """

    layer: int
    seed: int | None = None
    prompt: str = ""
    grid: tuple[int, int] | None = None

    @property
    def pictures(self) -> int:
        """How many pictures are painted for one result."""
        return (self.grid[0] + 1) * (self.grid[1] + 1) - 1 if self.grid else 1

    @classmethod
    def read(cls, text: str, layer: int) -> Self:
        """Read what `write` writes: a seed, a grid as 3x4, or else words; ``layer`` where no @LAYER follows."""
        found = _TEXT.fullmatch(text.strip())
        fine, layer = (found["fine"], int(found["layer"] or layer)) if found else (text, layer)
        if sides := _GRID.fullmatch(fine):
            return cls(layer, grid=(int(sides[1]), int(sides[2])))
        return cls(layer, int(fine)) if _SEED.fullmatch(fine) else cls(layer, prompt=fine)

    def write(self) -> str:
        """As a member types it."""
        fine = "x".join(map(str, self.grid)) if self.grid else self.prompt or str(self.seed)
        return f"{fine}@{self.layer}"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read the dictionary of `dataclasses.asdict`, also from a JSON column."""
        grid: Any = tuple(data["grid"]) if data["grid"] else None
        return cls(**{**data, "grid": grid})
