"""Interaction tokens, and refused answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

Time = sa.Double[float]()
RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("held_back_at", Time, nullable=True))
    op.create_table(
        "answer_tokens",
        sa.Column("job_id", RowId, autoincrement=False, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_answer_tokens_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_answer_tokens"),
    )


def downgrade() -> None:
    op.drop_table("answer_tokens")
    op.drop_column("jobs", "held_back_at")
