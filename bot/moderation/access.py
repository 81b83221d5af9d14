"""Who may have what painted where in a server: by channels and roles, for everything, a kind of request, or a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from limner.bot.errors import NotAllowed
from limner.bot.guild_settings import GuildSettings
from limner.bot.place import Where
from limner.bot.queue.enqueue import NewJob
from limner.bot.translation import N_, _, commas

EVERYTHING, OF_MODEL = "all", "model:"
"""The subject of a rule about every request, and the beginning of one about a model; others are a `JobKind`."""
CHANNELS = N_("That may be asked for in some channels only: {channels}.")
ROLES = N_("That is for members with one of these roles: {roles}.")


@dataclass(frozen=True)
class Access:
    """Where something may be asked for, and by whom; empty: everywhere, by everybody."""

    channels: tuple[int, ...] = ()
    roles: tuple[int, ...] = ()

    @classmethod
    def of(cls, settings: GuildSettings, subject: str) -> Self:
        """What a server has chosen about a subject."""
        rule = settings.access.get(subject, {})
        return cls(tuple(rule.get("channels", ())), tuple(rule.get("roles", ())))

    def check(self, where: Where) -> None:
        """Raise NotAllowed for a place or member that it excludes."""
        if self.channels and not {where.channel_id, *where.parent_ids}.intersection(self.channels):
            raise NotAllowed(_(CHANNELS, channels=commas(f"<#{channel}>" for channel in self.channels)))
        if self.roles and not set(where.role_ids).intersection(self.roles):
            raise NotAllowed(_(ROLES, roles=commas(f"<@&{role}>" for role in self.roles)))


def check_access(settings: GuildSettings, new: NewJob) -> None:
    """Raise NotAllowed if the server does not let this member ask for it in this place."""
    for subject in (EVERYTHING, new.kind, f"{OF_MODEL}{new.request.model}"):
        Access.of(settings, subject).check(new.where)


def changed(settings: GuildSettings, subject: str, **ids: Sequence[int]) -> Mapping[str, Mapping[str, Any]]:
    """A server's rules of access with other channels or roles for a subject."""
    rule = {**settings.access.get(subject, {}), **{name: sorted(some) for name, some in ids.items()}}
    rule = {name: some for name, some in rule.items() if some}
    others = {name: other for name, other in settings.access.items() if name != subject}
    return others | ({subject: rule} if rule else {})
