"""An index of the filter's refusals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    where = sa.text("status = 'refused'")
    op.create_index(
        "ix_jobs_refused",
        "jobs",
        ["user_id", "server_id", "created_at"],
        sqlite_where=where,
        postgresql_where=where,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_refused", "jobs")
