"""A rule's card with its buttons, and the list of all rules by page."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.errors import BadRule
from limner.bot.filters.content_filter import FREED
from limner.bot.filters.disguises.strict import splits
from limner.bot.filters.policies import has_text_classifier
from limner.bot.filters.rulebook.reads import Page
from limner.bot.filters.rulebook.rows import entry_of
from limner.bot.filters.rules import RuleAction, RuleKind
from limner.bot.limits import CHOICE, DESCRIPTION, REST, cut, fit, some
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.translation import N_, _, ngettext
from limner.bot.ui import rule_texts as texts
from limner.bot.ui.controls import NUMBER, ForModerators
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.form import open_form
from limner.bot.ui.interactions import SILENT, bound_roles, tell
from limner.bot.ui.job.job_messages import plain

Interaction = discord.Interaction[Any]

SEARCH_LENGTH = 60
"""Most characters of a search; a button's custom_id carries them."""
REPLAYED = 5000
"""Requests that a replay checks."""
REPLAYED_BY_MEANING = 300
"""The same for a rule about a policy: reading a request takes some milliseconds."""
SHOWN = 10
IDEA_LENGTH = 120
LOOKS = {
    "on": (N_("Switch on"), discord.ButtonStyle.success),
    "off": (N_("Switch off"), discord.ButtonStyle.secondary),
    "edit": (N_("Edit"), discord.ButtonStyle.secondary),
    "where": (N_("Where"), discord.ButtonStyle.secondary),
    "replay": (N_("Replay"), discord.ButtonStyle.primary),
    "remove": (N_("Remove"), discord.ButtonStyle.danger),
    "discard": (N_("Discard"), discord.ButtonStyle.danger),
}
NO_RULES = N_("This server has no rules yet; add one with /filter add, or switch on some of /filter packs.")
NONE_FOUND = N_("No rule of this server has that text.")
WOULD_STOP = N_("Rule {rule} would have stopped {number} of the last {all} requests")
WOULD_MATCH = N_("Rule {rule} would have matched {number} of the last {all} requests")
ALLOWS = N_("An allowed text stops nothing, so there is nothing to replay.")


class RuleButton(
    ForModerators[discord.ui.Button[Any]],
    template=rf"limner:rule:(?P<verb>{'|'.join(LOOKS)}):(?P<rule>{NUMBER})",
):
    """An action on one rule; survives restarts."""

    def __init__(self, verb: str, rule_id: int) -> None:
        label, style = LOOKS[verb]
        super().__init__(discord.ui.Button(label=_(label), style=style, custom_id=f"limner:rule:{verb}:{rule_id}"))
        self.verb = verb
        self.rule_id = rule_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["rule"]))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Carry out the button's action."""
        await _PRESSED[self.verb](interaction, app, await app.filters.get(guild_id, self.rule_id))


class ListButton(
    ForModerators[discord.ui.Button[Any]],
    template=r"limner:rules:page:(?P<number>[0-9]{1,9}):(?P<search>(?s:.*))",
):
    """Turns a page of the list (of a search)."""

    def __init__(self, label: str, number: int, search: str) -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"limner:rules:page:{number}:{search}"))
        self.number = number
        self.search = search

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls("", int(match["number"]), match["search"])

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Replace the shown page."""
        page = await app.filters.page(guild_id, self.number, self.search)
        await interaction.response.edit_message(embed=_listed(page), view=_list_view(page, self.search))


class ListSelect(ForModerators[discord.ui.Select[Any]], template=r"limner:rules:open"):
    """Opens one of the rules on a page."""

    @classmethod
    def of(cls, rules: list[RuleRow]) -> Self:
        """A choice among the rules of a page."""
        options = [
            discord.SelectOption(label=cut(f"{rule.id} {rule.pattern}", CHOICE), value=str(rule.id)) for rule in rules
        ]
        return cls(discord.ui.Select(custom_id="limner:rules:open", placeholder=_("Open a rule"), options=options))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Show the rule on its card."""
        await show(interaction, app, await app.filters.get(guild_id, int(self.item.values[0])))


async def show(interaction: Interaction, app: App, rule: RuleRow) -> None:
    """Show a rule's card with its actions and warnings."""
    notes = await _notes(app, rule)
    await tell(interaction, "", embed=texts.card(rule, notes), view=_card_view(rule))


async def show_list(interaction: Interaction, app: App, guild_id: int, search: str) -> None:
    """The first page of a server's rules."""
    page = await app.filters.page(guild_id, 1, search)
    if not page.total:
        await tell(interaction, _(NONE_FOUND) if search else _(NO_RULES))
    else:
        await tell(interaction, "", embed=_listed(page), view=_list_view(page, search))


