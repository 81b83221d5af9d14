"""Adds to jobs what made them of their parent, and of which of its pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("parent_picture", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("action", sa.String(16), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "action")
    op.drop_column("jobs", "parent_picture")
