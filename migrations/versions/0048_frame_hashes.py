"""Perceptual hashes of animations' frames."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"

TABLES = ("images", "input_pictures")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("frame_hashes", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "frame_hashes")
