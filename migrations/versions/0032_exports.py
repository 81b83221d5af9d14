"""Exports of what is stored about members."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0032"
down_revision = "0031"

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("locale", sa.String(16), nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("token_expires_at", sa.Double, nullable=False),
        sa.Column("section", sa.String(64), nullable=False, server_default=""),
        sa.Column("after", JSON),
        sa.Column("parts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("pictures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tried_at", sa.Double, nullable=False, server_default="0"),
        sa.Column("held_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_exports"),
        sa.UniqueConstraint("user_id", name="uq_exports_user_id"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("exports")
