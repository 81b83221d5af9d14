"""One entry of a server's rules, from a moderator or a file, and its JSON form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from limner.bot.errors import BadRule
from limner.bot.filters import trials
from limner.bot.filters.policies import PolicyRule, check_policy, tidy_policy
from limner.bot.filters.rulebook import packs
from limner.bot.filters.rules import Rule, RuleAction, RuleKind, normal_form, tidy, tidy_regex
from limner.bot.filters.scopes import ANYWHERE, SETS, Scope
from limner.bot.translation import N_, _

PACK = "pack"
"""The kind of an entry that stands for all rules of a pack."""
MAX_REASON = 150
"""Characters of a reason, as in Discord's AutoMod."""
MAX_REPLACEMENT = 100
LATEST = 253_402_300_799
"""The last second that Discord and Python can represent."""
NOT_STRICT = N_(
    "Only words, phrases, wildcards and packs can be strict; a regex, a policy and an allowed text find what they say."
)
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that databases refuse: NUL, and halves of surrogate pairs."""
STARS = {RuleKind.PREFIX: "{}*", RuleKind.SUFFIX: "*{}", RuleKind.INFIX: "*{}*"}
"""How a kind with stars is written."""
USED = frozenset({"action", "reason", "replacement", "enabled", "expires_at", "ages", "strict"}) | frozenset(SETS)
NAMED = frozenset({"id", "name", "pattern", "kind", "category", "note"})
"""Known fields of an entry; all but pattern and kind of the second are for human readers only."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A rule, an allowed text or a pack, with its action, places and expiry."""

    pattern: str
    kind: str = RuleKind.WORD
    is_allow: bool = False
    is_strict: bool = False
    action: RuleAction = RuleAction.BLOCK
    reason: str = ""
    replacement: str = ""
    scope: Scope = ANYWHERE
    is_on: bool = True
    expires_at: float | None = None

    @property
    def normal_form(self) -> str:
        """Equal for entries that match the same; regexes, packs and policies begin with white space."""
        if self.kind == RuleKind.REGEX:
            return f" {self.pattern}"
        if self.kind == RuleKind.POLICY:
            return f"\n{self.pattern.split()[0]}"
        return f"\t{self.pattern}" if self.kind == PACK else normal_form(self.pattern)

    def checked(self) -> Entry:
        """The entry, tidied; raises BadRule with one sentence if it is not valid."""
        if _UNWRITABLE.search(f"{self.pattern}{self.reason}{self.replacement}"):
            raise BadRule(_("It has a broken character in it; write it anew."))
        if len(self.reason) > MAX_REASON:
            raise BadRule(_("A reason may have at most {max_reason} characters; shorten it.", max_reason=MAX_REASON))
        if len(self.replacement) > MAX_REPLACEMENT:
            raise BadRule(
                _(
                    "A replacement may have at most {max_replacement} characters; shorten it.",
                    max_replacement=MAX_REPLACEMENT,
                )
            )
        if self.is_strict and (self.is_allow or self.kind in (RuleKind.REGEX, RuleKind.POLICY)):
            raise BadRule(_(NOT_STRICT))
        if self.scope.is_nowhere:
            raise BadRule(
                _("It counts nowhere: all the channels, or all the roles, that it is only for are exempt too.")
            )
        tidied = self._tidied()
        trials.check(tidied.rules("0"))
        return tidied

    def _tidied(self) -> Entry:
        if self.kind == PACK:
            packs.find(self.pattern)
            return self
        if self.kind == RuleKind.POLICY:
            check_policy(self.action, is_allow=self.is_allow)
            return replace(self, pattern=tidy_policy(self.pattern))
        if self.kind == RuleKind.REGEX:
            if self.is_allow:
                raise BadRule(_("A regex cannot be on the allow list; write the words that it should free."))
            return replace(self, pattern=tidy_regex(self.pattern))
        pattern = tidy(self.pattern)
        kind = Rule("", pattern).kind
        return self if (pattern, kind) == (self.pattern, self.kind) else replace(self, pattern=pattern, kind=kind)

    def rules(self, rule_id: str, guild_id: int = 0, outer: Sequence[Scope] = ()) -> list[Rule]:
        """The rules of an entry for a matcher within ``outer``; a pack gives many with one number, a policy none."""
        return [] if self.kind == RuleKind.POLICY else self._rules(rule_id, guild_id, outer)

    def policy(self, rule_id: str, guild_id: int = 0) -> PolicyRule | None:
        """The rule of an entry about a policy."""
        return PolicyRule.of(self._rules(rule_id, guild_id, ())[0]) if self.kind == RuleKind.POLICY else None

    def _rules(self, rule_id: str, guild_id: int, outer: Sequence[Scope]) -> list[Rule]:
        known: dict[str, Any] = {
            "guild_id": guild_id,
            "is_strict": self.is_strict,
            "scopes": (*outer, self.scope),
            "action": self.action,
            "reason": self.reason,
            "replacement": self.replacement,
            "expires_at": self.expires_at,
        }
        if self.kind == PACK:
            known["reason"] = self.reason or packs.find(self.pattern).reason
            return [Rule(rule_id, term, **known) for term in packs.find(self.pattern).terms]
        return [Rule(rule_id, self.pattern, is_regex=self.kind == RuleKind.REGEX, **known)]

    def to_json(self) -> dict[str, Any]:
        """The entry in an export: fields that differ from the defaults."""
        usual = Entry(pattern="")
        name = "id" if self.kind == PACK else "pattern"
        written: dict[str, Any] = {name: self.pattern}
        if self.kind in (RuleKind.REGEX, RuleKind.POLICY):
            written["kind"] = self.kind
        for key in ("action", "reason", "replacement", "expires_at"):
            if getattr(self, key) != getattr(usual, key):
                written[key] = getattr(self, key)
        written |= {"strict": True} if self.is_strict else {}
        return written | ({} if self.is_on else {"enabled": False}) | self.scope.to_json()


