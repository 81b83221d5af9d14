"""Embeddings of painted requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNEMBEDDED = sa.text("status = 'succeeded' AND kind != 'describe' AND embedded_by IS NULL AND deleted_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "embeddings",
        sa.Column("id", RowId, nullable=False),
        sa.Column("job_id", RowId, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("guild_id", sa.BigInteger, nullable=True),
        sa.Column("embedder", sa.String(64), nullable=False),
        sa.Column("signs", sa.LargeBinary, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_embeddings"),
        sa.UniqueConstraint("job_id", name="uq_embeddings_job_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_embeddings_job_id_jobs", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_embeddings_user", "embeddings", ["user_id", "id"])
    op.create_index("ix_embeddings_guild", "embeddings", ["guild_id", "id"])
    op.add_column("jobs", sa.Column("embedded_by", sa.String(64), nullable=True))
    op.create_index("ix_jobs_unembedded", "jobs", ["id"], sqlite_where=UNEMBEDDED, postgresql_where=UNEMBEDDED)


def downgrade() -> None:
    op.drop_index("ix_jobs_unembedded", "jobs")
    op.drop_column("jobs", "embedded_by")
    op.drop_table("embeddings")
