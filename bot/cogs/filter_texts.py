"""What moderators read about rules: a line for a list, an embed for a card, an entry of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import discord

from bot import messages
from bot.filters import packs
from bot.filters.book import entry_of
from bot.filters.entries import PACK
from bot.filters.place import Ages, Scope
from bot.filters.rules import Action, Kind
from bot.models import FilterChange, Rule

PATTERN_LENGTH = 60
EMBED_LENGTH = 4000
ACTIONS = {
    Action.BLOCK: "refuse the request",
    Action.FLAG: "paint it, and let a moderator look before it is posted",
    Action.REPLACE: "write something else instead",
    Action.SPOILER: "post the pictures hidden",
    Action.LOG: "only remember that it matched",
}
"""What each action does, in the words of a choice."""
WHATS = {
    "add": "added",
    "edit": "changed",
    "exempt": "freed places from",
    "remove": "removed",
    "import": "imported",
    "settings": "changed the settings",
    "undo": "undid a change of",
    "block": "blocked",
    "allow": "allowed again",
}
KEYS = ("normal_form", "scope_key")
"""What says the same as other fields of a rule."""
FLAG_WITHOUT_CHANNEL = (
    "This server has no review channel yet, so a flag refuses the request; /filter settings names a channel."
)
ALLOW_WINS = "Rule {id} forbids the same text: the allowed text wins, so that rule stops nothing where both count."
IS_ALLOWED = "Rule {id} allows the same text and wins, so this one stops nothing where both count."
TWICE = "Rule {id} is the same text for another place; where both count, the stronger action is taken."


def code(text: str) -> str:
    """Somebody's words as code, in which nothing is formatted and nobody mentioned."""
    return f"`` {messages.cut(text, PATTERN_LENGTH).replace('`', 'ˋ')} ``"


def subject(rule: Rule) -> str:
    """What a rule looks for."""
    if rule.kind == PACK:
        pack = packs.find(rule.pattern)
        return f"pack {pack.title} ({pack.language})"
    return f"{'regex ' if rule.kind == Kind.REGEX else ''}{code(rule.pattern)}"


def line(rule: Rule) -> str:
    """A rule in a list."""
    does = "allowed" if rule.is_allow else rule.action
    return " · ".join([f"**{rule.id}** {subject(rule)}", does, *_limits(rule)])


def card(rule: Rule, notes: Sequence[str] = ()) -> discord.Embed:
    """Everything about one rule."""
    action = Action(rule.action)
    does = "free this text from other rules" if rule.is_allow else ACTIONS[action]
    told = rule.replacement if action == Action.REPLACE else rule.reason
    facts = {
        "Looks for": subject(rule),
        "Does": does,
        "Written instead" if action == Action.REPLACE else "The member reads": messages.plain(told, 300),
        "Counts": "; ".join(_limits(rule)) or "everywhere, for everybody, from now on",
        "Made": f"by <@{rule.created_by}> {_when(rule.created_at)}",
    }
    text = "\n".join(f"**{name}** {value}" for name, value in facts.items() if value)
    return discord.Embed(title=f"Rule {rule.id}", description="\n\n".join([text, *notes]))


def change(one: FilterChange) -> str:
    """A change in the log: when, who, what, and how it was before and is after."""
    who = f"<@{one.by}>" if one.by else "The operator"
    return f"**{one.id}** {_when(one.at)} {who} {WHATS.get(one.what, one.what)} {_changed(one)}"


def clipped(lines: Iterable[str]) -> str:
    """As many lines as fit into an embed, and how many do not."""
    kept, left = list[str](), 0
    for text in lines:
        if left or sum(len(one) + 1 for one in kept) + len(text) > EMBED_LENGTH:
            left += 1
        else:
            kept.append(text)
    return "\n".join([*kept, f"… and {left} more"] if left else kept)


def _limits(rule: Rule) -> list[str]:
    """Where and until when a rule counts, if not everywhere and for good."""
    until = [] if rule.expires_at is None else [_until(rule.expires_at)]
    return [*([] if rule.is_on else ["off"]), *until, *places(entry_of(rule).scope)]


def places(scope: Scope) -> list[str]:
    """Where a scope counts, in a few words each."""
    ages = {
        Ages.ANY: [],
        Ages.ONLY: ["only in age-restricted channels"],
        Ages.EXCEPT: ["not in age-restricted channels"],
    }
    named = {
        "only in": _mentions("#", scope.only_channels),
        "not in": _mentions("#", scope.exempt_channels),
        "only for": _mentions("@&", scope.only_roles),
        "not for": _mentions("@&", scope.exempt_roles),
    }
    return [*ages[scope.ages], *(f"{how} {which}" for how, which in named.items() if which)]


def _mentions(sign: str, ids: Iterable[str]) -> str:
    return " ".join(f"<{sign}{one}>" for one in sorted(ids))


def _until(expires_at: float) -> str:
    is_over = datetime.now(UTC).timestamp() >= expires_at
    return f"{'expired' if is_over else 'until'} {_when(expires_at)}"


def _when(seconds: float) -> str:
    return discord.utils.format_dt(datetime.fromtimestamp(seconds, UTC), "R")


def _changed(one: FilterChange) -> str:
    if "settings" in one.after:
        return _differences(one.before["settings"], one.after["settings"])
    if pictures := [*one.before.get("pictures", []), *one.after.get("pictures", [])]:
        return f"picture {pictures[0]['id']}"
    before, after = _rules(one.before), _rules(one.after)
    [*rules] = (after or before).values()
    if len(rules) > 1:
        return f"{len(rules)} rules"
    rule = rules[0]
    named = f"rule {rule['id']} {code(rule['pattern'])}"
    return named + _differences(before[rule["id"]], rule) if before and after else named


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """In small print, what was otherwise before."""
    different = [name for name in after if name not in KEYS and before[name] != after[name]]
    return "".join(f"\n-# {messages.plain(f'{name}: {before[name]} → {after[name]}', 200)}" for name in different)


def _rules(state: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    return {rule["id"]: rule for rule in state.get("rules", [])}
