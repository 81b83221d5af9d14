"""/filter: what may not be drawn in a server, for its moderators. Every answer is private."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.cogs.base import LimnerCog, tell
from bot.filters.rules import MAX_PATTERN, Rule
from bot.filters.store import EVERYWHERE, Page

Interaction = discord.Interaction[Any]
Choice = app_commands.Choice[str]

SHOWN_MATCHES = 10


class Filters(LimnerCog, name="Limner filters"):
    """Words and phrases that are not painted here."""

    group = app_commands.Group(
        name="filter",
        description="Words and phrases that are not painted in this server",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command()
    @app_commands.describe(
        text="A word or phrase; only whole words match, unless a * at its start or end says otherwise"
    )
    async def add(self, interaction: Interaction, text: app_commands.Range[str, 1, MAX_PATTERN]) -> None:
        """Forbid a word or phrase in this server."""
        rule = await self.app.filters.add(_guild(interaction), text, interaction.user.id)
        await tell(interaction, f"Rule {_shown(rule)} is added; it holds from now on, also for requests that wait.")

    @group.command()
    @app_commands.describe(text="The word or phrase of the rule")
    async def remove(self, interaction: Interaction, text: str) -> None:
        """Allow a word or phrase again in this server."""
        rule = await self.app.filters.remove(_guild(interaction), text, interaction.user.id)
        await tell(interaction, f"Rule {_shown(rule)} is removed.")

    @remove.autocomplete("text")
    async def _find_rule(self, interaction: Interaction, typed: str) -> list[Choice]:
        found = await self.app.filters.search(_guild(interaction), typed)
        return [app_commands.Choice(name=rule.pattern, value=rule.pattern) for rule in found]

    @group.command(name="list")
    @app_commands.describe(page="Which page, with 25 rules on each")
    async def list_rules(self, interaction: Interaction, page: app_commands.Range[int, 1, 100_000] = 1) -> None:
        """Show the rules of this server."""
        found = await self.app.filters.page(_guild(interaction), page)
        if not found.total:
            await tell(interaction, "This server has no rules yet; add one with /filter add.")
            return
        await tell(interaction, "", embed=_listed(found))

    @group.command()
    @app_commands.describe(text="What somebody might ask for")
    async def test(self, interaction: Interaction, text: str) -> None:
        """Tell what would happen to a text, without painting anything."""
        matches = await self.app.filters.matches(_guild(interaction), text)
        rules = dict.fromkeys(match.rule for match in matches)
        if not rules:
            await tell(interaction, "That text is allowed here; no rule matches it.")
            return
        shown = ", ".join(_shown(rule) for rule in [*rules][:SHOWN_MATCHES])
        more = f" and {len(rules) - SHOWN_MATCHES} more" if len(rules) > SHOWN_MATCHES else ""
        await tell(interaction, f"That text would be refused. Rules that match it: {shown}{more}.")


def _guild(interaction: Interaction) -> int:
    if interaction.guild_id is None:
        raise app_commands.NoPrivateMessage
    return interaction.guild_id


def _shown(rule: Rule) -> str:
    """A rule's number and, if it is the server's own, its words; in code they neither format nor mention anything."""
    if rule.guild_id == EVERYWHERE:
        return f"{rule.id} (of this bot's operator)"
    return f"{rule.id} `` {rule.pattern.replace('`', 'ˋ')} ``"


def _listed(page: Page) -> discord.Embed:
    rules = "one rule" if page.total == 1 else f"{page.total} rules"
    embed = discord.Embed(title=f"This server has {rules}", description="\n".join(map(_shown, page.rules)))
    return embed.set_footer(text=f"Page {page.number} of {page.pages}; /filter list page: shows another")
