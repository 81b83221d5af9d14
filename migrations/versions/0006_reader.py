"""Job kinds, and the image-text model's similarity of a picture."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kind", sa.String(16), nullable=False, server_default="paint"))
    op.add_column("images", sa.Column("nearness", sa.Double[float](), nullable=True))


def downgrade() -> None:
    op.drop_column("images", "nearness")
    op.drop_column("jobs", "kind")
