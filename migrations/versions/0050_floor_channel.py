"""Up to when the operator's channel has the floor's hits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    op.create_table(
        "floor_channels",
        sa.Column("channel_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("posted_until", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("floor_channels")
