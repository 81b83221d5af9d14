"""Which LoRAs have learnt from what a member liked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "taught_loras",
        sa.Column("id", RowId, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("lora", sa.Text, nullable=False),
        sa.Column("trained_in", sa.Text, nullable=False),
        sa.Column("installed", sa.Text, nullable=False),
        sa.Column("taught_at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_taught_loras"),
        sa.UniqueConstraint("trained_in", "user_id", name="uq_taught_loras_trained_in"),
    )
    op.create_index("ix_taught_loras_user_id", "taught_loras", ["user_id"])


def downgrade() -> None:
    op.drop_table("taught_loras")