def read_entry(whole: Any, *, is_allow: bool = False) -> Entry:
    """An entry of a rule file: a text, or an object with ``pattern``; raises BadRule if it is not valid."""
    known = {"pattern": whole} if isinstance(whole, str) else _object(whole)
    if "pattern" not in known:
        raise BadRule(_("It has no pattern."))
    kind, pattern = known.get("kind", RuleKind.WORD), known["pattern"]
    if kind not in list(RuleKind) or not isinstance(pattern, str):
        raise BadRule(_("Its kind must be one of {join}, and its pattern a text.", join=", ".join(RuleKind)))
    if kind in STARS and not (pattern.startswith("*") or pattern.endswith("*")):
        pattern = STARS[RuleKind(kind)].format(pattern.strip())
    entry = read_use(known, pattern=pattern, kind=RuleKind(kind), is_allow=is_allow).checked()
    if kind in STARS and entry.kind != kind:
        raise BadRule(
            _(
                "Its kind is {kind}, and its stars say {kind_2}; leave the kind out, or change the stars.",
                kind=kind,
                kind_2=entry.kind,
            )
        )
    return entry


def read_pack(known: Mapping[str, Any]) -> Entry:
    """A shipped pack by its ``id``; raises BadRule if there is none, or its settings are not valid."""
    return read_use(known, pattern=str(known.get("id", "")), kind=PACK).checked()


def read_use(
    known: Mapping[str, Any], *, pattern: str = "", kind: str = RuleKind.WORD, is_allow: bool = False
) -> Entry:
    """Places, expiry and action of an entry or a pack; raises BadRule."""
    if strange := sorted(map(str, known.keys() - USED - NAMED - {"rules"})):
        raise BadRule(_("It has {value!r}, which means nothing here.", value=strange[0][:40]))
    return Entry(
        pattern=pattern,
        kind=kind,
        is_allow=is_allow,
        action=_action(known.get("action", RuleAction.BLOCK)),
        reason=_text(known, "reason"),
        replacement=_text(known, "replacement"),
        scope=Scope.from_json(known),
        is_strict=_switch(known, "strict", usual=False),
        is_on=_switch(known, "enabled", usual=True),
        expires_at=_time(known.get("expires_at")),
    )


def _object(whole: Any) -> dict[str, Any]:
    if not isinstance(whole, dict):
        raise BadRule(_("It has no pattern."))
    return cast("dict[str, Any]", whole)


def _switch(known: Mapping[str, Any], name: str, *, usual: bool) -> bool:
    value = known.get(name, usual)
    if not isinstance(value, bool):
        raise BadRule(_("Its {name} must be true or false.", name=name))
    return value


def _action(name: Any) -> RuleAction:
    if name not in list(RuleAction):
        raise BadRule(_("Its action must be one of {join}.", join=", ".join(RuleAction)))
    return RuleAction(name)


def _text(known: Mapping[str, Any], name: str) -> str:
    text = known.get(name, "")
    if not isinstance(text, str):
        raise BadRule(_("Its {name} must be a text.", name=name))
    return " ".join(text.split())


def _time(value: Any) -> float | None:
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST
    ):
        raise BadRule(_("Its expires_at must be a time in Unix seconds, before the year 10000."))
    return value
