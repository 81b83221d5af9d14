"""A change of a rule that exempts its author's own roles needs Manage Server."""

from __future__ import annotations

from collections.abc import Collection, Set

from limner.bot.errors import NotModerator
from limner.bot.filters.scopes import ANYWHERE, Scope
from limner.bot.translation import N_, _

OWN_ROLE = N_("Only members with Manage Server can free one of their own roles from a rule.")

Counts = tuple[bool, Scope]
"""Whether an entry is an allowed text, and its scope."""


def check_own_roles(bound: Collection[int], before: Counts | None, after: Counts | None) -> None:
    """Raise NotModerator if a change exempts one of the ``bound`` roles; None is a missing rule.

    Removing a rule exempts everybody, which is no privilege; restoring it without one's own roles is.
    """
    if after is not None and frees(frozenset(map(str, bound)), before, after):
        raise NotModerator(_(OWN_ROLE))


def frees(roles: Set[str], before: Counts | None, after: Counts) -> bool:
    """Whether a change exempts members with these roles and not others."""
    is_allow, scope = after
    had = before[1] if before and before[0] == is_allow else ANYWHERE
    if is_allow:
        return not roles.isdisjoint(scope.only_roles) and roles.isdisjoint(had.only_roles)
    is_exempt = not roles.isdisjoint(scope.exempt_roles - had.exempt_roles)
    return is_exempt or (_is_for_others(scope, roles) and not _is_for_others(had, roles))


def _is_for_others(scope: Scope, roles: Set[str]) -> bool:
    return bool(scope.only_roles and roles) and roles.isdisjoint(scope.only_roles)
