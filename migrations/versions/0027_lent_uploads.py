"""Whether others may start from what a member posts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    with op.batch_alter_table("member_settings") as table:
        table.alter_column("expand", existing_type=sa.String(8), nullable=True)
        table.add_column(sa.Column("lends_uploads", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.execute("DELETE FROM member_settings WHERE expand IS NULL")
    with op.batch_alter_table("member_settings") as table:
        table.drop_column("lends_uploads")
        table.alter_column("expand", existing_type=sa.String(8), nullable=False)
