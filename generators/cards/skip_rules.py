"""The rules of step skipping by name."""

from __future__ import annotations

from enum import StrEnum


class SkipRule(StrEnum):
    """How step skipping judges that a denoiser's output changes too little for a call; off where a quality has it."""

    OFF = "off"
    TEACACHE = "teacache"
    MAGCACHE = "magcache"
