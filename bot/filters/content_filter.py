"""Content filter: each server's rules, with matchers in memory that are at most a second old."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from limner.bot.errors import BadRule
from limner.bot.filters.costs import Ledger
from limner.bot.filters.disguises.respelled import A_CHARACTER, is_respelled
from limner.bot.filters.fair_thread import FairThread
from limner.bot.filters.floor import with_floor
from limner.bot.filters.matcher import Match, Matcher
from limner.bot.filters.policies import PolicyReader, PolicyRule, with_policies
from limner.bot.filters.rulebook.entries import Entry
from limner.bot.filters.rulebook.files import Item
from limner.bot.filters.rulebook.rows import entry_from, entry_of
from limner.bot.filters.rulebook.rulebook import RuleBook
from limner.bot.filters.rules import Rule
from limner.bot.filters.trials import Allowed
from limner.bot.filters.verdicts import MODEL, Verdict, judge
from limner.bot.filters.work import TooCostly, Work
from limner.bot.guild_settings import EVERYWHERE, Guilds, GuildSettings
from limner.bot.place import Place, Where
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.translation import N_, _

log = logging.getLogger(__name__)


NEGATIVE = N_("negative prompt")
"""The field of the negative prompt, which has a policy of its own."""
REPLAYED_TOGETHER = 20
"""Texts that a replay checks before other checks get their turn."""
MOST_LOADED = 200_000
"""Most rules in memory, about a gigabyte; the server used least recently is unloaded first."""
FREED = N_("An allowed text frees what this rule looks for, so it stops nothing where both count.")


@dataclass(frozen=True)
class Explanation:
    """What would happen to a text: each match with its disguise, and the rules that allowed texts cancel."""

    verdict: Verdict
    matches: Sequence[Match]
    freed: Sequence[Rule]


@dataclass(frozen=True)
class _Loaded:
    matcher: Matcher
    allow: Sequence[Rule]
    policies: Sequence[PolicyRule]
    revision: int
    #: The number of its rules.
    size: int


class ContentFilter(RuleBook):
    """The rules of all servers.

    A check takes microseconds, in a thread that serves the servers in turn; a text that takes too many steps is
    refused. A changed rule counts at once in its process, within a second elsewhere.
    """

    def __init__(self, database: Database, guilds: Guilds, policies: PolicyReader) -> None:
        super().__init__(database, guilds)
        self._policies = policies
        self._loaded: dict[int, _Loaded] = {}
        self._loading: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._checks = FairThread("filter-checks")

    def close(self) -> None:
        """Let the threads end."""
        self._checks.close()
        self.builds.close()

    async def check(
        self,
        where: Where,
        texts: Mapping[str, str],
        pardoned: Collection[int] = (),
        *,
        paints_negative: bool = False,
        reads_meaning: bool = False,
    ) -> Verdict:
        """Check the texts of a request by field: idea, style, negative prompt, expansion ...

        In a direct message only the operator's rules hold. A flag without a review channel is a block. ``pardoned``
        rules do not count for this request. Negative prompts are checked if the server's settings say so, or if they
        become a part of the prompt (``paints_negative``). What the floor finds is refused whatever the rules are. Rules
        about policies count only with ``reads_meaning``, because loading a classifier takes longer than a command may.
        """
        guilds = _guilds(where)
        settings = await self._refresh(guilds)
        every = [self._loaded[guild].matcher for guild in guilds]
        wary = [
            self._loaded[guild].matcher
            for guild in guilds
            if paints_negative or guild == EVERYWHERE or settings[guild].checks_negative_prompts
        ]
        matchers = {name: wary if name == NEGATIVE else every for name in texts} | {MODEL: []}
        flags_block, place = settings[guilds[0]].review_channel_id is None, where.place()

        def look() -> Verdict:
            work = Work.of(texts.values(), is_beside_loop=True)
            verdict = judge(texts, matchers, place, flags_block=flags_block, pardoned=pardoned, work=work)
            return with_floor(verdict, texts, NEGATIVE, paints_negative=paints_negative)

        verdict = await self._checks.run(guilds[0], look)
        if verdict.refusal and verdict.refusal.is_for_cost:
            rule_id, field = verdict.refusal.rule_id, verdict.refusal.field
            log.warning("filter_gave_up guild=%s field=%s rule=%s", guilds[0], field, rule_id or "none")
        if verdict.refusal or not reads_meaning:
            return verdict
        policies = [one for guild in guilds for one in self._loaded[guild].policies if one.rule.holds(place)]
        counting = [one for one in policies if int(one.rule.id) not in pardoned]
        return with_policies(verdict, await self._policies.find(counting, texts), flags_block=flags_block)

    async def matches(self, where: Where, text: str) -> list[Match]:
        """Every match of a rule in a text there; as many as are found before the step limit."""
        return [match for match in await self._every(where, text) if not match.is_freed]

    async def explain(self, where: Where, text: str) -> Explanation:
        """All matches in an idea, for moderators."""
        verdict = await self.check(where, {"idea": text}, reads_meaning=True)
        every = await self._every(where, text)
        matches = [match for match in every if not match.is_freed]
        counting = {match.rule for match in matches}
        freed = dict.fromkeys(match.rule for match in every if match.is_freed and match.rule not in counting)
        return Explanation(verdict, matches, [*freed])

    async def is_respelled(self, where: Where, idea: str, refused: Iterable[tuple[Where, str]]) -> bool:
        """Whether an idea respells what rules forbid in one of the refused ideas.

        Raises TooCostly if the check takes too long.
        """
        for there, text in refused:
            forbidden = [(match.start, match.end) for match in await self.matches(there, text)]

            def compare(text: str = text, forbidden: Sequence[tuple[int, int]] = forbidden) -> bool:
                work = Work.of([idea, text], a_character=A_CHARACTER, is_beside_loop=True)
                return is_respelled(idea, text, forbidden, work)

            if await self._checks.run(_guilds(where)[0], compare):
                return True
        return False

    async def replay(self, row: RuleRow, asked: Sequence[tuple[Where, Sequence[str]]]) -> list[int]:
        """The requests, each with its texts, that a rule would match, whether it is on or not."""
        guild_id = row.guild_id
        await self._refresh([guild_id])
        if policy := entry_of(row).policy(str(row.id)):
            return [
                number
                for number, (_where, texts) in enumerate(asked)
                if await self._policies.find([policy], {str(field): text for field, text in enumerate(texts)})
            ]
        rules, server = entry_of(row).rules(str(row.id), guild_id), self._loaded[guild_id].matcher
        matcher = await self.builds.run(guild_id, lambda: Matcher(rules))
        numbered, found = [*enumerate(asked)], list[int]()
        for first in range(0, len(asked), REPLAYED_TOGETHER):
            some = numbered[first : first + REPLAYED_TOGETHER]
            found += await self._checks.run(guild_id, lambda some=some: _replayed(matcher, server, some))
        return found

    async def matcher(self, guild_id: int) -> Matcher:
        """The matcher of one server's own rules (0: the operator's)."""
        await self._refresh([guild_id])
        return self._loaded[guild_id].matcher

    async def _every(self, where: Where, text: str) -> list[Match]:
        guilds, place = _guilds(where), where.place()
        await self._refresh(guilds)
        matchers = [self._loaded[guild].matcher for guild in guilds]
        return await self._checks.run(guilds[0], lambda: _found(matchers, text, place))

    async def reviewed(self, guild_id: int, items: Sequence[Item]) -> list[Item]:
        """The entries of a file, without those that would cost too much beside the server's rules.

        Each rule that a text on the allow list, or on the file's, disables gets a note.
        """
        await self._refresh([guild_id])
        loaded = self._loaded[guild_id]
        brought = [rule for item in items if item.entry and item.entry.is_allow for rule in item.rules()]
        allowed, ledger = await self.builds.run(
            guild_id, lambda: (Allowed([*loaded.allow, *brought]), Ledger(loaded.matcher))
        )

        return await self.by_some(guild_id, (_reviewed(item, allowed, ledger) for item in items))

    async def check_costs(self, guild_id: int, entries: Sequence[Entry], without: int = 0) -> None:
        """Raise BadRule if new entries, beside the server's rules ``without`` one of them, would cost too much."""
        await self._refresh([guild_id])
        matcher = self._loaded[guild_id].matcher
        ledger = await self.builds.run(guild_id, lambda: Ledger(matcher, str(without)))

        def complaint(entry: Entry) -> str | None:
            return ledger.complaint(entry.rules("", guild_id)) if entry.is_on else None

        complaints = await self.by_some(guild_id, map(complaint, entries))
        for entry, sentence in zip(entries, complaints, strict=True):
            if sentence:
                raise BadRule(
                    sentence if len(entries) == 1 else _("{rule}: {problem}", rule=entry.pattern, problem=sentence)
                )

    async def is_freed(self, row: RuleRow) -> bool:
        """Whether the server's allowed texts cancel every match of a rule."""
        [item] = await self.reviewed(row.guild_id, [Item(str(row.id), entry_of(row))])
        return item.note == _(FREED)

    async def _refresh(self, guilds: Sequence[int]) -> dict[int, GuildSettings]:
        known = await self._guilds.look(guilds)
        while changed := [guild for guild in guilds if self._revision(guild) != known[guild].revision]:
            for guild in changed:
                async with self._loading[guild]:  # concurrent callers wait for the same result
                    if self._revision(guild) != known[guild].revision:
                        self._loaded[guild] = await self._load(guild, known[guild].revision)
                        self._forget_others(guilds)
            known = await self._guilds.look(guilds)
        return {guild: known[guild].settings for guild in guilds}

    def _forget_others(self, guilds: Sequence[int]) -> None:
        """Unload the least recently used rules beyond `MOST_LOADED`."""
        for guild in [guild for guild in self._loaded if guild not in (*guilds, EVERYWHERE)]:
            if sum(loaded.size for loaded in self._loaded.values()) <= MOST_LOADED:
                return
            del self._loaded[guild]

    def _revision(self, guild: int) -> int | None:
        return self._loaded[guild].revision if guild in self._loaded else None

    async def _load(self, guild: int, revision: int) -> _Loaded:
        found = await self.effective(guild)
        return await self.builds.run(guild, lambda: _made(guild, found, revision))


