"""Classifier results of pictures, blocked pictures, and input pictures."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Time = sa.Double[float]()
RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True)

ENDED = "delivered_at IS NULL AND channel_id IS NOT NULL AND status NOT IN ('queued', 'running')"


def of_jobs() -> list[sa.Column[Any]]:
    return [
        sa.Column("look_after", Time, nullable=True),
        sa.Column("looks", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("input_sha256", sa.String(64), nullable=True),
        sa.Column("input_name", sa.String(200), nullable=False, server_default=""),
    ]


def looked() -> list[sa.Column[Any]]:
    return [
        sa.Column("looked_at", Time, nullable=True),
        sa.Column("eyes", sa.String(200), nullable=True),
        sa.Column("score", Time, nullable=True),
        sa.Column("scores", Json, nullable=True),
        sa.Column("phash", sa.String(16), nullable=True),
    ]


def of_images() -> list[sa.Column[Any]]:
    return [*looked(), sa.Column("verdict", sa.String(16), nullable=True)]


def of_previews() -> list[sa.Column[Any]]:
    return [sa.Column("score", Time, nullable=True), sa.Column("phash", sa.String(16), nullable=True)]


def upgrade() -> None:
    op.execute("DELETE FROM previews")  # unclassified, and each is shown for seconds only
    for table, columns in (("jobs", of_jobs()), ("images", of_images()), ("previews", of_previews())):
        for column in columns:
            op.add_column(table, column)
    op.drop_index("ix_jobs_undelivered", "jobs")
    create_index("ix_jobs_undelivered", ["id"], f"{ENDED} AND (quarantine IS NULL OR status != 'succeeded')")
    create_index("ix_jobs_quarantined", ["id"], "quarantine IS NOT NULL")
    create_index("ix_jobs_unseen", ["look_after"], "look_after IS NOT NULL")
    create_index("ix_jobs_input", ["input_sha256"], "input_sha256 IS NOT NULL")
    create_input_pictures()
    create_blocked_pictures()


def downgrade() -> None:
    for table in ("blocked_pictures", "input_pictures"):
        op.drop_table(table)
    for index in ("ix_jobs_input", "ix_jobs_unseen", "ix_jobs_quarantined", "ix_jobs_undelivered"):
        op.drop_index(index, "jobs")
    create_index("ix_jobs_undelivered", ["id"], ENDED)
    for table, columns in (("previews", of_previews()), ("images", of_images()), ("jobs", of_jobs())):
        for column in reversed(columns):
            op.drop_column(table, column.name)


def create_index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def create_input_pictures() -> None:
    op.create_table(
        "input_pictures",
        sa.Column("sha256", sa.String(64), nullable=False),
        *looked(),
        sa.PrimaryKeyConstraint("sha256", name="pk_input_pictures"),
    )


def create_blocked_pictures() -> None:
    op.create_table(
        "blocked_pictures",
        sa.Column("id", RowId, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("phash", sa.String(16), nullable=False),
        sa.Column("job_id", RowId, nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_blocked_pictures_job_id_jobs", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_blocked_pictures"),
    )
    op.create_index("uq_blocked_pictures_guild_id", "blocked_pictures", ["guild_id", "phash"], unique=True)
