"""The whole schema, for those that look at every table: migrations and copies."""

from __future__ import annotations

from limner.bot.storage.tables import (
    asking_tables,
    embedding_tables,
    favourite_tables,
    filter_tables,
    gallery_tables,
    house_rules_tables,
    models,
    moderation_tables,
    privacy_tables,
    rating_tables,
    server_tables,
    worker_tables,
)

PARTS = (
    models,
    asking_tables,
    embedding_tables,
    favourite_tables,
    gallery_tables,
    house_rules_tables,
    moderation_tables,
    rating_tables,
    filter_tables,
    worker_tables,
    privacy_tables,
    server_tables,
)
"""Every module with tables; their metadata is one and the same."""
SCHEMA = models.Base.metadata
