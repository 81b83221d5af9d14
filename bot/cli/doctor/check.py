"""A finding of `limner doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One finding: its status, a sentence, and the command or setting that fixes it."""

    status: Literal["ok", "warn", "fail"]
    what: str
    mend: str = ""
