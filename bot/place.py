"""Where on Discord something is asked for, written or shown; and what of that the filter's rules read."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """What rules read of a `Where`: the ids of the channel, of all it is in and of the writer's roles; and the time."""

    channels: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    is_age_restricted: bool = False
    #: Unix seconds.
    now: float = 0.0


@dataclass(frozen=True)
class Where:
    """Where on Discord something is asked for or shown, and with which roles; a direct message has no ``guild_id``."""

    guild_id: int | None = None
    channel_id: int | None = None
    #: A thread's channel, and the category of either.
    parent_ids: tuple[int, ...] = ()
    role_ids: tuple[int, ...] = ()
    is_age_restricted: bool = False

    def place(self) -> Place:
        """The same for rules, at this moment."""
        channels = frozenset(map(str, filter(None, (self.channel_id, *self.parent_ids))))
        return Place(channels, frozenset(map(str, self.role_ids)), self.is_age_restricted, time.time())


OUTSIDE = Where()
"""Not on Discord: what `limner imagine` asks for."""
