"""Texts about rules for moderators: a line of a list, an embed for a card, an entry of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import discord

from limner.bot.filters import packs
from limner.bot.filters.entries import PACK
from limner.bot.filters.matcher import Match
from limner.bot.filters.rulebook import entry_of
from limner.bot.filters.rules import Action, Kind
from limner.bot.filters.scopes import Ages, Scope
from limner.bot.limits import CHOICE, DESCRIPTION, cut, first_lines, length
from limner.bot.storage.models import FilterChange, RuleRow
from limner.bot.ui import job_messages
from limner.bot.ui.embeds import make_embed

PATTERN_LENGTH = 60
ACTIONS = {
    Action.BLOCK: "refuse the request",
    Action.FLAG: "paint it, and let a moderator look before it is posted",
    Action.REPLACE: "write something else instead",
    Action.SPOILER: "post the pictures hidden",
    Action.LOG: "only remember that it matched",
}
"""Each action as a choice."""
WHATS = {
    "add": "added",
    "edit": "changed",
    "exempt": "changed the places of",
    "remove": "removed",
    "import": "imported",
    "settings": "changed",
    "undo": "undid a change of",
    "block": "blocked",
    "allow": "allowed again",
}
NAMED = 10
"""Most channels or roles listed by mention; the rest is counted."""
FIELDS = {
    "pattern": "text",
    "kind": "kind",
    "is_allow": "meaning",
    "is_strict": "search for glued and split words",
    "action": "action",
    "reason": "reason that members read",
    "replacement": "text to write instead",
    "scope": "place",
    "is_on": "switch",
    "expires_at": "end",
    "moderator_role_ids": "list of moderators",
    "checks_negative_prompts": "check of negative prompts",
    "review_channel_id": "review channel",
    "review_days": "number of days for a decision",
    "strike_days": "number of days that a strike counts",
    "strike_limit": "number of strikes that suspend",
    "suspension_hours": "number of hours of a first suspension",
    "times_out": "time-out on Discord",
    "evasion": "answer to a refused idea in another spelling",
    "evasion_minutes": "number of minutes in which that is looked for",
    "explicit_limit": "limit of explicit pictures",
    "explicit_limit_restricted": "limit of explicit pictures in age-restricted channels",
}
"""Names of changed fields in the log, followed by "was"."""
NONE = {
    "expires_at": "never",
    "review_channel_id": "none",
    "explicit_limit": "the operator's",
    "explicit_limit_restricted": "the operator's",
}
MEANINGS = {True: "to allow it", False: "to act on it"}
FLAG_WITHOUT_CHANNEL = (
    "This server has no review channel yet, so a flag refuses the request; /filter settings names a channel."
)
ALLOW_WINS = "Rule {id} forbids the same text: the allowed text wins, so that rule stops nothing where both count."
IS_ALLOWED = "Rule {id} allows the same text and wins, so this one stops nothing where both count."
STRICT = ", also glued to other words or split into several"
SPLIT = "It also finds these words where they stand together: {}."
TWICE = "Rule {id} is the same text for another place; where both count, the stronger action is taken."


def code(text: str) -> str:
    """A member's words as inline code, without formatting and mentions."""
    return f"`` {cut(text, PATTERN_LENGTH).replace('`', 'ˋ')} ``"


def subject(rule: RuleRow) -> str:
    """The text that a rule looks for."""
    if rule.kind == PACK:
        pack = packs.find(rule.pattern)
        return f"pack {pack.title} ({pack.language})"
    return f"{'regex ' if rule.kind == Kind.REGEX else ''}{code(rule.pattern)}"


def line(rule: RuleRow) -> str:
    """A rule in a list."""
    does = "allowed" if rule.is_allow else rule.action
    return " · ".join([f"**{rule.id}** {subject(rule)}", does, *["strict"] * rule.is_strict, *_limits(rule)])


