"""Scopes: in which channels, for which roles and until when rules count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, cast

from limner.bot.errors import BadRule
from limner.bot.place import Place
from limner.bot.translation import _

KEY_LENGTH = 16
"""Characters of a scope's hash in the database."""


class Ages(StrEnum):
    """In which channels a rule counts, by age restriction."""

    ANY = "any"
    ONLY = "only"
    EXCEPT = "except"


@dataclass(frozen=True)
class Scope:
    """Where a rule, a pack or an allowed text counts; one exemption is enough."""

    only_channels: Set[str] = frozenset()
    exempt_channels: Set[str] = frozenset()
    only_roles: Set[str] = frozenset()
    exempt_roles: Set[str] = frozenset()
    ages: Ages = Ages.ANY

    def holds(self, place: Place) -> bool:
        """Whether it counts there."""
        return (
            (self.ages == Ages.ANY or place.is_age_restricted == (self.ages == Ages.ONLY))
            and (not self.only_channels or not self.only_channels.isdisjoint(place.channels))
            and (not self.only_roles or not self.only_roles.isdisjoint(place.roles))
            and self.exempt_channels.isdisjoint(place.channels)
            and self.exempt_roles.isdisjoint(place.roles)
        )

    def within(self, other: Scope) -> Scope:
        """The intersection of two scopes; raises BadRule if it is empty."""
        if self.ages != other.ages and Ages.ANY not in (self.ages, other.ages):
            raise BadRule(_("That counts nowhere: it and its pack want other channels."))
        return Scope(
            only_channels=_both(self.only_channels, other.only_channels),
            exempt_channels=self.exempt_channels | other.exempt_channels,
            only_roles=_both(self.only_roles, other.only_roles),
            exempt_roles=self.exempt_roles | other.exempt_roles,
            ages=other.ages if self.ages == Ages.ANY else self.ages,
        )

    def exempting(self, *, channels: Iterable[int] = (), roles: Iterable[int] = ()) -> Scope:
        """The scope with more exemptions."""
        return replace(
            self,
            exempt_channels=self.exempt_channels | set(map(str, channels)),
            exempt_roles=self.exempt_roles | set(map(str, roles)),
        )

    @property
    def is_nowhere(self) -> bool:
        """Whether all the channels, or all the roles, that it is limited to are exempt too."""
        return bool(
            (self.only_channels and self.only_channels <= self.exempt_channels)
            or (self.only_roles and self.only_roles <= self.exempt_roles)
        )

    @property
    def key(self) -> str:
        """Equal for equal scopes; empty for everywhere."""
        written = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(written.encode()).hexdigest()[:KEY_LENGTH] if written != "{}" else ""

    def to_json(self) -> dict[str, Any]:
        """Fields that differ from the defaults."""
        sets = {name: sorted(getattr(self, name)) for name in SETS}
        return {name: ids for name, ids in sets.items() if ids} | ({} if self.ages == Ages.ANY else {"ages": self.ages})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Scope:
        """Read `to_json`'s dictionary, or an entry of a rule file; raises BadRule if it is not valid."""
        sets = {name: _names(name, values[name]) for name in SETS if name in values}
        ages = values.get("ages", Ages.ANY)
        if ages not in list(Ages):
            raise BadRule(_("Its ages must be one of {join}.", join=", ".join(Ages)))
        return cls(**sets, ages=Ages(ages))


ANYWHERE = Scope()
SETS = tuple(field.name for field in fields(Scope) if field.name != "ages")


def _both(some: Set[str], others: Set[str]) -> Set[str]:
    both = some & others if some and others else some | others
    if (some or others) and not both:
        raise BadRule(_("That counts nowhere: it and its pack want other channels."))
    return both


def _names(name: str, values: Any) -> frozenset[str]:
    ids = cast("list[Any]", values) if isinstance(values, list) else [None]
    if not all(isinstance(one, str | int) for one in ids):
        raise BadRule(_("Its {name} must be a list of ids.", name=name))
    return frozenset(map(str, ids))
