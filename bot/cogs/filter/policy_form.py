"""Moderators' form for a rule about what requests mean."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.cogs.filter.forms import ask_span, asked_until, save, select
from limner.bot.filters.policies import NAMES, USUAL
from limner.bot.filters.rulebook.entries import MAX_REASON
from limner.bot.filters.rules import RuleAction, RuleKind
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.translation import N_, _
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.form import Form
from limner.bot.ui.interactions import moderated

Interaction = discord.Interaction[Any]

PERCENTAGES = {
    "50": N_("50 %: finds most, and many harmless requests"),
    "60": N_("60 %"),
    "70": N_("70 %: the usual choice"),
    "80": N_("80 %"),
    "90": N_("90 %: finds only what is plain"),
}
ACTIONS = {action: text for action, text in texts.ACTIONS.items() if action != RuleAction.REPLACE}


class PolicyForm(Form, kind="policy"):
    """A policy, how sure the text classifier must be, what happens, and until when."""

    def __init__(self, guild_id: int, rule: RuleRow | None) -> None:
        super().__init__(_("Rule {rule}", rule=rule.id) if rule else _("A new rule about what requests mean"))
        self._guild_id = guild_id
        self._rule = rule
        policy, percent = rule.pattern.split() if rule else ("violence", str(USUAL))
        self.ask("policy", _("Requests about"), select(NAMES, policy))
        percentages = PERCENTAGES if percent in PERCENTAGES else {percent: f"{percent} %", **PERCENTAGES}
        self.ask("percent", _("How sure the text classifier must be"), select(percentages, percent))
        self.ask("action", _("What happens"), select(ACTIONS, rule.action if rule else RuleAction.FLAG))
        reason = discord.ui.TextInput[Any](required=False, max_length=MAX_REASON, default=rule.reason if rule else "")
        self.ask("told", _("Reason for the member"), reason)
        ask_span(self, rule)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For moderators: the form of a rule of their server, or of a new one."""
        guild_id = await moderated(interaction, app)
        return cls(guild_id, await app.filters.get(guild_id, subject) if subject else None)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Save the rule and show its card."""
        [policy], [percent], [action] = (self.chosen(name) for name in ("policy", "percent", "action"))
        values = {
            "pattern": f"{policy} {percent}",
            "kind": RuleKind.POLICY,
            "action": RuleAction(action),
            "reason": " ".join(self.text("told").split()),
            **asked_until(self),
        }
        await save(interaction, app, self._guild_id, self._rule, values)
