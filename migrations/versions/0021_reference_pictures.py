"""Pictures that requests refer to without starting from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "reference_pictures",
        sa.Column("id", RowId, nullable=False),
        sa.Column("job_id", RowId, nullable=True),
        sa.Column("pending_id", RowId, nullable=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reference_pictures"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_reference_pictures_job_id_jobs", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["pending_id"],
            ["pending_asks.id"],
            name="fk_reference_pictures_pending_id_pending_asks",
            ondelete="CASCADE",
        ),
        sqlite_autoincrement=True,
    )
    for column in ("job_id", "pending_id", "sha256"):
        op.create_index(f"ix_reference_pictures_{column}", "reference_pictures", [column])


def downgrade() -> None:
    op.drop_table("reference_pictures")
