"""What metrics read: what has ended since a time, and what each worker has done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"

ENDED = sa.text("finished_at IS NOT NULL")
DECIDED = sa.text("decided_at IS NOT NULL")


def upgrade() -> None:
    op.create_index("ix_jobs_ended", "jobs", ["finished_at", "id"], sqlite_where=ENDED, postgresql_where=ENDED)
    op.create_index("ix_reviews_decided", "reviews", ["decided_at"], sqlite_where=DECIDED, postgresql_where=DECIDED)
    op.add_column("workers", sa.Column("work", sa.JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("workers", "work")
    op.drop_index("ix_reviews_decided", "reviews")
    op.drop_index("ix_jobs_ended", "jobs")
