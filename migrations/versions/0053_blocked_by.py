"""The blocked picture for which a request was refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    op.add_column("jobs", sa.Column("blocked_by", json))


def downgrade() -> None:
    op.drop_column("jobs", "blocked_by")
