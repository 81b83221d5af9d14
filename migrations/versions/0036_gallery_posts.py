"""Pictures in the gallery channels of servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNPOSTED = sa.text("message_id IS NULL")


def upgrade() -> None:
    op.create_table(
        "gallery_posts",
        sa.Column("id", RowId, nullable=False),
        sa.Column("image_id", RowId, nullable=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("channel_id", sa.BigInteger),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("not_before", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gallery_posts"),
        sa.UniqueConstraint("image_id", name="uq_gallery_posts_image_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_gallery_posts_unposted",
        "gallery_posts",
        ["not_before"],
        sqlite_where=UNPOSTED,
        postgresql_where=UNPOSTED,
    )


def downgrade() -> None:
    op.drop_table("gallery_posts")
