"""Postgres compares the signs of embeddings itself, from the index alone."""

from __future__ import annotations

from alembic import op

revision = "0046"
down_revision = "0045"

SCOPES = {"ix_embeddings_user": "user_id", "ix_embeddings_guild": "guild_id"}
# Encrypted signs begin with "limner", a zero and a one; they cannot be compared.
BITS = (
    "ALTER TABLE embeddings ADD COLUMN bits bit varying GENERATED ALWAYS AS ("
    r"CASE WHEN substring(signs FOR 8) = '\x6c696d6e65720001' THEN NULL"
    " ELSE ('x' || encode(signs, 'hex'))::bit varying END) STORED"
)


def upgrade() -> None:
    if _is_sqlite():
        return
    op.execute(BITS)
    _index("INCLUDE (job_id, embedder, bits)")


def downgrade() -> None:
    if _is_sqlite():
        return
    _index("")
    op.execute("ALTER TABLE embeddings DROP COLUMN bits")


def _index(more: str) -> None:
    for name, column in SCOPES.items():
        op.execute(f"DROP INDEX {name}")
        op.execute(f"CREATE INDEX {name} ON embeddings ({column}, id) {more}")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
