"""Storage failures of workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("workers", sa.Column("trouble", sa.String(32)))


def downgrade() -> None:
    op.drop_column("workers", "trouble")
