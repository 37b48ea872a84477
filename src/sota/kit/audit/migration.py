"""The migration that creates an audit trail. Never change it: a later change is a migration of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Utc, code_text


def create_audit_tables() -> None:
    """Create an empty chain."""
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", code_text(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "hash": "0" * 64}])
    op.create_table(
        "audit_record",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", Utc, nullable=False),
        sa.Column("actor", code_text(120), nullable=False),
        sa.Column("address", code_text(64), nullable=False),
        sa.Column("interaction", code_text(20), nullable=False),
        sa.Column("object", code_text(300), nullable=False),
        sa.Column("outcome", code_text(60), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("previous_hash", code_text(64), nullable=False),
        sa.Column("hash", code_text(64), nullable=False),
    )
    op.create_index("audit_record_actor", "audit_record", ["actor", "number"])
    op.create_index("audit_record_interaction", "audit_record", ["interaction", "number"])
    op.create_index("audit_record_at", "audit_record", ["at"])


def drop_audit_tables() -> None:
    """Undo :func:`create_audit_tables`."""
    op.drop_table("audit_record")
    op.drop_table("audit_head")
