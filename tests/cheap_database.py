"""SQLAlchemy's engines in the tests: statements are compiled once a process."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.util import LRUCache

from limner.bot.storage.cipher import Cipher

STATEMENTS = LRUCache[Any, Any](5000)
"""Every engine of this process finds the compiled statements here; each test opens a few engines of its own."""


class _Equal:
    """Two dialects of one kind make the same SQL, so one finds the statements that the other has compiled.

    Compiled statements know how values are written, so dialects that encrypt share them with nobody.
    """

    supports_statement_cache = True
    limner_cipher: Cipher | None = None

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self._is_plain and cast(_Equal, other)._is_plain)

    def __hash__(self) -> int:
        return hash(type(self))

    @property
    def _is_plain(self) -> bool:
        return self.limner_cipher is None or not self.limner_cipher.keys

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine.update_execution_options(compiled_cache=STATEMENTS)


class SQLite(_Equal, SQLiteDialect_aiosqlite):
    """SQLite, whose statements are shared."""

    supports_statement_cache = True


class Postgres(_Equal, PGDialect_asyncpg):
    """Postgres, whose statements are shared."""

    supports_statement_cache = True


def use() -> None:
    """Make SQLAlchemy open these engines from now on."""
    registry.register("sqlite.aiosqlite", __name__, SQLite.__name__)
    registry.register("postgresql.asyncpg", __name__, Postgres.__name__)