def card(rule: RuleRow, notes: Sequence[str] = ()) -> discord.Embed:
    """The card of one rule."""
    action = Action(rule.action)
    does = "free this text from other rules" if rule.is_allow else ACTIONS[action]
    told = rule.replacement if action == Action.REPLACE else rule.reason
    facts = {
        "Looks for": f"{subject(rule)}{STRICT * rule.is_strict}",
        "Does": does,
        "Written instead" if action == Action.REPLACE else "The member reads": job_messages.plain(told, 300),
        "Counts": "; ".join(_limits(rule)) or "everywhere, for everybody, from now on",
        "Made": f"by <@{rule.created_by}> {_when(rule.created_at)}",
    }
    text = "\n".join(f"**{name}** {value}" for name, value in facts.items() if value)
    noted, _ = first_lines([f"\n{note}" for note in notes], DESCRIPTION - length(text) - 1)
    return make_embed(f"Rule {rule.id}", f"{text}\n{noted}".rstrip())


def how(text: str, match: Match) -> str:
    """The matched part of a text, and its disguise."""
    steps = f"seen through {' and '.join(match.steps)}" if match.steps else "as it is written"
    return f"found {code(text[match.start : match.end])}, {steps}"


def change(one: FilterChange) -> str:
    """A log entry: time, author, rule, and a sentence for each changed field."""
    who = f"<@{one.by}>" if one.by else "The operator"
    name, text = _subject(one)
    did = f"{WHATS.get(one.what, one.what)} {name} {code(text) if text else ''}".rstrip()
    return f"**{one.id}** {_when(one.at)} {who} {did}{''.join(_differences(one))}"


def label(one: FilterChange) -> str:
    """The log entry as a choice, without formatting."""
    return cut(" ".join([str(one.id), WHATS.get(one.what, one.what), *_subject(one)]).rstrip(), CHOICE)


def _limits(rule: RuleRow) -> list[str]:
    """A rule's places and expiry, if limited."""
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
    every = sorted(ids)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return " ".join(f"<{sign}{one}>" for one in every[:NAMED]) + more


def _until(expires_at: float) -> str:
    is_over = datetime.now(UTC).timestamp() >= expires_at
    return f"{'expired' if is_over else 'until'} {_when(expires_at)}"


def _when(seconds: float) -> str:
    return discord.utils.format_dt(datetime.fromtimestamp(seconds, UTC), "R")


def _subject(one: FilterChange) -> tuple[str, str]:
    """The changed rule or settings."""
    if "settings" in one.after:
        return "the settings", ""
    if pictures := [*one.before.get("pictures", []), *one.after.get("pictures", [])]:
        return f"picture {pictures[0]['id']}", ""
    [*rules] = (_rules(one.after) or _rules(one.before)).values()
    return (f"rule {rules[0]['id']}", rules[0]["pattern"]) if len(rules) == 1 else (f"{len(rules)} rules", "")


def _differences(one: FilterChange) -> Iterator[str]:
    """Each field before and after, in small print."""
    before, after = _rules(one.before), _rules(one.after)
    pairs = [(before[number], rule) for number, rule in after.items() if number in before]
    if "settings" in one.after:
        pairs = [(one.before["settings"], one.after["settings"])]
    for was, now in pairs[:1]:
        for name, called in FIELDS.items():
            if (
                name in now
                and name in was
                and (old := _in_words(name, was[name])) != (new := _in_words(name, now[name]))
            ):
                yield f"\n-# The {called} was {old} and is now {new}."


def _in_words(name: str, value: Any) -> str:
    """The value of a rule's field or a setting within a sentence."""
    match name:
        case "pattern":
            return code(value)
        case "kind":
            return "a regex" if value == Kind.REGEX else "a text"
        case "is_allow":
            return MEANINGS[value]
        case "scope":
            return "; ".join(places(Scope.from_json(value))) or "everywhere"
        case "moderator_role_ids":
            return _mentions("@&", map(str, value)) or "only Manage Server"
        case "review_channel_id" if value:
            return f"<#{value}>"
        case "expires_at" if value:
            return f"<t:{value:.0f}:f>"
        case _ if isinstance(value, bool):
            return "on" if value else "off"
        case _:
            told = NONE[name] if value is None else job_messages.plain(str(value), PATTERN_LENGTH) or "empty"
            return f"“{told}”" if name in ("reason", "replacement") and value else told


def _rules(state: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    return {rule["id"]: rule for rule in state.get("rules", [])}
