"""ContentFilter: each server's rules as rows, and their matchers in memory, never older than a second."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from limner.bot.filters.matcher import Match, Matcher
from limner.bot.filters.rulebook import RuleBook, entry_of
from limner.bot.filters.rules import Rule
from limner.bot.filters.verdicts import Verdict, judge
from limner.bot.guild_settings import EVERYWHERE, Guilds, GuildSettings
from limner.bot.place import Where
from limner.bot.storage.db import Database
from limner.bot.storage.models import Rule as Row

NEGATIVE = "negative prompt"
"""The field whose words are not wanted; it has a policy of its own."""


@dataclass(frozen=True)
class Explanation:
    """What would happen to a text, each match with its disguise, and the rules that an allowed text kept away."""

    verdict: Verdict
    matches: Sequence[Match]
    freed: Sequence[Rule]


@dataclass(frozen=True)
class _Loaded:
    matcher: Matcher
    rules: Sequence[Rule]
    allow: Sequence[Rule]
    revision: int


class ContentFilter(RuleBook):
    """What may be drawn in each server.

    A check costs microseconds. A changed rule counts at once in the process that changed it, in a second elsewhere.
    """

    def __init__(self, database: Database, guilds: Guilds) -> None:
        super().__init__(database, guilds)
        self._loaded: dict[int, _Loaded] = {}
        self._loading: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def check(self, where: Where, texts: Mapping[str, str], pardoned: Collection[int] = ()) -> Verdict:
        """Look at the texts of a request by the names of their fields: idea, style, negative prompt, expansion ...

        In a direct message only the operator's rules hold. A flag where no review channel is set is a block. Rules
        that moderators ``pardoned`` for this request do not count.
        """
        guilds = _guilds(where)
        settings = await self._refresh(guilds)
        every = [self._loaded[guild].matcher for guild in guilds]
        wary = [self._loaded[guild].matcher for guild in guilds if settings[guild].checks_negative_prompts]
        matchers = {name: wary if name == NEGATIVE else every for name in texts}
        flags_block = settings[guilds[0]].review_channel_id is None
        return judge(texts, matchers, where.place(), flags_block=flags_block, pardoned=pardoned)

    async def matches(self, where: Where, text: str) -> list[Match]:
        """Every rule that matches a text there, and how."""
        guilds, place = _guilds(where), where.place()
        await self._refresh(guilds)
        return [match for guild in guilds for match in self._loaded[guild].matcher.matches(text, place)]

    async def explain(self, where: Where, text: str) -> Explanation:
        """Everything that rules find in an idea, for moderators."""
        verdict, matches = await self.check(where, {"idea": text}), await self.matches(where, text)
        loaded, place = [self._loaded[guild] for guild in _guilds(where)], where.place()
        strict = [await asyncio.to_thread(Matcher, one.rules) for one in loaded if one.allow]
        found = {match.rule: None for matcher in strict for match in matcher.matches(text, place)}
        return Explanation(verdict, matches, [rule for rule in found if rule not in {match.rule for match in matches}])

    async def matcher(self, guild_id: int) -> Matcher:
        """The rules of one server alone (0: the operator's), ready to be used."""
        await self._refresh([guild_id])
        return self._loaded[guild_id].matcher

    async def alone(self, guild_id: int, row: Row) -> Matcher:
        """One rule, whether it is on or not, with all that is allowed in its server."""
        await self._refresh([guild_id])
        return Matcher(entry_of(row).rules(str(row.id), guild_id), self._loaded[guild_id].allow)

    async def _refresh(self, guilds: Sequence[int]) -> dict[int, GuildSettings]:
        known = await self._guilds.look(guilds)
        while changed := [guild for guild in guilds if self._revision(guild) != known[guild].revision]:
            for guild in changed:
                async with self._loading[guild]:  # whoever asks meanwhile waits for what is being made
                    if self._revision(guild) != known[guild].revision:
                        self._loaded[guild] = await self._load(guild, known[guild].revision)
            known = await self._guilds.look(guilds)
        return {guild: known[guild].settings for guild in guilds}

    def _revision(self, guild: int) -> int | None:
        return self._loaded[guild].revision if guild in self._loaded else None

    async def _load(self, guild: int, revision: int) -> _Loaded:
        return await asyncio.to_thread(_made, guild, await self.all(guild), revision)


def _made(guild: int, rows: Sequence[Row], revision: int) -> _Loaded:
    """What a server's rules are in memory; thousands take a second."""
    on = [row for row in rows if row.is_on]
    rules = [rule for row in on if not row.is_allow for rule in entry_of(row).rules(str(row.id), guild)]
    allow = [rule for row in on if row.is_allow for rule in entry_of(row).rules(str(row.id), guild)]
    return _Loaded(Matcher(rules, allow), rules, allow, revision)


def _guilds(where: Where) -> list[int]:
    """Whose rules hold: the server's before the operator's."""
    return [where.guild_id, EVERYWHERE] if where.guild_id else [EVERYWHERE]
