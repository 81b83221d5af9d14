"""ContentFilter: each server's rules as rows, and their matchers in memory, never older than a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from bot import models
from bot.db import Database
from bot.errors import BadRule
from bot.filters.matcher import Match, Matcher
from bot.filters.rules import Rule, normal_form, tidy

log = logging.getLogger(__name__)

EVERYWHERE = 0
"""The guild id of the operator's rules, which hold in every server and in direct messages."""
POLL_SECONDS = 1.0
"""How long a change that another process made may go unnoticed."""
PAGE = 25
"""Rules on one page of the list."""
CHOICES = 25
"""Suggestions that Discord shows while somebody types."""

Revision = tuple[int, int, float]
"""Number of rules, sum of their ids, newest creation: no change of the rules leaves all three as they were."""


@dataclass(frozen=True)
class Refusal:
    """Why a request may not be painted: for its asker a sentence that repeats no word of it, for the log a code."""

    code: str
    sentence: str
    rule_id: str
    field: str


@dataclass(frozen=True)
class Page:
    """Some of a server's rules, oldest first; ``number`` counts from 1."""

    rules: list[Rule]
    number: int
    pages: int
    total: int


@dataclass(frozen=True)
class _Loaded:
    matcher: Matcher
    revision: Revision
    checked_at: float


class ContentFilter:
    """What may be drawn in each server.

    A check costs microseconds. A changed rule counts at once in the process that changed it, in a second elsewhere.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._loaded: dict[int, _Loaded] = {}
        self._changes = 0

    async def check(self, guild_id: int | None, texts: Mapping[str, str]) -> Refusal | None:
        """Look at the texts of a request by the names of their fields; None if all of them are allowed.

        ``guild_id`` None is a direct message, where only the operator's rules hold.
        """
        matchers = await self._matchers(guild_id)
        for field, text in texts.items():
            for matcher in matchers:
                match = matcher.find(text)
                if match:
                    return _refusal(field, match.rule)
        return None

    async def matches(self, guild_id: int | None, text: str) -> list[Match]:
        """Every rule that the text breaks, and where: for moderators."""
        return [match for matcher in await self._matchers(guild_id) for match in matcher.matches(text)]

    async def add(self, guild_id: int, pattern: str, by: int) -> Rule:
        """Forbid a word or phrase; raises BadRule if it cannot be one, or is one already."""
        pattern = tidy(pattern)
        row = models.Rule(
            guild_id=guild_id,
            pattern=pattern,
            normal_form=normal_form(pattern),
            created_by=by,
            created_at=time.time(),
        )
        try:
            async with self.database.begin() as session:
                session.add(row)
        except IntegrityError as error:
            raise BadRule("That rule exists already (upper and lower case are the same to it).") from error
        self._forget(guild_id)
        log.info("rule_added rule=%s guild=%s by=%s", row.id, guild_id, by)
        return _rule(row)

    async def remove(self, guild_id: int, pattern: str, by: int) -> Rule:
        """Allow a word or phrase again; raises BadRule if there is no such rule."""
        same = (models.Rule.guild_id == guild_id, models.Rule.normal_form == normal_form(pattern))
        async with self.database.begin() as session:
            row = await session.scalar(delete(models.Rule).where(*same).returning(models.Rule))
        if row is None:
            raise BadRule("There is no such rule here; /filter list shows all of them.")
        self._forget(guild_id)
        log.info("rule_removed rule=%s guild=%s by=%s", row.id, guild_id, by)
        return _rule(row)

    async def page(self, guild_id: int, number: int = 1) -> Page:
        """One page of a server's rules; a number past the end gives the last page."""
        here = models.Rule.guild_id == guild_id
        async with self.database.read() as session:
            total = await session.scalar(select(func.count()).select_from(models.Rule).where(here)) or 0
            pages = max(1, -(-total // PAGE))
            number = min(number, pages)
            some = select(models.Rule).where(here).order_by(models.Rule.id)
            rows = (await session.scalars(some.limit(PAGE).offset((number - 1) * PAGE))).all()
        return Page([_rule(row) for row in rows], number, pages, total)

    async def search(self, guild_id: int, typed: str) -> Sequence[Rule]:
        """A server's rules that contain what is typed, those that begin with it first."""
        wanted = normal_form(typed)
        form = models.Rule.normal_form
        some = select(models.Rule).where(models.Rule.guild_id == guild_id, form.contains(wanted, autoescape=True))
        some = some.order_by(form.startswith(wanted, autoescape=True).desc(), form).limit(CHOICES)
        async with self.database.read() as session:
            return [_rule(row) for row in await session.scalars(some)]

    async def matcher(self, guild_id: int) -> Matcher:
        """The rules of one server alone (0: the operator's), ready to be used."""
        await self._refresh([guild_id])
        return self._loaded[guild_id].matcher

    async def _matchers(self, guild_id: int | None) -> list[Matcher]:
        guilds = [EVERYWHERE] if guild_id is None else [guild_id, EVERYWHERE]
        await self._refresh(guilds)
        return [self._loaded[guild].matcher for guild in guilds]

    async def _refresh(self, guilds: Sequence[int]) -> None:
        while due := self._due(guilds):
            changes, now = self._changes, time.monotonic()
            revisions = await self._revisions(due)
            fresh = {guild: await self._load(guild, revisions.get(guild, (0, 0, 0.0)), now) for guild in due}
            if changes == self._changes:
                self._loaded.update(fresh)

    def _due(self, guilds: Sequence[int]) -> list[int]:
        oldest = time.monotonic() - POLL_SECONDS
        return [guild for guild in guilds if guild not in self._loaded or self._loaded[guild].checked_at < oldest]

    async def _revisions(self, guilds: Sequence[int]) -> dict[int, Revision]:
        rule = models.Rule
        newest = select(rule.guild_id, func.count(), func.sum(rule.id), func.max(rule.created_at))
        async with self.database.read() as session:
            rows = await session.execute(newest.where(rule.guild_id.in_(guilds)).group_by(rule.guild_id))
        return {row[0]: (row[1], int(row[2]), row[3]) for row in rows}

    async def _load(self, guild: int, revision: Revision, now: float) -> _Loaded:
        before = self._loaded.get(guild)
        if before and before.revision == revision:
            return _Loaded(before.matcher, revision, now)
        async with self.database.read() as session:
            rows = await session.scalars(select(models.Rule).where(models.Rule.guild_id == guild))
        return _Loaded(Matcher(_rule(row) for row in rows), revision, now)

    def _forget(self, guild: int) -> None:
        """What is being loaded right now may be older than the change, so `_refresh` must not keep it."""
        self._changes += 1
        self._loaded.pop(guild, None)


def _rule(row: models.Rule) -> Rule:
    return Rule(str(row.id), row.pattern, row.guild_id)


def _refusal(field: str, rule: Rule) -> Refusal:
    code = f"filter:{field.split()[0]}"
    sentence = f"The {field} has words that are not allowed here (reason {code}); change them and ask again."
    return Refusal(code, sentence, rule.id, field)
