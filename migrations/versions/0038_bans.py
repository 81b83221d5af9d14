"""Bans of members from painting."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "bans",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("given_by", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("until", sa.Double),
        sa.Column("lifted_at", sa.Double),
        sa.Column("lifted_by", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_bans"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_bans_user_id", "bans", ["user_id", "guild_id"])


def downgrade() -> None:
    op.drop_table("bans")
