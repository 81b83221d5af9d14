"""Places on Discord: where a request is made or a picture shown, and the part that filter rules use."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """The part of a `Where` that rules use: ids of the channel and its parents, the member's roles, and the time."""

    channels: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    is_age_restricted: bool = False
    #: Unix seconds.
    now: float = 0.0


@dataclass(frozen=True)
class Where:
    """The channel, server and member's roles of a request or a display; no ``guild_id`` in a direct message."""

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
"""Outside Discord, for `limner imagine`."""
