"""When the words of deleted requests were erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

WAITING = sa.text("deleted_at IS NOT NULL AND erased_at IS NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("erased_at", sa.Double))
    op.create_index("ix_jobs_unerased", "jobs", ["id"], sqlite_where=WAITING, postgresql_where=WAITING)


def downgrade() -> None:
    op.drop_index("ix_jobs_unerased", "jobs")
    op.drop_column("jobs", "erased_at")
