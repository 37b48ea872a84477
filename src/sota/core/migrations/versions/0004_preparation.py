"""Requests that are written chunk by chunk, why vehicles were left out, and the Resolver's record of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.db import Id, Utc, code_text, long_text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "preparation",
        sa.Column("request_id", Id, primary_key=True),
        sa.Column("owner", code_text(120), nullable=False),
        sa.Column("lease_until", Utc, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.add_column("install_request", sa.Column("left_out_reasons", long_text()))
    op.add_column("install_request", sa.Column("resolution_id", Id))


def downgrade() -> None:
    op.drop_column("install_request", "resolution_id")
    op.drop_column("install_request", "left_out_reasons")
    op.drop_table("preparation")
