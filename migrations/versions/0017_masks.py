"""Adds to jobs the mask of the part of a picture that is painted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("mask_sha256", sa.String(64), nullable=True))
    given = sa.text("mask_sha256 IS NOT NULL")
    op.create_index("ix_jobs_mask", "jobs", ["mask_sha256"], sqlite_where=given, postgresql_where=given)


def downgrade() -> None:
    op.drop_index("ix_jobs_mask", "jobs")
    op.drop_column("jobs", "mask_sha256")
