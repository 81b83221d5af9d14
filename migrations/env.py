"""How alembic reaches the database: over the connection that `bot.migrate` gives, or, for developers, over its own."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from bot import migrate
from bot.models import Base
from bot.settings import Settings


def run(connection: Connection) -> None:
    """Do what alembic was asked for."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
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