def _made(guild: int, found: Sequence[tuple[int, Mapping[str, Any]]], revision: int) -> _Loaded:
    """Compile a server's rules; thousands take a second."""
    entries = [(str(number), entry_from(values)) for number, values in found]
    rules = [rule for number, entry in entries if not entry.is_allow for rule in entry.rules(number, guild)]
    allow = [rule for number, entry in entries if entry.is_allow for rule in entry.rules(number, guild)]
    policies = [policy for number, entry in entries if (policy := entry.policy(number, guild))]
    return _Loaded(Matcher(rules, allow), allow, policies, revision, len(rules) + len(allow))


def _found(matchers: Iterable[Matcher], text: str, place: Place) -> list[Match]:
    """Every match in a text, cancelled ones included; as many as are found before the step limit."""
    work, found = Work.of([text], is_beside_loop=True), list[Match]()
    with suppress(TooCostly):
        for matcher in matchers:
            for match in matcher.every(text, place, work):
                found.append(match)
    return found


def _replayed(matcher: Matcher, server: Matcher, some: Iterable[tuple[int, tuple[Where, Sequence[str]]]]) -> list[int]:
    """The indices of texts in which a rule of ``matcher`` matches, beside the ``server``'s allowed texts."""
    return [
        number
        for number, (where, texts) in some
        if any(_is_matched(matcher, server, text, where.place()) for text in texts)
    ]


def _is_matched(matcher: Matcher, server: Matcher, text: str, place: Place) -> bool:
    work = Work.of([text], is_beside_loop=True)
    try:
        matches = [*matcher.matches(text, place, work)]
        allowed = server.allowed(text, place, work) if matches else None
        return any(allowed is None or not allowed.hold(match.start, match.end) for match in matches)
    except TooCostly:
        return True


def _reviewed(item: Item, allowed: Allowed, ledger: Ledger) -> Item:
    rules = item.rules()
    if rules and (complaint := ledger.complaint(rules)):
        return replace(item, entry=None, problem=complaint)
    return replace(item, note=_(FREED)) if _is_idle(item, allowed) else item


def _is_idle(item: Item, allowed: Allowed) -> bool:
    rules = item.rules() if item.entry and not item.entry.is_allow else []
    return bool(rules) and all(map(allowed.frees, rules))


def _guilds(where: Where) -> list[int]:
    """The servers of the rules that hold: the server's before the operator's."""
    return [where.guild_id, EVERYWHERE] if where.guild_id else [EVERYWHERE]
