"""Which request painted a picture that another one refers to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"

INDEX, WITH_PARENT = "ix_reference_pictures_parent", sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("reference_pictures", sa.Column("parent_id", sa.BigInteger))
    op.add_column("reference_pictures", sa.Column("parent_picture", sa.Integer))
    op.create_index(
        INDEX,
        "reference_pictures",
        ["parent_id", "job_id"],
        sqlite_where=WITH_PARENT,
        postgresql_where=WITH_PARENT,
    )


def downgrade() -> None:
    op.drop_index(INDEX, "reference_pictures")
    op.drop_column("reference_pictures", "parent_picture")
    op.drop_column("reference_pictures", "parent_id")
