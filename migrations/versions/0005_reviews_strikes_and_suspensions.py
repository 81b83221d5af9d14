"""Moderators' decisions, strikes and suspensions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Time = sa.Double[float]()
RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("pardoned_ids", sa.JSON(none_as_null=True), nullable=True))
    create_reviews()
    create_strikes()
    create_suspensions()


def downgrade() -> None:
    for table in ("suspensions", "strikes", "reviews"):
        op.drop_table(table)
    op.drop_column("jobs", "pardoned_ids")


def create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", RowId, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", RowId, nullable=False),
        sa.Column("is_appeal", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("why", sa.String(32), nullable=False),
        sa.Column("words", sa.Text(), nullable=False, server_default=""),
        sa.Column("state", sa.String(16), nullable=False, server_default="open"),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", Time, nullable=True),
        sa.Column("channel_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("tried_at", Time, nullable=True),
        sa.Column("shown", sa.String(16), nullable=True),
        sa.Column("post_after", Time, nullable=False, server_default="0"),
        sa.Column("told_of", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_reviews_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_reviews_job_id", "reviews", ["job_id", "is_appeal"], unique=True)
    op.create_index("ix_reviews_guild_id", "reviews", ["guild_id", "user_id"])
    create_partial_index("ix_reviews_unshown", "reviews", "id", "(shown IS NULL OR shown != state)")
    create_partial_index("ix_reviews_open", "reviews", "guild_id", "state = 'open'")


def create_strikes() -> None:
    op.create_table(
        "strikes",
        sa.Column("id", RowId, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.Column("given_by", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("review_id", RowId, nullable=True),
        sa.Column("removed_at", Time, nullable=True),
        sa.Column("removed_by", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["review_id"], ["reviews.id"], name="fk_strikes_review_id_reviews", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_strikes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_strikes_guild_id", "strikes", ["guild_id", "user_id"])
    op.create_index("uq_strikes_review_id", "strikes", ["review_id"], unique=True)


def create_suspensions() -> None:
    op.create_table(
        "suspensions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("strike_id", RowId, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("until", Time, nullable=False),
        sa.Column("lifted_at", Time, nullable=True),
        sa.Column("time_out", sa.String(8), nullable=False, server_default="none"),
        sa.ForeignKeyConstraint(
            ["strike_id"], ["strikes.id"], name="fk_suspensions_strike_id_strikes", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_suspensions"),
    )
    op.create_index("ix_suspensions_guild_id", "suspensions", ["guild_id", "user_id"])
    op.create_index("ix_suspensions_strike_id", "suspensions", ["strike_id"])
    create_partial_index("ix_suspensions_time_out", "suspensions", "id", "time_out IN ('wanted', 'set')")


def create_partial_index(name: str, table: str, column: str, where: str) -> None:
    op.create_index(name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
