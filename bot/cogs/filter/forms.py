"""Moderators' forms for a rule and for its places; the right is checked again when a form is sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Set
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.cards import show
from limner.bot.filters.regex.regexes import MAX_LENGTH
from limner.bot.filters.rulebook.entries import MAX_REASON, PACK
from limner.bot.filters.rulebook.rows import entry_of
from limner.bot.filters.rules import RuleAction, RuleKind
from limner.bot.filters.scopes import SETS, Ages, Scope
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.translation import N_, _
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.form import Field, Form
from limner.bot.ui.interactions import bound_roles, moderated

Interaction = discord.Interaction[Any]
Option = discord.SelectOption

CHOSEN = 25
"""Most channels or roles in one select."""
STRICT = "strict"
KINDS = {
    RuleKind.WORD: N_("A word, a phrase, or a wildcard such as cat*"),
    STRICT: N_("The same, also glued to other words or split into several"),
    RuleKind.REGEX: N_("A regular expression, as in AutoMod"),
    "allow": N_("Allow this text even if other rules match it"),
}
PACK_KINDS = {RuleKind.WORD: N_("A list of words"), STRICT: KINDS[STRICT]}
SPANS = {"for good": None, "one hour": 3600, "one day": 86400, "one week": 7 * 86400, "30 days": 30 * 86400}
"""Seconds that a rule counts, by the value of the choice."""
AGES = {
    Ages.ANY: N_("All channels"),
    Ages.ONLY: N_("Only age-restricted ones"),
    Ages.EXCEPT: N_("All but age-restricted ones"),
}
DRAFT, AS_IT_IS = "draft", "as it is"
SPAN_LABELS = {
    DRAFT: N_("Not yet: as a draft, to try with Replay"),
    AS_IT_IS: N_("As long as it does now"),
    "for good": N_("For good"),
    "one hour": N_("For one hour"),
    "one day": N_("For one day"),
    "one week": N_("For one week"),
    "30 days": N_("For 30 days"),
}
BEYOND = N_("{number} more stay as they are; there is no room for them here until some of these are taken out.")


class RuleForm(Form, kind="rule"):
    """A rule's text, action and expiry; for a pack all but the text."""

    def __init__(self, guild_id: int, rule: RuleRow | None) -> None:
        super().__init__(_("Rule {rule}", rule=rule.id) if rule else _("A new rule"))
        self._guild_id = guild_id
        self._rule = rule
        self._is_pack = rule is not None and rule.kind == PACK
        if not self._is_pack:
            text = discord.ui.TextInput[Any](max_length=MAX_LENGTH, default=rule.pattern if rule else None)
            self.ask("text", _("Text"), text)
        self.ask("kind", _("It is"), select(PACK_KINDS if self._is_pack else KINDS, _kind(rule)))
        action = select(texts.ACTIONS, rule.action if rule else RuleAction.BLOCK)
        self.ask("action", _("When a request has it"), action)
        words = (rule.replacement or rule.reason) if rule else ""
        field = discord.ui.TextInput[Any](required=False, max_length=MAX_REASON, default=words)
        self.ask("told", _("Reason for the member, or the new text"), field)
        ask_span(self, rule)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For moderators: the form of a rule of their server, or of a new one."""
        guild_id = await moderated(interaction, app)
        return cls(guild_id, await app.filters.get(guild_id, subject) if subject else None)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save the rule and show its card."""
        text = {} if self._is_pack else {"pattern": self.text("text")}
        await save(interaction, app, self._guild_id, self._rule, text | self._values())

    def _values(self) -> dict[str, Any]:
        [action] = self.chosen("action")
        words, is_replaced = " ".join(self.text("told").split()), action == RuleAction.REPLACE
        values: dict[str, Any] = {
            "action": RuleAction(action),
            "reason": "" if is_replaced else words,
            "replacement": words if is_replaced else "",
        }
        [kind] = self.chosen("kind")
        values["is_strict"] = kind == STRICT
        if not self._is_pack:
            kind = RuleKind.WORD if kind == STRICT else kind
            values |= {"kind": RuleKind.WORD if kind == "allow" else RuleKind(kind), "is_allow": kind == "allow"}
        return values | asked_until(self)


