"""/filter: a server's content rules, for its moderators. Every answer is private."""

from __future__ import annotations

import re
from typing import Any

import discord
from discord import app_commands

from limner.bot.cogs.filter import cards, files, log, settings
from limner.bot.cogs.filter.cards import ListButton, ListSelect, RuleButton
from limner.bot.cogs.filter.files import ImportButton
from limner.bot.cogs.filter.log import LogButton, UndoButton, UndoSelect
from limner.bot.cogs.filter.settings import LanguageSelect, NegativeSelect, PackSelect, ReviewChannelSelect, RolesSelect
from limner.bot.errors import BadRule, UserError
from limner.bot.filters.content_filter import Explanation
from limner.bot.filters.rulebook.reads import GONE
from limner.bot.filters.rules import Rule, RuleAction
from limner.bot.guild_settings import EVERYWHERE
from limner.bot.place import Where
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.translation import N_, _
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.form import open_form
from limner.bot.ui.interactions import moderated, tell, where
from limner.bot.ui.listing import with_file
from limner.bot.ui.suggestions import choices, few_at_once

Interaction = discord.Interaction[Any]
Choice = app_commands.Choice[str]

ITEMS = (
    RuleButton,
    ListButton,
    ListSelect,
    LogButton,
    UndoSelect,
    UndoButton,
    ImportButton,
    LanguageSelect,
    PackSelect,
    RolesSelect,
    ReviewChannelSelect,
    NegativeSelect,
)
"""Buttons and selects that survive restarts."""
RULE = "The number of a rule; type some of its text to find it"
HAPPENS = {
    None: N_("That text is allowed here; no rule matches it."),
    RuleAction.BLOCK: N_("A request with that text would be refused."),
    RuleAction.FLAG: N_("A request with that text would wait for a moderator."),
    RuleAction.REPLACE: N_("A request with that text would be changed."),
    RuleAction.SPOILER: N_("The pictures for that text would be posted hidden."),
    RuleAction.LOG: N_("That text is allowed here; the log of the filter would say that it matched."),
}
TOO_COSTLY = N_("That text takes too long to check here, so a request with it would be refused.")
COSTLIEST = N_("Rule {rule} takes most of the time.")


