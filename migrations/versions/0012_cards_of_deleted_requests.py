"""Lets cards be emptied that were decided and whose requests were deleted before deletions reached them."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        "UPDATE reviews SET shown = 'stale' WHERE state != 'open' AND shown = state"
        " AND job_id IN (SELECT id FROM jobs WHERE deleted_at IS NOT NULL)"
    )


def downgrade() -> None:
    pass  # a card that is written again is the same
