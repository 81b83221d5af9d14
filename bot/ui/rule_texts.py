"""Texts about rules for moderators: a line of a list, an embed for a card, an entry of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import discord

from limner.bot.filters.matcher import Match
from limner.bot.filters.policies import NAMES
from limner.bot.filters.rulebook import packs
from limner.bot.filters.rulebook.entries import PACK
from limner.bot.filters.rulebook.rows import entry_of
from limner.bot.filters.rules import RuleAction, RuleKind
from limner.bot.filters.scopes import Ages, Scope
from limner.bot.limits import CHOICE, DESCRIPTION, cut, first_lines, length
from limner.bot.storage.tables.filter_tables import FilterChange, RuleRow
from limner.bot.storage.wildcard_lists import PART
from limner.bot.translation import N_, _, commas, listed, ngettext, own_name, semicolons
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.job import job_messages

PATTERN_LENGTH = 60
ACTIONS = {
    RuleAction.BLOCK: N_("Block: refuse the request"),
    RuleAction.FLAG: N_("Flag: paint it, and let a moderator look before it is posted"),
    RuleAction.REPLACE: N_("Replace: write another text instead"),
    RuleAction.SPOILER: N_("Spoiler: post the pictures hidden"),
    RuleAction.LOG: N_("Log: only note that it matched"),
}
"""What each action does, in the words of a choice, which begin with its name."""
ACTION_NAMES = {
    RuleAction.BLOCK: N_("block"),
    RuleAction.FLAG: N_("flag"),
    RuleAction.REPLACE: N_("replace"),
    RuleAction.SPOILER: N_("spoiler"),
    RuleAction.LOG: N_("log"),
}
"""Each action as a choice."""
WHATS = {
    "add": N_("{who} added {what}"),
    "edit": N_("{who} changed {what}"),
    "exempt": N_("{who} changed where {what} counts"),
    "remove": N_("{who} removed {what}"),
    "import": N_("{who} imported {what}"),
    "settings": N_("{who} changed {what}"),
    "undo": N_("{who} undid a change of {what}"),
    "block": N_("{who} blocked {what}"),
    "allow": N_("{who} allowed {what} again"),
    "list": N_("{who} stored {what}"),
    "unlist": N_("{who} removed {what}"),
}
"""What a change did, in a sentence."""
NAMED = 10
"""Most channels or roles listed by mention; the rest is counted."""
FIELDS = {
    "pattern": N_("Text"),
    "kind": N_("Kind"),
    "is_allow": N_("Meaning"),
    "is_strict": N_("Search for glued and split words"),
    "action": N_("Action"),
    "reason": N_("Reason for the member"),
    "replacement": N_("New text"),
    "scope": N_("Where it counts"),
    "is_on": N_("Switch"),
    "expires_at": N_("End"),
    "moderator_role_ids": N_("Moderators' roles"),
    "checks_negative_prompts": N_("Check of negative prompts"),
    "review_channel_id": N_("Review channel"),
    "review_days": N_("Days for a decision"),
    "blurs_cards": N_("Blur of pictures on review cards"),
    "strike_days": N_("Days that a strike counts"),
    "strike_limit": N_("Strikes that suspend"),
    "suspension_hours": N_("Hours of a first suspension"),
    "times_out": N_("Time-out on Discord"),
    "evasion": N_("Answer to a refused idea in another spelling"),
    "evasion_minutes": N_("Minutes in which another spelling is looked for"),
    "own_styles": N_("Styles of this server"),
    "language": N_("Language of public messages"),
    "expand": N_("Expansion"),
    "house_rules": N_("House rules"),
    "shares_pictures": N_("Posted pictures for everybody"),
    "compared_share": N_("Results in a hundred with the question which picture is better"),
    "keep_days": N_("Days for which requests are kept (0: no end)"),
    "refused_days": N_("Days for which refused requests are kept (0: the operator's)"),
    "gallery_channel_id": N_("Gallery channel"),
    "gallery_stars": N_("Stars for the gallery channel"),
    "explicit_limit": N_("Limit of explicit pictures"),
    "explicit_limit_restricted": N_("Limit of explicit pictures in age-restricted channels"),
}
"""Names of changed fields in the log, followed by "was"."""
NONE = {
    "expires_at": N_("never"),
    **dict.fromkeys(("review_channel_id", "gallery_channel_id"), N_("none")),
    "explicit_limit": N_("the operator's"),
    "compared_share": N_("the operator's"),
    "explicit_limit_restricted": N_("the operator's"),
}
A_TEXT = N_("a text")
KIND_NAMES = {RuleKind.REGEX: N_("a regex"), RuleKind.POLICY: N_("a policy")}
MEANINGS = {True: N_("to allow it"), False: N_("to act on it")}
FLAG_WITHOUT_CHANNEL = N_(
    "This server has no review channel yet, so a flag refuses the request; /filter settings names a channel."
)
NO_CLASSIFIER = N_("This bot has no text classifier, so this rule finds nothing; its operator can set one up.")
ALLOW_WINS = N_("Rule {id} forbids the same text: the allowed text wins, so that rule stops nothing where both count.")
IS_ALLOWED = N_("Rule {id} allows the same text and wins, so this one stops nothing where both count.")
SPLIT = N_("It also finds these words where they stand together: {words}.")
TWICE = N_("Rule {id} is the same text for another place; where both count, the stronger action is taken.")

DISGUISES = frozenset(
    {
        N_("another spelling"),
        N_("masked letters"),
        N_("spaced letters"),
        N_("signs between letters"),
        N_("drawn letters"),
        N_("reversed letters"),
        N_("upside-down letters"),
        N_("Latin letters"),
        N_("vowel changed"),
        N_("u and v"),
        N_("letters swapped"),
        N_("letter left out"),
        N_("letter added"),
        N_("vowels left out"),
        N_("sound"),
        N_("word game"),
        N_("digits or signs for letters"),
        N_("accents"),
        N_("look-alike letters"),
        N_("repeated letters"),
        N_("glued to others"),
        N_("split into words"),
        N_("codes for letters"),
        N_("mark-up"),
    }
)
"""What a filter match may see through (`Match.steps`)."""


def action(name: str) -> str:
    """An action in one word."""
    return _(ACTION_NAMES[RuleAction(name)])


def pack_name(name: str) -> str:
    """A pack's title and language."""
    pack = packs.find(name)
    return _("{title} ({language})", title=_(pack.title), language=_(pack.language))