class Filters(LimnerCog, name="Limner filters"):
    """What is not painted here."""

    group = app_commands.Group(
        name="filter",
        description="What must not be painted in this server",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command()
    async def add(self, interaction: Interaction) -> None:
        """Forbid or allow a word, a phrase, a wildcard or a regex."""
        await open_form(interaction, self.app, "rule")

    @group.command()
    async def policy(self, interaction: Interaction) -> None:
        """Hold or refuse requests by what they mean, in any words: violence, hate, children ..."""
        await open_form(interaction, self.app, "policy")

    @group.command()
    @app_commands.describe(rule=RULE)
    async def edit(self, interaction: Interaction, rule: str) -> None:
        """Change what a rule looks for, and what it does."""
        await cards.edit(interaction, self.app, await self._rule(interaction, rule))

    @group.command()
    @app_commands.describe(rule=RULE)
    async def exempt(self, interaction: Interaction, rule: str) -> None:
        """Choose the channels and roles for which a rule counts."""
        await open_form(interaction, self.app, "where", (await self._rule(interaction, rule)).id)

    @group.command()
    @app_commands.describe(rule=RULE)
    async def remove(self, interaction: Interaction, rule: str) -> None:
        """Take a rule away."""
        await cards.remove(interaction, self.app, await self._rule(interaction, rule))

    @group.command(name="list")
    @app_commands.describe(search="Only rules with this text")
    async def list_rules(
        self, interaction: Interaction, search: app_commands.Range[str, 1, cards.SEARCH_LENGTH] = ""
    ) -> None:
        """Show the rules of this server."""
        await cards.show_list(interaction, self.app, await moderated(interaction, self.app), search)

    @group.command()
    async def packs(self, interaction: Interaction) -> None:
        """Switch lists of words on and off, by language."""
        await settings.show_packs(interaction, self.app, await moderated(interaction, self.app))

    @group.command(name="import")
    @app_commands.describe(file="An export, a word list or a table (.csv); without it, this server's AutoMod rules")
    async def import_rules(self, interaction: Interaction, file: discord.Attachment | None = None) -> None:
        """Add the rules of a file, or of this server's AutoMod."""
        await files.bring_in(interaction, self.app, await moderated(interaction, self.app), file)

    @group.command()
    async def export(self, interaction: Interaction) -> None:
        """Get all rules of this server as a file."""
        await files.send_out(interaction, self.app, await moderated(interaction, self.app))

    @group.command()
    @app_commands.describe(text="What somebody might ask for")
    async def test(self, interaction: Interaction, text: str) -> None:
        """Tell what would happen to a text in this channel, without painting anything."""
        await moderated(interaction, self.app)
        await interaction.response.defer(ephemeral=True, thinking=True)  # thousands of rules are compiled again
        here = where(interaction)
        member = Where(here.guild_id, here.channel_id, here.parent_ids, (), here.is_age_restricted)
        answer, files = _explained(text, await self.app.filters.explain(member, text))
        await tell(interaction, answer, files=files)

    @group.command()
    @app_commands.describe(rule=RULE)
    async def replay(self, interaction: Interaction, rule: str) -> None:
        """Tell which of the last requests a rule would have matched."""
        await cards.show_replay(interaction, self.app, await self._rule(interaction, rule))

    @group.command()
    async def settings(self, interaction: Interaction) -> None:
        """Choose the moderators' roles, the review channel, and whether negative prompts obey the rules."""
        await settings.show_settings(interaction, self.app, await moderated(interaction, self.app))

    @group.command()
    async def log(self, interaction: Interaction) -> None:
        """Show who changed what when, and undo it."""
        await log.show(interaction, self.app, await moderated(interaction, self.app))

    @edit.autocomplete("rule")
    @exempt.autocomplete("rule")
    @remove.autocomplete("rule")
    @replay.autocomplete("rule")
    @few_at_once
    async def _find_rule(self, interaction: Interaction, typed: str) -> list[Choice]:
        try:
            found = await self.app.filters.search(await moderated(interaction, self.app), typed)
        except UserError:
            return []
        return choices((f"{row.id} {row.pattern}", str(row.id)) for row in found)

    async def _rule(self, interaction: Interaction, typed: str) -> RuleRow:
        guild_id = await moderated(interaction, self.app)
        if not re.fullmatch(r"[0-9]{1,18}", typed):
            raise BadRule(_(GONE))
        return await self.app.filters.get(guild_id, int(typed))


def _explained(text: str, explained: Explanation) -> tuple[str, list[discord.File]]:
    """What would happen to a text, and each rule that matches it."""
    verdict = explained.verdict
    refusal = verdict.refusal
    is_for_cost = refusal is not None and refusal.is_for_cost
    head = [_(TOO_COSTLY) if is_for_cost else _(HAPPENS[verdict.action])]
    head += [_(COSTLIEST, rule=refusal.rule_id)] if refusal and is_for_cost and refusal.rule_id else []
    if verdict.action == RuleAction.REPLACE:
        head.append(_("It would be: {text}", text=texts.code(verdict.texts["idea"])))
    found = {match.rule: match for match in reversed(explained.matches)}
    meant = [
        _(
            "Rule {rule}: {action}; {found}",
            rule=_named(one.rule),
            action=texts.action(one.rule.action),
            found=texts.policy_found(one.to_json()),
        )
        for one in verdict.findings
    ]
    lines = [
        _(
            "Rule {rule}: {action}; {found}",
            rule=_named(match.rule),
            action=texts.action(match.rule.action),
            found=texts.how(text, match),
        )
        for match in reversed(found.values())
    ]
    lines += meant
    lines += [_("Freed by the allow list: rule {rule}", rule=_named(rule)) for rule in explained.freed]
    return with_file(head, lines, "matches.txt")


def _named(rule: Rule) -> str:
    """A rule's number and, for the server's own rules, its text as inline code."""
    return (
        _("{rule} (of this bot's operator)", rule=rule.id)
        if rule.guild_id == EVERYWHERE
        else f"{rule.id} {texts.code(rule.pattern)}"
    )
