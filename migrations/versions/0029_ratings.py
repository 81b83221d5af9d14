"""Ratings of results, and the choices about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Double[float]()


def upgrade() -> None:
    op.create_table(
        "ratings",
        sa.Column("job_id", RowId, autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("is_good", sa.Boolean, nullable=False),
        sa.Column("rated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_ratings"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_ratings_job_id_jobs", ondelete="CASCADE"),
    )
    op.create_index("ix_ratings_user_id", "ratings", ["user_id"])
    op.create_table(
        "rating_settings",
        sa.Column("user_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("is_shown", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("is_training", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("user_id", name="pk_rating_settings"),
    )


def downgrade() -> None:
    op.drop_table("rating_settings")
    op.drop_table("ratings")