def policy(pattern: str) -> str:
    """A policy and how sure the classifier must be, such as ``violence 70``, in words."""
    name, percent = pattern.split()
    return _("requests about {policy}, from {percent} %", policy=_(NAMES[name]), percent=percent)


def policy_found(found: Mapping[str, Any]) -> str:
    """How sure the text classifier is (`bot.filters.verdicts.Finding.to_json`), and what the text is near to."""
    said = {"percent": round(100 * found["score"])}
    if not found["nearest"]:
        return _("the text classifier is {percent} % sure", **said)
    examples = commas([code(text) for text in found["nearest"]])
    return _("the text classifier is {percent} % sure; its nearest examples: {examples}", examples=examples, **said)


def code(text: str) -> str:
    """A member's words as inline code, without formatting and mentions."""
    return f"`` {cut(text, PATTERN_LENGTH).replace('`', 'ˋ')} ``"


def subject(rule: RuleRow) -> str:
    """The text that a rule looks for."""
    if rule.kind == PACK:
        return _("pack {pack}", pack=pack_name(rule.pattern))
    if rule.kind == RuleKind.POLICY:
        return policy(rule.pattern)
    return _("regex {regex}", regex=code(rule.pattern)) if rule.kind == RuleKind.REGEX else code(rule.pattern)


def line(rule: RuleRow) -> str:
    """A rule in a list."""
    does = _("allowed") if rule.is_allow else action(rule.action)
    return " · ".join([f"**{rule.id}** {subject(rule)}", does, *[_("strict")] * rule.is_strict, *_limits(rule)])


def card(rule: RuleRow, notes: Sequence[str] = ()) -> discord.Embed:
    """The card of one rule."""
    is_replaced = rule.action == RuleAction.REPLACE
    words = rule.replacement if is_replaced else rule.reason
    looks_for = subject(rule)
    if rule.is_strict:
        looks_for = _("{words}, also glued to other words or split into several", words=looks_for)
    does = _("Allow: other rules do not count for this text") if rule.is_allow else _(ACTIONS[RuleAction(rule.action)])
    facts = {
        _("Looks for"): looks_for,
        _("Action"): does,
        _("New text") if is_replaced else _("Reason for the member"): job_messages.plain(words, 300),
        _("Counts"): semicolons(_limits(rule)) or _("everywhere, for everybody, from now on"),
        _("Made"): _("by <@{member}> {time}", member=rule.created_by, time=_when(rule.created_at)),
    }
    text = "\n".join(f"**{name}** {value}" for name, value in facts.items() if value)
    noted, _left = first_lines([f"\n{note}" for note in notes], DESCRIPTION - length(text) - 1)
    return make_embed(_("Rule {rule}", rule=rule.id), f"{text}\n{noted}".rstrip())


def how(text: str, match: Match) -> str:
    """The matched part of a text, and its disguise."""
    found = code(text[match.start : match.end])
    if not match.steps:
        return _("found {text}, as it is written", text=found)
    return _("found {text}, in spite of {disguise}", text=found, disguise=listed(map(_, match.steps)))


