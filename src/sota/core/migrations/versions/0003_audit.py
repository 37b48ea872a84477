"""The audit trail."""

from __future__ import annotations

from sota.kit.audit.migration import create_audit_tables, drop_audit_tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_audit_tables()


def downgrade() -> None:
    drop_audit_tables()
