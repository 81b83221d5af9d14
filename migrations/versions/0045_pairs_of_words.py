"""Neighbours among a request's words are terms of the full-text index."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import sqlalchemy as sa
from alembic import op

from limner.bot.storage.history.search import BAR, pair_term

revision = "0045"
down_revision = "0044"

JOBS = sa.table("jobs", sa.column("id", sa.BigInteger), sa.column("search_text", sa.Text))
AT_ONCE = 1000
SHARED = "1"
"""The first character of the terms that several pairs share; no other term and no word begins with it."""


def upgrade() -> None:
    _rewrite(_with_pairs)


def downgrade() -> None:
    _rewrite(_without_pairs)


def _with_pairs(text: str) -> str:
    terms, _bar, words = text.partition(BAR)
    words = words.split()
    pairs = {pair_term(*pair) for pair in pairwise(words)}
    return _form({*terms.split(), *pairs.difference(words)}, words)


def _without_pairs(text: str) -> str:
    terms, _bar, words = text.partition(BAR)
    return _form({term for term in terms.split() if not term.startswith(SHARED)}, words.split())


def _form(terms: set[str], words: list[str]) -> str:
    return f"{' '.join(sorted(terms))} {BAR} {' '.join(words)} "


def _rewrite(change: Callable[[str], str]) -> None:
    """Change the text of every request that has words in the index, which is made anew at the end: that is quicker."""
    later = _stop_indexing()
    connection, last = op.get_bind(), 0
    found = sa.select(JOBS).where(JOBS.c.search_text != "").order_by(JOBS.c.id).limit(AT_ONCE)
    change_one = sa.update(JOBS).where(JOBS.c.id == sa.bindparam("number")).values(search_text=sa.bindparam("form"))
    while rows := connection.execute(found.where(JOBS.c.id > last)).all():
        connection.execute(change_one, [{"number": number, "form": change(text)} for number, text in rows])
        last = rows[-1][0]
    for statement in later:
        op.execute(statement)


def _stop_indexing() -> list[str]:
    """Drop what keeps the index, or its slowest part; returns the statements that bring it back."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        index = connection.scalar(sa.text("SELECT indexdef FROM pg_indexes WHERE indexname = 'jobs_fts_terms'"))
        op.execute("DROP INDEX jobs_fts_terms")
        return [index]
    triggers = sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'jobs_fts_%'")
    found = connection.execute(triggers).all()
    for name, _sql in found:
        op.execute(f"DROP TRIGGER {name}")
    return [*(sql for _name, sql in found), "INSERT INTO jobs_fts (jobs_fts) VALUES ('rebuild')"]
