"""Adds to jobs what two clicks on one button have in common."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("click_key", sa.String(32), nullable=True))
    clicked = sa.text("click_key IS NOT NULL")
    op.create_index("ix_jobs_click", "jobs", ["click_key"], sqlite_where=clicked, postgresql_where=clicked)


def downgrade() -> None:
    op.drop_index("ix_jobs_click", "jobs")
    op.drop_column("jobs", "click_key")
