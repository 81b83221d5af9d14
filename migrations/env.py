"""Connects alembic to the database: by the connection of `bot.storage.migrate` or, for developers, its own."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.tables.schema import SCHEMA


def run(connection: Connection) -> None:
    """Do what alembic was asked for."""
    context.configure(
        connection=connection,
        target_metadata=SCHEMA,
        include_name=migrate.is_in_models,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(migrate.alone(Settings.load().url, run))
