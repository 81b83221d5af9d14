"""PDQ hashes beside perceptual ones, and remarks on blocked pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"

TABLES = ("images", "input_pictures", "previews")
BLOCKED = sa.table("blocked_pictures", sa.column("phash", sa.String))


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("pdq", sa.String(64)))
    with op.batch_alter_table("blocked_pictures") as blocked:
        blocked.alter_column("phash", existing_type=sa.String(16), nullable=True)
        blocked.add_column(sa.Column("pdq", sa.String(64)))
        blocked.add_column(sa.Column("remark", sa.String(100), nullable=False, server_default=""))
    op.create_index("uq_blocked_pictures_pdq", "blocked_pictures", ["guild_id", "pdq"], unique=True)


def downgrade() -> None:
    op.drop_index("uq_blocked_pictures_pdq", "blocked_pictures")
    op.get_bind().execute(sa.delete(BLOCKED).where(BLOCKED.c.phash.is_(None)))
    with op.batch_alter_table("blocked_pictures") as blocked:
        blocked.drop_column("remark")
        blocked.drop_column("pdq")
        blocked.alter_column("phash", existing_type=sa.String(16), nullable=False)
    for table in TABLES:
        op.drop_column(table, "pdq")
