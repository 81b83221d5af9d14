"""Accepted house rules, by server and member."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    op.create_table(
        "accepted_rules",
        sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False, index=True),
        sa.Column("digest", sa.String(16), nullable=False),
        sa.Column("accepted_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("accepted_rules")
