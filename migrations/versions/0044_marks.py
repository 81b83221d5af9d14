"""The numbers in pictures' invisible marks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"

MARKED = sa.text("mark IS NOT NULL")


def upgrade() -> None:
    op.add_column("images", sa.Column("mark", sa.BigInteger))
    op.create_index("ix_images_mark", "images", ["mark"], sqlite_where=MARKED, postgresql_where=MARKED)


def downgrade() -> None:
    op.drop_index("ix_images_mark", "images")
    op.drop_column("images", "mark")
