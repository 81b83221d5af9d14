"""Pictures without an embedding are found without reading the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"

WITHOUT = sa.text("features_by IS NULL")


def upgrade() -> None:
    op.create_index("ix_images_without_features", "images", ["id"], sqlite_where=WITHOUT, postgresql_where=WITHOUT)


def downgrade() -> None:
    op.drop_index("ix_images_without_features", "images")
