"""Places on Discord: where something is asked for, where rules count, and where pictures are shown."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where and when a text is written, and by whom: names of a channel and all it is in, and of the writer's roles."""

    channels: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    is_age_restricted: bool = False
    #: Unix seconds.
    now: float = 0.0


@dataclass(frozen=True)
class Where:
    """Where on Discord something is asked for, and by whom; a direct message has no ``guild_id``."""

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


@dataclass(frozen=True)
class Spot:
    """Where pictures are to be shown; outside servers ``guild_id`` is None, and nothing is age-restricted."""

    guild_id: int | None = None
    channel_id: int | None = None
    is_age_restricted: bool = False
