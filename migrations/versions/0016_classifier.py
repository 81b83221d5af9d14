"""Calls the column of the safety classifier, and the code of a picture that it could not score, by its name."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    rename("eyes", "classifier")
    op.execute("UPDATE jobs SET reason_code = 'unclassified' WHERE reason_code = 'eyes'")


def downgrade() -> None:
    op.execute("UPDATE jobs SET reason_code = 'eyes' WHERE reason_code = 'unclassified'")
    rename("classifier", "eyes")


def rename(old: str, new: str) -> None:
    for table in ("images", "input_pictures"):
        op.alter_column(table, old, new_column_name=new)
