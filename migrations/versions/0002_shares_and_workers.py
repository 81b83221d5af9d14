"""Server shares, worker registry and previews."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Time = sa.Double[float]()
RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True)
Indexes = dict[str, tuple[list[str], str | None]]

# Name: columns and condition.
REPLACED: Indexes = {
    "ix_jobs_claim": (["turn", "user_id", "id"], "status = 'queued' AND held_at IS NULL"),
    "ix_jobs_started": (["status", "turn"], "started_at IS NOT NULL"),
    "ix_jobs_user_status_turn": (["user_id", "status", "turn"], None),
    "ix_jobs_batch_key_finished": (["batch_key", "finished_at"], None),
}
INDEXES: Indexes = {
    "ix_jobs_waiting": (
        ["server_id", "turn", "id", "weights_key", "pixels", "steps"],
        "status = 'queued' AND held_at IS NULL",
    ),
    "ix_jobs_turn": (["user_id", "server_id", "turn"], "held_at IS NULL AND (charged OR status = 'queued')"),
    "ix_jobs_pace": (["weights_key", "finished_at"], "status = 'succeeded'"),
    "ix_jobs_user_status": (["user_id", "status"], None),
}
# None of the requests that are there has a LoRA.
SQLITE_FILL = (
    "UPDATE jobs SET server_id = coalesce(guild_id, 0), charged = attempts > 0,"
    " weights_key = json_extract(request, '$.model') || '|',"
    " pixels = json_extract(request, '$.width') * json_extract(request, '$.height') * samples"
)
POSTGRES_FILL = (
    "UPDATE jobs SET server_id = coalesce(guild_id, 0), charged = attempts > 0,"
    " weights_key = (request->>'model') || '|',"
    " pixels = (request->>'width')::bigint * (request->>'height')::bigint * samples"
)


def added() -> list[sa.Column[Any]]:
    return [
        sa.Column("server_id", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("weights_key", sa.Text(), nullable=False, server_default=""),
        sa.Column("pixels", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("weight", Time, nullable=False, server_default="1"),
        sa.Column("charged", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("passed_over_at", Time, nullable=True),
    ]


def upgrade() -> None:
    for column in added():
        op.add_column("jobs", column)
    op.execute(SQLITE_FILL if op.get_bind().dialect.name == "sqlite" else POSTGRES_FILL)
    replace_indexes(REPLACED, INDEXES)
    op.drop_column("jobs", "batch_key")
    create_shares()
    create_workers()
    create_previews()


def downgrade() -> None:
    op.add_column("jobs", sa.Column("batch_key", sa.Text(), nullable=False, server_default=""))
    replace_indexes(INDEXES, REPLACED)
    for table in ("previews", "workers", "shares"):
        op.drop_table(table)
    for column in reversed(added()):
        op.drop_column("jobs", column.name)


def replace_indexes(old: Indexes, new: Indexes) -> None:
    for name in old:
        op.drop_index(name, "jobs")
    for name, (columns, where) in new.items():
        condition = sa.text(where) if where else None
        op.create_index(name, "jobs", columns, sqlite_where=condition, postgresql_where=condition)


def create_shares() -> None:
    op.create_table(
        "shares",
        sa.Column("server_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("turn", Time, nullable=False),
        sa.Column("finish", Time, nullable=False),
        sa.Column("clock", Time, nullable=False),
        sa.PrimaryKeyConstraint("server_id", name="pk_shares"),
    )
    op.create_index("ix_shares_clock", "shares", ["clock"])


def create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.String(64), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("weights", Json, nullable=False),
        sa.Column("room", sa.BigInteger(), nullable=False),
        sa.Column("painting", sa.Text(), nullable=True),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("seen_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="pk_workers"),
    )


def create_previews() -> None:
    op.create_table(
        "previews",
        sa.Column("job_id", RowId, autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_previews_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_previews"),
    )
