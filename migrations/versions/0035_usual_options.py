"""How members usually ask."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0035"
down_revision = "0034"

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("member_settings", sa.Column("usual", JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("member_settings", "usual")
