"""Jobs, images, filter rules, and the synced commands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

Time = sa.Double[float]()
RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

SQLITE_SEARCH = (
    "CREATE VIRTUAL TABLE jobs_fts USING fts5(search_text, content='jobs', content_rowid='id', tokenize='ascii')",
    "CREATE TRIGGER jobs_fts_insert AFTER INSERT ON jobs BEGIN"
    " INSERT INTO jobs_fts (rowid, search_text) VALUES (new.id, new.search_text); END",
    "CREATE TRIGGER jobs_fts_delete AFTER DELETE ON jobs BEGIN"
    " INSERT INTO jobs_fts (jobs_fts, rowid, search_text) VALUES ('delete', old.id, old.search_text); END",
    "CREATE TRIGGER jobs_fts_update AFTER UPDATE OF search_text ON jobs BEGIN"
    " INSERT INTO jobs_fts (jobs_fts, rowid, search_text) VALUES ('delete', old.id, old.search_text);"
    " INSERT INTO jobs_fts (rowid, search_text) VALUES (new.id, new.search_text); END",
)
POSTGRES_SEARCH = ("CREATE INDEX jobs_fts ON jobs USING gin (to_tsvector('simple', search_text))",)


def upgrade() -> None:
    create_jobs()
    create_images()
    create_rules()
    op.create_table(
        "synced_commands",
        sa.Column("application_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("application_id", name="pk_synced_commands"),
    )
    for statement in SQLITE_SEARCH if _is_sqlite() else POSTGRES_SEARCH:
        op.execute(statement)


def downgrade() -> None:
    if _is_sqlite():
        op.execute("DROP TABLE jobs_fts")
    for table in ("synced_commands", "rules", "images", "jobs"):
        op.drop_table(table)


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", RowId, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=True),
        sa.Column("channel_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("locale", sa.String(16), nullable=False),
        sa.Column("idea", sa.Text(), nullable=False),
        sa.Column("style", sa.String(64), nullable=False),
        sa.Column("expand", sa.String(8), nullable=False),
        sa.Column("request", Json, nullable=False),
        sa.Column("batch_key", sa.Text(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("expansion", Json, nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("parent_id", RowId, nullable=True),
        sa.Column("turn", Time, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", Time, nullable=False),
        sa.Column("held_at", Time, nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("worker_id", sa.String(64), nullable=True),
        sa.Column("lease_until", Time, nullable=True),
        sa.Column("started_at", Time, nullable=True),
        sa.Column("finished_at", Time, nullable=True),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("seconds", Time, nullable=True),
        sa.Column("busy_seconds", Time, nullable=True),
        sa.Column("reason_code", sa.String(32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("delivered_at", Time, nullable=True),
        sa.Column("delivery_attempts", sa.Integer(), nullable=False),
        sa.Column("deliver_after", Time, nullable=False),
        sa.Column("deleted_at", Time, nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["jobs.id"], name="fk_jobs_parent_id_jobs", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_user", "jobs", ["user_id", "id"])
    op.create_index("ix_jobs_user_status_turn", "jobs", ["user_id", "status", "turn"])
    op.create_index("ix_jobs_guild_status", "jobs", ["guild_id", "status"])
    op.create_index("ix_jobs_batch_key_finished", "jobs", ["batch_key", "finished_at"])
    create_partial_index("ix_jobs_claim", ["turn", "user_id", "id"], where="status = 'queued' AND held_at IS NULL")
    create_partial_index("ix_jobs_running", ["worker_id"], where="status = 'running'")
    create_partial_index("ix_jobs_started", ["status", "turn"], where="started_at IS NOT NULL")
    create_partial_index("ix_jobs_held", ["held_at"], where="held_at IS NOT NULL")
    create_partial_index(
        "ix_jobs_undelivered",
        ["id"],
        where="delivered_at IS NULL AND channel_id IS NOT NULL AND status NOT IN ('queued', 'running')",
    )


def create_images() -> None:
    op.create_table(
        "images",
        sa.Column("id", RowId, nullable=False),
        sa.Column("job_id", RowId, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_images_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
    )
    op.create_index("ix_images_job_id", "images", ["job_id"])
    op.create_index("ix_images_sha256", "images", ["sha256"])


def create_rules() -> None:
    op.create_table(
        "rules",
        sa.Column("id", RowId, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("pattern", sa.String(200), nullable=False),
        sa.Column("normal_form", sa.String(400), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rules"),
    )
    op.create_index("uq_rules_guild_id", "rules", ["guild_id", "normal_form"], unique=True)


def create_partial_index(name: str, columns: list[str], *, where: str) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
