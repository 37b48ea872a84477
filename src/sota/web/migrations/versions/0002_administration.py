"""When a token was last used; ways to look something up in the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Utc

revision = "0002"
down_revision = "0001"
INDEXES = (
    ("audit_record_actor", ["actor", "number"]),
    ("audit_record_interaction", ["interaction", "number"]),
    ("audit_record_at", ["at"]),
)


def upgrade() -> None:
    op.add_column("api_token", sa.Column("last_used_at", Utc))
    for name, columns in INDEXES:
        op.create_index(name, "audit_record", columns)


def downgrade() -> None:
    for name, _ in reversed(INDEXES):
        op.drop_index(name, "audit_record")
    op.drop_column("api_token", "last_used_at")
