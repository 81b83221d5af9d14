"""The language that a member has chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.add_column("member_settings", sa.Column("language", sa.String(16), nullable=True))


def downgrade() -> None:
    op.drop_column("member_settings", "language")
