"""Favourites, and their folders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.Double[float]()


def upgrade() -> None:
    op.create_table(
        "folders",
        sa.Column("id", RowId, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("key", sa.String(400), nullable=False),
        sa.Column("used_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_folders"),
        sa.UniqueConstraint("user_id", "key", name="uq_folders_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "favourites",
        sa.Column("user_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("image_id", RowId, autoincrement=False, nullable=False),
        sa.Column("starred_at", Time, nullable=False),
        sa.Column("folder_id", RowId, nullable=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "image_id", name="pk_favourites"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_favourites_image_id_images", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name="fk_favourites_folder_id_folders", ondelete="SET NULL"
        ),
    )
    op.create_index("ix_favourites_image_id", "favourites", ["image_id"])
    op.create_index("ix_favourites_folder_id", "favourites", ["folder_id"])
    op.create_index("ix_favourites_user", "favourites", ["user_id", "folder_id", "image_id"])


def downgrade() -> None:
    op.drop_table("favourites")
    op.drop_table("folders")
