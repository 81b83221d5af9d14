"""The whole schema, for those that look at every table: migrations and copies."""

from __future__ import annotations

# Imported for their tables, which the metadata has only from then on.
from limner.bot.storage import filter_tables, models, moderation_tables, worker_tables  # noqa: F401
from limner.bot.storage.tables import Base

SCHEMA = Base.metadata
