"""Notes of words without effect."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    kind = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("jobs", sa.Column("notes", kind, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("jobs", "notes")
