"""Requests by the terms of the full-text index, newest or oldest first, read from one key on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SQLColumnExpression,
    Text,
    any_,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from limner.bot.storage.tables.models import Job

BLOCK: ColumnElement[int] = literal_column("12")
"""Bits of an id that are left out of the block's number in Postgres's terms: a block has 4096 ids."""
ZERO: ColumnElement[int] = literal_column("0")
_SQLITE = table("jobs_fts", column("rowid"))
_POSTGRES = table("jobs_fts", column("job_id", BigInteger), column("terms", ARRAY(Text)))


@dataclass(frozen=True)
class Span:
    """At most ``limit`` ids from one to another (None: from the first, to the last), in one of two orders."""

    limit: int
    since: int | None = None
    until: int | None = None
    is_oldest_first: bool = False

    def of(self, rows: Select[int], key: ColumnElement[int]) -> Select[int]:
        """These rows, of all."""
        return self.first(rows.where(*self.inside(key)), key)

    def inside(self, key: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
        """Whether an id is one of them."""
        if self.since is not None:
            yield key >= self.since
        if self.until is not None:
            yield key <= self.until

    def first(self, rows: Select[int], key: ColumnElement[int]) -> Select[int]:
        """The first rows in the order."""
        return rows.order_by(key if self.is_oldest_first else key.desc()).limit(self.limit)


def found(
    terms: Sequence[str], conditions: Sequence[ColumnElement[bool]], span: Span, *, is_sqlite: bool
) -> Select[int]:
    """The ids of the requests that have all terms and fulfil the conditions.

    The index gives the terms' requests in order, each is held against the conditions, and reading stops when enough are
    found. Without terms the table itself is read in order.
    """
    if not terms:
        return span.of(select(Job.id).where(*conditions), Job.__table__.c.id)
    return _on_sqlite(terms, conditions, span) if is_sqlite else _on_postgres(terms, conditions, span)


def among(key: SQLColumnExpression[int], ids: Select[int], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether a row's key is one of the ids.

    On Postgres they are an array, which is found first: joined with them, it may read every row from the newest on.
    """
    return key.in_(ids) if is_sqlite else key == any_(func.array(ids.scalar_subquery()))


def _on_sqlite(terms: Sequence[str], conditions: Sequence[ColumnElement[bool]], span: Span) -> Select[int]:
    is_met = select(Job.id).where(Job.id == _SQLITE.c.rowid, *conditions).correlate(_SQLITE).exists()
    asked = " AND ".join(f'"{term}"' for term in terms)
    rows = select(_SQLITE.c.rowid.label("id")).where(literal_column("jobs_fts").op("MATCH")(asked), is_met)
    return span.of(rows, _SQLITE.c.rowid)


def _on_postgres(terms: Sequence[str], conditions: Sequence[ColumnElement[bool]], span: Span) -> Select[int]:
    """Read one block of ids after the other: the index gives the rows of a term all at once, and in no order."""
    since, until = _or_end(span.since, func.min(_POSTGRES.c.job_id)), _or_end(span.until, func.max(_POSTGRES.c.job_id))
    numbers = func.generate_series(since.op(">>")(BLOCK), until.op(">>")(BLOCK)).column_valued("number")
    blocks = select(numbers.label("number")).order_by(numbers if span.is_oldest_first else numbers.desc())
    blocks = blocks.subquery("blocks")
    keys = array([cast(blocks.c.number, Text).concat(f".{term}") for term in terms])
    key = _POSTGRES.c.job_id
    have = select(key).where(_POSTGRES.c.terms.contains(keys)).order_by(key if span.is_oldest_first else key.desc())
    have = have.correlate(blocks).subquery("have")  # in order, so that few of them are held against the conditions
    is_met = select(Job.id).where(Job.id == have.c.job_id, *conditions).correlate(have).exists()
    # As a sum, which no index has: otherwise Postgres reads the ids of the whole span anew for every block.
    in_span = span.inside(have.c.job_id + ZERO)
    inside = span.first(select(have.c.job_id.label("id")).where(is_met, *in_span), have.c.job_id).lateral("inside")
    order = (blocks.c.number, inside.c.id) if span.is_oldest_first else (blocks.c.number.desc(), inside.c.id.desc())
    return select(inside.c.id).select_from(blocks.join(inside, true())).order_by(*order).limit(span.limit)


def _or_end(given: int | None, end: ColumnElement[int]) -> ColumnElement[int]:
    return select(func.coalesce(end, 0)).scalar_subquery() if given is None else literal(given, BigInteger)
