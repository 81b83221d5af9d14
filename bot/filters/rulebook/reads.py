"""Questions about a server's rules: one rule, all, a page, a search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from limner.bot.errors import BadRule
from limner.bot.filters.rulebook.rows import EFFECTIVE, batches
from limner.bot.filters.rules import normal_form
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import RuleRow
from limner.bot.translation import N_, _

PAGE = 20
"""Rules on one page of the list."""
CHOICES = 25
"""Suggestions of the autocomplete."""
READ_TOGETHER = 200
"""Rules that are read before others have their turn in the event loop."""
GONE = N_("There is no such rule here; /filter list shows all of them.")


@dataclass(frozen=True)
class Page:
    """Some of a server's rules, oldest first; ``number`` counts from 1."""

    rules: Sequence[RuleRow]
    number: int
    pages: int
    total: int


class RuleReads:
    """The rules of every server as they are; no method changes one."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def get(self, guild_id: int, rule_id: int) -> RuleRow:
        """One rule of this server; raises BadRule if there is none."""
        async with self.database.read() as session:
            return await read_rule(session, guild_id, rule_id)

    async def of(self, guild_id: int, ids: Collection[int]) -> Sequence[RuleRow]:
        """Those of the rules that exist and are this server's own."""
        async with self.database.read() as session:
            return await read_rules(session, guild_id, ids)

    async def all(self, guild_id: int, kind: str | None = None) -> Sequence[RuleRow]:
        """Every rule of a server (of one kind), oldest first."""
        these = [RuleRow.guild_id == guild_id, *([RuleRow.kind == kind] if kind else [])]
        async with self.database.read() as session:
            return (await session.scalars(select(RuleRow).where(*these).order_by(RuleRow.id))).all()

    async def effective(self, guild_id: int) -> list[tuple[int, Mapping[str, Any]]]:
        """The number of each rule of a server that is on, and what it says (see `entry_from`); oldest first.

        They are read some at a time, so that the event loop has its turn however many there are.
        """
        on = select(*EFFECTIVE).where(RuleRow.guild_id == guild_id, RuleRow.is_on).order_by(RuleRow.id)
        found: list[tuple[int, Mapping[str, Any]]] = []
        async with self.database.read() as session:
            rows = await session.stream(on, execution_options={"yield_per": READ_TOGETHER})
            async for some in rows.mappings().partitions():
                found.extend((row["id"], {**row}) for row in some)
        return found

    async def page(self, guild_id: int, number: int = 1, search: str = "") -> Page:
        """One page of a server's rules (that contain ``search``); a number past the end gives the last page."""
        here = _found(guild_id, search)
        async with self.database.read() as session:
            total = await session.scalar(select(func.count()).select_from(RuleRow).where(*here)) or 0
            pages = max(1, -(-total // PAGE))
            number = min(number, pages)
            some = select(RuleRow).where(*here).order_by(RuleRow.id).limit(PAGE).offset((number - 1) * PAGE)
            return Page((await session.scalars(some)).all(), number, pages, total)

    async def search(self, guild_id: int, typed: str) -> Sequence[RuleRow]:
        """A server's rules that contain the typed text, prefix matches first."""
        begins = RuleRow.normal_form.startswith(normal_form(typed), autoescape=True)
        some = (
            select(RuleRow).where(*_found(guild_id, typed)).order_by(begins.desc(), RuleRow.normal_form).limit(CHOICES)
        )
        async with self.database.read() as session:
            return (await session.scalars(some)).all()

    async def twins(self, row: RuleRow) -> Sequence[RuleRow]:
        """Other rules and allowed texts of the same server with the same text."""
        same = (RuleRow.guild_id == row.guild_id, RuleRow.normal_form == row.normal_form, RuleRow.id != row.id)
        async with self.database.read() as session:
            return (await session.scalars(select(RuleRow).where(*same).order_by(RuleRow.id))).all()


async def read_rule(session: AsyncSession, guild_id: int, rule_id: int) -> RuleRow:
    """One rule of a server; raises BadRule if there is none."""
    row = await session.get(RuleRow, rule_id)
    if row is None or row.guild_id != guild_id:
        raise BadRule(_(GONE))
    return row


async def read_rules(session: AsyncSession, guild_id: int, ids: Collection[int]) -> list[RuleRow]:
    """Those of the rules that exist and are the server's own."""
    found: list[RuleRow] = []
    for some in batches(ids):
        found += await session.scalars(select(RuleRow).where(RuleRow.guild_id == guild_id, RuleRow.id.in_(some)))
    return found


def _found(guild_id: int, search: str) -> tuple[ColumnElement[bool], ...]:
    here = RuleRow.guild_id == guild_id
    return (here, RuleRow.normal_form.contains(normal_form(search), autoescape=True)) if search else (here,)
