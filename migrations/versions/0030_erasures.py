"""What members ask to be erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("after", sa.Double, nullable=False),
        sa.Column("before", sa.Double, nullable=False),
        sa.Column("is_all", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("takes_messages", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("locale", sa.String(16), nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False, server_default="0")
            for name in ("requests", "pictures", "messages", "kept_messages")
        ),
        sa.Column("done_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_erasures_user_id", "erasures", ["user_id"])


def downgrade() -> None:
    op.drop_table("erasures")
