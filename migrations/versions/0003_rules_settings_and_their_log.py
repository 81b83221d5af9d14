"""Rules with kinds, actions, scopes and expiry; servers' settings; their log; the place of a request."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Time = sa.Double[float]()
RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True)
Rows = list[dict[str, Any]]


def added() -> list[sa.Column[Any]]:
    return [
        sa.Column("parent_ids", Json, nullable=False, server_default="[]"),
        sa.Column("role_ids", Json, nullable=False, server_default="[]"),
        sa.Column("is_age_restricted", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("rule_ids", Json, nullable=False, server_default="[]"),
        sa.Column("rule_action", sa.String(8), nullable=True),
        sa.Column("is_spoiler", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("quarantine", sa.String(32), nullable=True),
    ]


def upgrade() -> None:
    for column in added():
        op.add_column("jobs", column)
    rows = take_rules(["id", "guild_id", "pattern", "normal_form", "created_by", "created_at"])
    fill(create_rules(), [row | {"kind": kind(row["pattern"], row["normal_form"])} for row in rows])
    create_guild_settings()
    create_filter_changes()


def downgrade() -> None:
    for table in ("filter_changes", "guild_settings"):
        op.drop_table(table)
    keyword = "NOT is_allow AND kind NOT IN ('regex', 'pack') AND scope_key = ''"
    rows = take_rules(["id", "guild_id", "pattern", "normal_form", "created_by", "created_at"], keyword)
    fill(create_first_rules(), rows)
    for column in reversed(added()):
        op.drop_column("jobs", column.name)


def kind(pattern: str, normal_form: str) -> str:
    stars = {(True, True): "infix", (True, False): "suffix", (False, True): "prefix"}
    found = stars.get((pattern.startswith("*"), pattern.endswith("*")))
    return found or ("phrase" if " " in normal_form else "word")


def take_rules(columns: list[str], where: str = "1 = 1") -> Rows:
    """All rows, and the table is gone."""
    rules = sa.table("rules", *map(sa.column, columns))
    rows = op.get_bind().execute(sa.select(rules).where(sa.text(where))).mappings()
    taken = [dict(row) for row in rows]
    op.drop_table("rules")
    return taken


def fill(rules: sa.Table, rows: Rows) -> None:
    if not rows:
        return
    op.bulk_insert(rules, rows)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SELECT setval(pg_get_serial_sequence('rules', 'id'), (SELECT max(id) FROM rules))")


def create_rules() -> sa.Table:
    table = op.create_table(
        "rules",
        sa.Column("id", RowId, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("pattern", sa.String(260), nullable=False),
        sa.Column("normal_form", sa.String(400), nullable=False),
        sa.Column("is_allow", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("action", sa.String(8), nullable=False, server_default="block"),
        sa.Column("reason", sa.String(200), nullable=False, server_default=""),
        sa.Column("replacement", sa.String(100), nullable=False, server_default=""),
        sa.Column("scope", Json, nullable=False, server_default="{}"),
        sa.Column("scope_key", sa.String(16), nullable=False, server_default=""),
        sa.Column("is_on", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("expires_at", Time, nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rules"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_rules_guild_id", "rules", ["guild_id", "is_allow", "normal_form", "scope_key"], unique=True)
    return table


def create_first_rules() -> sa.Table:
    table = op.create_table(
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
    return table


def create_guild_settings() -> None:
    op.create_table(
        "guild_settings",
        sa.Column("guild_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", Time, nullable=False),
        sa.Column("changed_by", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("guild_id", name="pk_guild_settings"),
    )


def create_filter_changes() -> None:
    op.create_table(
        "filter_changes",
        sa.Column("id", RowId, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("by", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("before", Json, nullable=False),
        sa.Column("after", Json, nullable=False),
        sa.Column("undoes", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_filter_changes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_filter_changes_guild_id", "filter_changes", ["guild_id", "id"])
