"""The first tables: accounts, tokens, sessions, registrations, uploads, the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id, Utc, code_text, long_text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", code_text(64), nullable=False, unique=True),
        sa.Column("role", code_text(16), nullable=False),
        sa.Column("password_hash", code_text(200), nullable=False),
        sa.Column("password_change_due", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("password_changed_at", Utc, nullable=False),
    )
    op.create_table(
        "api_token",
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", code_text(100), nullable=False),
        sa.Column("role", code_text(16), nullable=False),
        sa.Column("token_hash", code_text(64), nullable=False, unique=True),
        sa.Column("account_id", Id, sa.ForeignKey("account.id")),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("expires_at", Utc),
        sa.Column("revoked_at", Utc),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", code_text(64), primary_key=True),
        sa.Column("account_id", Id, sa.ForeignKey("account.id"), nullable=False, index=True),
        sa.Column("address", code_text(64), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("last_used_at", Utc, nullable=False),
        sa.Column("ends_at", Utc, nullable=False, index=True),
    )
    op.create_table(
        "login_bucket",
        sa.Column("id", code_text(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", Utc, nullable=False, index=True),
        sa.Column("blocked_until", Utc, nullable=False),
    )
    op.create_table(
        "web_key",
        sa.Column("name", code_text(40), primary_key=True),
        sa.Column("value", code_text(128), nullable=False),
    )
    create_registrations()
    create_audit()


def create_registrations() -> None:
    op.create_table(
        "registration",
        sa.Column("id", Id, primary_key=True),
        sa.Column("kind", code_text(20), nullable=False),
        sa.Column("object", code_text(250), nullable=False),
        sa.Column("open_object", code_text(250), unique=True),
        sa.Column("fingerprint", code_text(64), nullable=False),
        sa.Column("core_body", long_text(), nullable=False),
        sa.Column("resolver_body", long_text(), nullable=False),
        sa.Column("file_key", code_text(100)),
        sa.Column("state", code_text(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("refusal", long_text()),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("finished_at", Utc),
        sa.Index("registration_due", "open_object", "due_at"),
    )
    op.create_table(
        "upload",
        sa.Column("file_key", code_text(100), primary_key=True),
        sa.Column("started_at", Utc, nullable=False),
        sa.Column("delete_after", Utc, nullable=False, index=True),
    )


def create_audit() -> None:
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


def downgrade() -> None:
    for name in (
        "audit_record",
        "audit_head",
        "upload",
        "registration",
        "web_key",
        "login_bucket",
        "session",
        "api_token",
        "account",
    ):
        op.drop_table(name)
