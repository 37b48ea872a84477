"""What is begun and has no audit record yet: so that a kill in between leaves one all the same."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id, Utc, code_text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "audit_open",
        sa.Column("id", Id, primary_key=True),
        sa.Column("at", Utc, nullable=False),
        sa.Column("actor", code_text(120), nullable=False),
        sa.Column("address", code_text(64), nullable=False),
        sa.Column("interaction", code_text(20), nullable=False),
        sa.Column("object", code_text(300), nullable=False),
        sa.Column("until", Utc, nullable=False),
    )
    op.create_index("ix_audit_open_until", "audit_open", ["until"])


def downgrade() -> None:
    op.drop_table("audit_open")