def change(one: FilterChange) -> str:
    """A log entry: time, author, rule, and a sentence for each changed field."""
    who = f"<@{one.by}>" if one.by else _("The operator")
    name, text = _subject(one)
    what = f"{name} {code(text)}" if text else name
    did = _(WHATS[one.what], who=who, what=what)
    return f"**{one.id}** {_when(one.at)} {did}{''.join(_differences(one))}"


def label(one: FilterChange) -> str:
    """The log entry as a choice, without formatting."""
    did = _(WHATS[one.what], who="", what=" ".join(_subject(one)).rstrip()).strip()
    return cut(f"{one.id} {did}", CHOICE)


def _limits(rule: RuleRow) -> list[str]:
    """A rule's places and expiry, if limited."""
    until = [] if rule.expires_at is None else [_until(rule.expires_at)]
    return [*([] if rule.is_on else [_("off")]), *until, *places(entry_of(rule).scope)]


def places(scope: Scope) -> list[str]:
    """Where a scope counts, in a few words each."""
    ages = {
        Ages.ANY: [],
        Ages.ONLY: [_("only in age-restricted channels")],
        Ages.EXCEPT: [_("not in age-restricted channels")],
    }
    named = [
        _("only in {places}", places=_mentions("#", scope.only_channels)) if scope.only_channels else "",
        _("not in {places}", places=_mentions("#", scope.exempt_channels)) if scope.exempt_channels else "",
        _("only for {roles}", roles=_mentions("@&", scope.only_roles)) if scope.only_roles else "",
        _("not for {roles}", roles=_mentions("@&", scope.exempt_roles)) if scope.exempt_roles else "",
    ]
    return [*ages[scope.ages], *filter(None, named)]


def _mentions(sign: str, ids: Iterable[str]) -> str:
    every = sorted(ids)
    names = " ".join(f"<{sign}{one}>" for one in every[:NAMED])
    return _("{names} and {number} more", names=names, number=len(every) - NAMED) if len(every) > NAMED else names


def _until(expires_at: float) -> str:
    is_over = datetime.now(UTC).timestamp() >= expires_at
    when = _when(expires_at)
    return _("expired {time}", time=when) if is_over else _("until {time}", time=when)


def _when(seconds: float) -> str:
    return discord.utils.format_dt(datetime.fromtimestamp(seconds, UTC), "R")


def _subject(one: FilterChange) -> tuple[str, str]:
    """The changed rule or settings."""
    if "settings" in one.after:
        return _("the settings"), ""
    if number := one.after.get("number"):
        return ngettext("1 picture of a list", "{number} pictures of a list", number), ""
    if pictures := [*one.before.get("pictures", []), *one.after.get("pictures", [])]:
        return _("picture {number}", number=pictures[0]["id"]), ""
    if lists := {**one.before, **one.after}.get(PART):
        return _("the list {name} for wildcards", name=next(iter(lists))), ""
    [*rules] = (_rules(one.after) or _rules(one.before)).values()
    if len(rules) != 1:
        return ngettext("1 rule", "{number} rules", len(rules)), ""
    return _("rule {rule}", rule=rules[0]["id"]), rules[0]["pattern"]


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
                said = _("{field}: was {old} and is now {new}.", field=_(called), old=old, new=new)
                yield f"\n-# {said}"


def _in_words(name: str, value: Any) -> str:
    """The value of a rule's field or a setting within a sentence."""
    match name:
        case "pattern":
            return code(value)
        case "kind":
            return _(KIND_NAMES.get(value, A_TEXT))
        case "is_allow":
            return _(MEANINGS[value])
        case "scope":
            return semicolons(places(Scope.from_json(value))) or _("everywhere")
        case "moderator_role_ids":
            return _mentions("@&", map(str, value)) or _("only Manage Server")
        case "review_channel_id" if value:
            return f"<#{value}>"
        case "own_styles":
            titles = [job_messages.plain(style["title"], PATTERN_LENGTH) for style in value.values()]
            return commas(titles) or _("none")
        case "language":
            return own_name(value) if value else _("as in Discord")
        case "gallery_channel_id" if value:
            return f"<#{value}>"
        case "expires_at" if value:
            return f"<t:{value:.0f}:f>"
        case _ if isinstance(value, bool):
            return _("on") if value else _("off")
        case "action" if value:
            return action(value)
        case _:
            words = _(NONE[name]) if value is None else job_messages.plain(str(value), PATTERN_LENGTH) or _("empty")
            return _("“{text}”", text=words) if name in ("reason", "replacement") and value else words


def _rules(state: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    return {rule["id"]: rule for rule in state.get("rules", [])}
