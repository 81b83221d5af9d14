"""The full-text index finds in order: whose requests, how they are made, and their words; and indexes of children."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from limner.bot.storage.history.search import facets, index_form, searchable

revision = "0026"
down_revision = "0025"

Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
WHOSE = ("user_id", "guild_id", "channel_id", "is_private", "style")
NUMBERS, TEXTS = (
    ("id", "parent_id", "user_id", "guild_id", "channel_id"),
    ("action", "status", "style", "idea", "prompt"),
)
JOBS = sa.table(
    "jobs",
    *(sa.column(name, sa.BigInteger) for name in NUMBERS),
    *(sa.column(name, sa.Text) for name in (*TEXTS, "search_facets", "search_text")),
    sa.column("is_private", sa.Boolean),
    sa.column("deleted_at", sa.Double),
    sa.column("request", Json),
)
READ = [column for column in JOBS.c if column.name not in ("search_facets", "search_text")]
AT_ONCE = 1000
PARENT = sa.text("parent_id IS NOT NULL")
WORDS = ("search_facets", "search_text")
SQLITE_OLD = (
    *(f"DROP TRIGGER jobs_fts_{event}" for event in ("insert", "delete", "update")),
    "DROP TABLE jobs_fts",
)
SQLITE_BEFORE = (
    "CREATE VIRTUAL TABLE jobs_fts USING fts5(search_text, content='jobs', content_rowid='id', tokenize='ascii')",
    "CREATE TRIGGER jobs_fts_insert AFTER INSERT ON jobs BEGIN"
    " INSERT INTO jobs_fts (rowid, search_text) VALUES (new.id, new.search_text); END",
    "CREATE TRIGGER jobs_fts_delete AFTER DELETE ON jobs BEGIN"
    " INSERT INTO jobs_fts (jobs_fts, rowid, search_text) VALUES ('delete', old.id, old.search_text); END",
    "CREATE TRIGGER jobs_fts_update AFTER UPDATE OF search_text ON jobs BEGIN"
    " INSERT INTO jobs_fts (jobs_fts, rowid, search_text) VALUES ('delete', old.id, old.search_text);"
    " INSERT INTO jobs_fts (rowid, search_text) VALUES (new.id, new.search_text); END",
    "INSERT INTO jobs_fts (jobs_fts) VALUES ('rebuild')",
)
SQLITE_NOW = (
    "CREATE VIRTUAL TABLE jobs_fts USING fts5"
    "(search_facets, search_text, content='jobs', content_rowid='id', tokenize='ascii', detail='none')",
    "CREATE TRIGGER jobs_fts_insert AFTER INSERT ON jobs BEGIN"
    " INSERT INTO jobs_fts (rowid, search_facets, search_text) VALUES (new.id, new.search_facets, new.search_text);"
    " END",
    "CREATE TRIGGER jobs_fts_delete AFTER DELETE ON jobs BEGIN"
    " INSERT INTO jobs_fts (jobs_fts, rowid, search_facets, search_text)"
    " VALUES ('delete', old.id, old.search_facets, old.search_text); END",
    "CREATE TRIGGER jobs_fts_update AFTER UPDATE OF search_facets, search_text ON jobs BEGIN"
    " INSERT INTO jobs_fts (jobs_fts, rowid, search_facets, search_text)"
    " VALUES ('delete', old.id, old.search_facets, old.search_text);"
    " INSERT INTO jobs_fts (rowid, search_facets, search_text) VALUES (new.id, new.search_facets, new.search_text);"
    " END",
    "INSERT INTO jobs_fts (jobs_fts) VALUES ('rebuild')",
)
# A GIN index gives rows in no order, and all at once. Terms with the number of a block of ids before them let a search
# go from block to block and stop when it has found enough.
POSTGRES_SEARCH = (
    "DROP INDEX jobs_fts",
    "CREATE TABLE jobs_fts (job_id bigint PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE, terms text[] NOT NULL)",
    """CREATE FUNCTION jobs_fts_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO jobs_fts VALUES (new.id, ARRAY(
        SELECT DISTINCT (new.id >> 12) || '.' || term
        FROM unnest(string_to_array(new.search_facets || ' ' || new.search_text, ' ')) AS term
        WHERE term NOT IN ('', '|')
    )) ON CONFLICT (job_id) DO UPDATE SET terms = excluded.terms;
    RETURN NULL;
