"""Which of two pictures of a request its member prefers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "preferences",
        sa.Column("job_id", RowId, autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("better", sa.Integer, nullable=False),
        sa.Column("worse", sa.Integer, nullable=False),
        sa.Column("chosen_at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_preferences"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_preferences_job_id_jobs", ondelete="CASCADE"),
    )
    op.create_index("ix_preferences_user_id", "preferences", ["user_id"])


def downgrade() -> None:
    op.drop_table("preferences")