class PlaceForm(Form, kind="where"):
    """The channels and roles for which a rule counts."""

    def __init__(self, rule: RuleRow) -> None:
        super().__init__(_("Where rule {rule} counts", rule=rule.id))
        self._rule = rule
        self._before = scope = entry_of(rule).scope
        self._ask("exempt_channels", _("Not in these channels and categories"), _channels(scope.exempt_channels))
        self._ask("exempt_roles", _("Not for these roles"), _roles(scope.exempt_roles))
        self._ask("only_channels", _("Only in these channels and categories"), _channels(scope.only_channels))
        self._ask("only_roles", _("Only for these roles"), _roles(scope.only_roles))
        self.ask("ages", _("Age restriction"), select(AGES, scope.ages))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For moderators: the form of a rule of their server."""
        return cls(await app.filters.get(await moderated(interaction, app), subject))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save where the rule counts; only members with Manage Server may exempt themselves."""
        sets = {name: _chosen(self.chosen(name), getattr(self._before, name)) for name in SETS}
        scope = Scope(**sets, ages=Ages(self.chosen("ages")[0]))
        guild_id, number, by, bound = self._rule.guild_id, self._rule.id, interaction.user.id, bound_roles(interaction)
        rule = await app.filters.edit(guild_id, number, by, "exempt", bound=bound, scope=scope)
        await show(interaction, app, rule)

    def _ask(self, name: str, label: str, field: Field) -> None:
        ids = getattr(self._before, name)
        beyond = len(ids) - len(_shown(ids))
        self.ask(name, label, field, _(BEYOND, number=beyond) if beyond else None)


async def save(
    interaction: Interaction, app: App, guild_id: int, rule: RuleRow | None, values: Mapping[str, Any]
) -> None:
    """Change a rule, or add one, and show its card."""
    by, bound = interaction.user.id, bound_roles(interaction)
    if rule is None:
        saved = await app.filters.add(guild_id, by=by, bound=bound, **values)
    else:
        saved = await app.filters.edit(guild_id, rule.id, by, bound=bound, **values)
    await show(interaction, app, saved)


def ask_span(form: Form, rule: RuleRow | None) -> None:
    """Ask how long a rule counts."""
    is_kept = rule is not None and rule.expires_at is not None
    spans = [*([AS_IT_IS] if is_kept else []), *SPANS, *([] if rule else [DRAFT])]
    form.ask("span", _("It counts"), select({span: SPAN_LABELS[span] for span in spans}, spans[0]))


def asked_until(form: Form) -> dict[str, Any]:
    """The columns of a rule that follow from the answer."""
    [span] = form.chosen("span")
    if span == DRAFT:
        return {"is_on": False}
    if span == AS_IT_IS:
        return {}
    seconds = SPANS[span]
    return {"expires_at": None if seconds is None else time.time() + seconds}


def _kind(rule: RuleRow | None) -> str:
    """The form's kind of a rule."""
    if rule is None:
        return RuleKind.WORD
    if rule.is_allow or rule.is_strict:
        return "allow" if rule.is_allow else STRICT
    return RuleKind.REGEX if rule.kind == RuleKind.REGEX else RuleKind.WORD


def select(choices: Mapping[Any, str], chosen: str) -> discord.ui.Select[Any]:
    """A select of one of several values with their labels."""
    options = [Option(label=_(text), value=str(value), default=value == chosen) for value, text in choices.items()]
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
    """The ids that fit into a select."""
    return sorted(ids)[:CHOSEN]


def _chosen(ids: Iterable[str], before: Set[str]) -> frozenset[str]:
    """The selected ids, and those that did not fit into the select."""
    return frozenset({*ids, *(before - {*_shown(before)})})
