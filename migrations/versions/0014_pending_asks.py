"""Requests that their members have yet to confirm or to complete."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"

RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "pending_asks",
        sa.Column("id", RowId, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ask", Json, nullable=False),
        sa.Column("input_sha256", sa.String(64), nullable=True),
        sa.Column("taken_at", sa.Double, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_pending_asks"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pending_asks_user_id", "pending_asks", ["user_id"])
    op.create_index("ix_pending_asks_input_sha256", "pending_asks", ["input_sha256"])


def downgrade() -> None:
    op.drop_table("pending_asks")
