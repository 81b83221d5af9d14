"""Keys that encrypt what is stored, and columns with room for encrypted words; folders are compared by their names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"

NAMES = sa.table("folders", sa.column("name", sa.Text), sa.column("key", sa.Text))


def upgrade() -> None:
    op.create_table(
        "encryption_keys",
        sa.Column("key_id", sa.String(8), nullable=False),
        sa.Column("first_used_at", sa.Double, nullable=False),
        sa.Column("covers_all", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_encryption_keys"),
    )
    with op.batch_alter_table("folders") as folders:
        folders.drop_constraint("uq_folders_user_id", type_="unique")
        folders.drop_column("key")
        folders.alter_column("name", type_=sa.Text, existing_type=sa.String(100), existing_nullable=False)
    op.create_index("ix_folders_user_id", "folders", ["user_id"])
    _change_input_name(sa.Text)


def downgrade() -> None:
    _change_input_name(sa.String(200))
    op.drop_index("ix_folders_user_id", "folders")
    with op.batch_alter_table("folders") as folders:
        folders.alter_column("name", type_=sa.String(100), existing_type=sa.Text, existing_nullable=False)
        folders.add_column(sa.Column("key", sa.String(400), nullable=False, server_default=""))
    op.get_bind().execute(sa.update(NAMES).values(key=NAMES.c.name))
    with op.batch_alter_table("folders") as folders:
        folders.alter_column("key", server_default=None)
        folders.create_unique_constraint("uq_folders_user_id", ["user_id", "key"])
    op.drop_table("encryption_keys")


def _change_input_name(kind: type[sa.Text] | sa.String) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("jobs", "input_name", type_=kind, existing_nullable=False, existing_server_default="")
        return
    # A new table in its place would be without the triggers of the full-text index.
    op.add_column("jobs", sa.Column("new_input_name", kind, nullable=False, server_default=""))
    op.execute("UPDATE jobs SET new_input_name = input_name WHERE input_name <> ''")
    op.execute("ALTER TABLE jobs DROP COLUMN input_name")
    op.execute("ALTER TABLE jobs RENAME COLUMN new_input_name TO input_name")
