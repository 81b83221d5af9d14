"""Embeddings of pictures by the image-text model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.add_column("images", sa.Column("features", sa.LargeBinary))
    op.add_column("images", sa.Column("features_by", sa.String(200)))


def downgrade() -> None:
    op.drop_column("images", "features_by")
    op.drop_column("images", "features")