async def show_replay(interaction: Interaction, app: App, rule: RuleRow) -> None:
    """Show which of the last requests a rule would have matched, before it is switched on."""
    if rule.is_allow:
        raise BadRule(_(ALLOWS))
    await interaction.response.defer(ephemeral=True, thinking=True)
    most = REPLAYED_BY_MEANING if rule.kind == RuleKind.POLICY else REPLAYED
    asked = await app.history.of_guild(rule.guild_id, most)
    matched = await app.filters.replay(rule, [(one.where, (one.idea, one.prompt)) for one in asked])
    stopped = [asked[number] for number in matched]
    would = WOULD_STOP if rule.action == RuleAction.BLOCK else WOULD_MATCH
    heading = _(would, rule=rule.id, number=len(stopped), all=len(asked))
    lines = [f"**{one.id}** <@{one.user_id}> {plain(one.idea, IDEA_LENGTH)}" for one in stopped[:SHOWN]]
    more = [_(REST, number=len(stopped) - SHOWN)] if len(stopped) > SHOWN else []
    embed = make_embed(heading, fit([*lines, *more], DESCRIPTION))
    await tell(interaction, "", embed=embed, view=_card_view(rule))


async def remove(interaction: Interaction, app: App, rule: RuleRow) -> None:
    """Remove a rule."""
    await app.filters.remove(rule.guild_id, rule.id, interaction.user.id)
    await tell(
        interaction,
        _(
            "Rule {rule} {subject} is removed; /filter log can bring it back.",
            rule=rule.id,
            subject=texts.subject(rule),
        ),
    )


async def _switch(interaction: Interaction, app: App, rule: RuleRow) -> None:
    bound = bound_roles(interaction)
    changed = await app.filters.edit(rule.guild_id, rule.id, interaction.user.id, bound=bound, is_on=not rule.is_on)
    notes = await _notes(app, changed)
    await interaction.response.edit_message(
        content="", embed=texts.card(changed, notes), view=_card_view(changed), allowed_mentions=SILENT
    )


async def edit(interaction: Interaction, app: App, rule: RuleRow) -> None:
    """Open the form of a rule."""
    await open_form(interaction, app, "policy" if rule.kind == RuleKind.POLICY else "rule", rule.id)


async def _where(interaction: Interaction, app: App, rule: RuleRow) -> None:
    await open_form(interaction, app, "where", rule.id)


_PRESSED: dict[str, Callable[[Interaction, App, RuleRow], Awaitable[None]]] = {
    "on": _switch,
    "off": _switch,
    "edit": edit,
    "where": _where,
    "replay": show_replay,
    "remove": remove,
    "discard": remove,
}


async def _notes(app: App, rule: RuleRow) -> list[str]:
    """Warnings about a rule."""
    notes: list[str] = []
    for twin in await app.filters.twins(rule):
        text = texts.ALLOW_WINS if rule.is_allow else texts.IS_ALLOWED if twin.is_allow else texts.TWICE
        notes.append(_(text, id=twin.id))
    if not notes and await app.filters.is_freed(rule):
        notes.append(_(FREED))
    if rule.is_strict:
        pairs = [pair for one in entry_of(rule).rules("") for pair in splits(one.keyword)]
        notes += [_(texts.SPLIT, words=some([*map(texts.code, pairs)], SHOWN))] * bool(pairs)
    settings = await app.guilds.get(rule.guild_id)
    if rule.action == RuleAction.FLAG and not rule.is_allow and settings.review_channel_id is None:
        notes.append(_(texts.FLAG_WITHOUT_CHANNEL))
    if rule.kind == RuleKind.POLICY and not has_text_classifier(app.settings):
        notes.append(_(texts.NO_CLASSIFIER))
    return notes


def _card_view(rule: RuleRow) -> discord.ui.View:
    verbs = ["off" if rule.is_on else "on", "edit", "where", "replay", "remove" if rule.is_on else "discard"]
    return view(RuleButton(verb, rule.id) for verb in verbs if not (rule.is_allow and verb == "replay"))


def view(items: Any) -> discord.ui.View:
    """Buttons and selects of a message."""
    made = discord.ui.View(timeout=None)
    for item in items:
        made.add_item(item)
    return made


def _listed(page: Page) -> discord.Embed:
    lines = fit(list(map(texts.line, page.rules)), DESCRIPTION)
    return make_embed(
        ngettext("This server has one rule", "This server has {number} rules", page.total),
        lines,
        footer=_("Page {number} of {pages}", number=page.number, pages=page.pages),
    )


def _list_view(page: Page, search: str) -> discord.ui.View:
    items: list[Any] = [ListSelect.of(list(page.rules))]
    if page.number > 1:
        items.append(ListButton(_("Previous"), page.number - 1, search))
    if page.number < page.pages:
        items.append(ListButton(_("Next"), page.number + 1, search))
    return view(items)
