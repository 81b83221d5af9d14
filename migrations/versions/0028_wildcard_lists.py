"""Lists for wildcards, by moderators."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "wildcard_lists",
        sa.Column("guild_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("lines", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("guild_id", "name", name="pk_wildcard_lists"),
    )


def downgrade() -> None:
    op.drop_table("wildcard_lists")
