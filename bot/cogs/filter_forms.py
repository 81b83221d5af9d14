"""Forms that moderators fill in: a rule, and where it counts. Whoever lost the right meanwhile is told so."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from typing import Any

import discord

from bot.app import App
from bot.cogs import filter_texts as texts
from bot.cogs.base import answer_error, moderated, role_ids
from bot.errors import NotModerator
from bot.filters.book import entry_of
from bot.filters.entries import MAX_REASON, PACK
from bot.filters.place import Ages, Scope
from bot.filters.regexes import MAX_LENGTH
from bot.filters.rules import Action, Kind
from bot.models import Rule

Interaction = discord.Interaction[Any]
Option = discord.SelectOption

CHOSEN = 25
"""Channels or roles that one select holds."""
KINDS = {
    Kind.WORD: "A word, a phrase, or a wildcard such as cat*",
    Kind.REGEX: "A regular expression (RE2)",
    "allow": "Allow this text in spite of other rules",
}
SPANS = {"for good": None, "one hour": 3600, "one day": 86400, "one week": 7 * 86400, "30 days": 30 * 86400}
DRAFT, AS_IT_IS = "draft", "as it is"
BEYOND = "{} more stay as they are; there is no room for them here until some of these are taken out."
OWN_ROLE = "Only members with Manage Server can free one of their own roles from a rule."


Show = Callable[[Interaction, App, Rule], Awaitable[None]]
"""How a rule that was written is shown."""


class _Form(discord.ui.Modal):
    async def on_error(self, interaction: Interaction, error: Exception, /) -> None:
        """The same answers as everywhere."""
        await answer_error(interaction, error)


class RuleForm(_Form):
    """What is looked for, what happens then, and for how long; of a pack all but the first."""

    def __init__(self, app: App, show: Show, rule: Rule | None = None) -> None:
        super().__init__(title=f"Rule {rule.id}" if rule else "A new rule", custom_id="limner:rule:form")
        self._app = app
        self._show = show
        self._rule = rule
        self._is_pack = rule is not None and rule.kind == PACK
        self._text = discord.ui.TextInput[Any](max_length=MAX_LENGTH, default=rule.pattern if rule else None)
        kind = "allow" if rule and rule.is_allow else Kind.REGEX if rule and rule.kind == Kind.REGEX else Kind.WORD
        self._kind = _select(KINDS, kind)
        self._action = _select(texts.ACTIONS, rule.action if rule else Action.BLOCK)
        told = (rule.replacement or rule.reason) if rule else ""
        self._told = discord.ui.TextInput[Any](required=False, max_length=MAX_REASON, default=told)
        is_kept = rule is not None and rule.expires_at is not None
        spans = [*([AS_IT_IS] if is_kept else []), *SPANS, *([] if rule else [DRAFT])]
        self._span = _select({span: _span(span) for span in spans}, spans[0])
        labels = {
            "Text": self._text,
            "It is": self._kind,
            "When a request has it": self._action,
            "Told to the member, or written instead": self._told,
            "It counts": self._span,
        }
        for text, component in labels.items():
            if not (self._is_pack and component in (self._text, self._kind)):
                self.add_item(discord.ui.Label(text=text, component=component))

    async def on_submit(self, interaction: Interaction, /) -> None:
        """Write the rule, and show it as it is then."""
        guild_id, by = await moderated(interaction, self._app), interaction.user.id
        if self._rule is None:
            rule = await self._app.filters.add(guild_id, self._text.value, by, **self._values())
        else:
            text = {} if self._is_pack else {"pattern": self._text.value}
            rule = await self._app.filters.edit(guild_id, self._rule.id, by, **text, **self._values())
        await self._show(interaction, self._app, rule)

    def _values(self) -> dict[str, Any]:
        [action], [span] = self._action.values, self._span.values
        told, is_replaced = " ".join(self._told.value.split()), action == Action.REPLACE
        values: dict[str, Any] = {
            "action": Action(action),
            "reason": "" if is_replaced else told,
            "replacement": told if is_replaced else "",
        }
        if not self._is_pack:
            [kind] = self._kind.values
            values |= {"kind": Kind.WORD if kind == "allow" else Kind(kind), "is_allow": kind == "allow"}
        if span == DRAFT:
            values["is_on"] = False
        elif span != AS_IT_IS:
            seconds = SPANS[span]
            values["expires_at"] = None if seconds is None else time.time() + seconds
        return values


class PlaceForm(_Form):
    """In which channels and for which roles a rule counts."""

    def __init__(self, app: App, show: Show, rule: Rule) -> None:
        super().__init__(title=f"Where rule {rule.id} counts", custom_id="limner:rule:where")
        self._app = app
        self._show = show
        self._rule_id = rule.id
        self._before = scope = entry_of(rule).scope
        self._only_channels = _channels(scope.only_channels)
        self._exempt_channels = _channels(scope.exempt_channels)
        self._only_roles = _roles(scope.only_roles)
        self._exempt_roles = _roles(scope.exempt_roles)
        ages = {
            Ages.ANY: "All channels",
            Ages.ONLY: "Only age-restricted ones",
            Ages.EXCEPT: "All but age-restricted ones",
        }
        self._ages = _select(ages, scope.ages)
        labels = (
            ("Not in these channels and categories", self._exempt_channels, scope.exempt_channels),
            ("Not for these roles", self._exempt_roles, scope.exempt_roles),
            ("Only in these channels and categories", self._only_channels, scope.only_channels),
            ("Only for these roles", self._only_roles, scope.only_roles),
            ("Age restriction", self._ages, ()),
        )
        for text, component, ids in labels:
            beyond = len(ids) - len(_shown(ids))
            self.add_item(
                discord.ui.Label(text=text, component=component, description=BEYOND.format(beyond) if beyond else None)
            )

    async def on_submit(self, interaction: Interaction, /) -> None:
        """Write where the rule counts; nobody frees oneself without being a manager of the server."""
        guild_id = await moderated(interaction, self._app)
        scope = Scope(
            only_channels=_chosen(self._only_channels.values, self._before.only_channels),
            exempt_channels=_chosen(self._exempt_channels.values, self._before.exempt_channels),
            only_roles=_chosen(self._only_roles.values, self._before.only_roles),
            exempt_roles=_chosen(self._exempt_roles.values, self._before.exempt_roles),
            ages=Ages(self._ages.values[0]),
        )
        own = set(map(str, role_ids(interaction)))
        frees = own & (scope.exempt_roles - self._before.exempt_roles) or (
            scope.only_roles and not own & scope.only_roles
        )
        if frees and not interaction.permissions.manage_guild:
            raise NotModerator(OWN_ROLE)
        rule = await self._app.filters.edit(guild_id, self._rule_id, interaction.user.id, "exempt", scope=scope)
        await self._show(interaction, self._app, rule)


def _select(choices: Any, chosen: str) -> discord.ui.Select[Any]:
    options = [Option(label=text[:100], value=str(value), default=value == chosen) for value, text in choices.items()]
    return discord.ui.Select(options=options)


def _channels(ids: Iterable[str]) -> discord.ui.ChannelSelect[Any]:
    return discord.ui.ChannelSelect(
        min_values=0,
        max_values=CHOSEN,
        required=False,
        default_values=_defaults(ids, discord.SelectDefaultValueType.channel),
    )


def _roles(ids: Iterable[str]) -> discord.ui.RoleSelect[Any]:
    return discord.ui.RoleSelect(
        min_values=0,
        max_values=CHOSEN,
        required=False,
        default_values=_defaults(ids, discord.SelectDefaultValueType.role),
    )


def _defaults(ids: Iterable[str], kind: discord.SelectDefaultValueType) -> list[discord.SelectDefaultValue]:
    return [discord.SelectDefaultValue(id=int(one), type=kind) for one in _shown(ids)]


def _shown(ids: Iterable[str]) -> list[str]:
    """Those for which a select has room."""
    return sorted(ids)[:CHOSEN]


def _chosen(values: Sequence[discord.abc.Snowflake], before: Set[str]) -> frozenset[str]:
    """What was chosen, and what the select had no room to show."""
    return frozenset({*(str(value.id) for value in values), *(before - {*_shown(before)})})


def _span(name: str) -> str:
    return {
        DRAFT: "Not yet: as a draft, to try with Replay",
        AS_IT_IS: "As long as it does now",
        "for good": "For good",
    }.get(name, f"For {name}")
