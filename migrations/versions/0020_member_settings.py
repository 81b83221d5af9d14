"""Settings of members."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "member_settings",
        sa.Column("user_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("expand", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_member_settings"),
    )


def downgrade() -> None:
    op.drop_table("member_settings")