END $$""",
    "CREATE TRIGGER jobs_fts_insert AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_fts_write()",
    "CREATE TRIGGER jobs_fts_update AFTER UPDATE OF search_facets, search_text ON jobs FOR EACH ROW"
    " WHEN (old.search_facets <> new.search_facets OR old.search_text <> new.search_text)"
    " EXECUTE FUNCTION jobs_fts_write()",
)
# Without a list of pending entries, which every search would read.
POSTGRES_INDEX = "CREATE INDEX jobs_fts_terms ON jobs_fts USING gin (terms) WITH (fastupdate = off)"
POSTGRES_OLD = (
    "DROP TRIGGER jobs_fts_insert ON jobs",
    "DROP TRIGGER jobs_fts_update ON jobs",
    "DROP FUNCTION jobs_fts_write",
    "DROP TABLE jobs_fts",
    "CREATE INDEX jobs_fts ON jobs USING gin (to_tsvector('simple', search_text))",
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("search_facets", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_jobs_parent", "jobs", ["parent_id", "id"], sqlite_where=PARENT, postgresql_where=PARENT)
    op.create_index("ix_jobs_created", "jobs", ["created_at"])
    op.create_index("ix_images_job", "images", ["job_id", "position"])
    op.drop_index("ix_images_job_id", "images")
    if _is_sqlite():
        _execute(*SQLITE_OLD)
        _fill()
        _execute(*SQLITE_NOW)
    else:
        _execute(*POSTGRES_SEARCH)
        _fill()
        _execute(POSTGRES_INDEX)


def downgrade() -> None:
    _execute(*(SQLITE_OLD if _is_sqlite() else POSTGRES_OLD))
    op.create_index("ix_images_job_id", "images", ["job_id"])
    for table, index in (("images", "ix_images_job"), ("jobs", "ix_jobs_created"), ("jobs", "ix_jobs_parent")):
        op.drop_index(index, table)
    _write(lambda row: {"search_text": searchable(f"{row['idea']}\n{row['prompt'] or ''}")})
    op.drop_column("jobs", "search_facets")
    if _is_sqlite():
        _execute(*SQLITE_BEFORE)


def _fill() -> None:
    """Write the index's form of every request that is not deleted."""
    is_upscaled = sa.and_(JOBS.c.action == "upscale", JOBS.c.status == "succeeded")
    upscaled = set(op.get_bind().scalars(sa.select(JOBS.c.parent_id).where(is_upscaled)))

    def terms(row: Mapping[str, Any]) -> dict[str, Any]:
        request, whose = row["request"], {name: row[name] for name in WHOSE}
        loras = [name for name, _weight in request.get("loras", ())]
        found = facets(**whose, model=request["model"], loras=loras, is_upscaled=row["id"] in upscaled)
        return {"search_facets": found, "search_text": index_form(row["idea"], row["prompt"])}

    _write(terms)


def _write(values: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """Give every request that is not deleted its values, some at a time."""
    connection, last = op.get_bind(), 0
    while True:
        found = sa.select(*READ).where(JOBS.c.id > last, JOBS.c.deleted_at.is_(None)).order_by(JOBS.c.id).limit(AT_ONCE)
        rows = [{str(name): value for name, value in row.items()} for row in connection.execute(found).mappings()]
        if not rows:
            return
        changes = [{"number": row["id"], **values(row)} for row in rows]
        new = {name: sa.bindparam(name, type_=sa.Text) for name in changes[0] if name != "number"}
        connection.execute(sa.update(JOBS).where(JOBS.c.id == sa.bindparam("number")).values(new), changes)
        last = rows[-1]["id"]


def _execute(*statements: str) -> None:
    for statement in statements:
        op.execute(statement)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
