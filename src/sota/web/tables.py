"""The Web Server's own tables. Core's and the Resolver's data are never kept here.

They contain no secret: argon2id hashes of passwords, SHA-256 of tokens and cookies. ``web_key`` holds the key that
signs the page to return to after sign-in, so that several Web Servers on one database accept each other's.
"""

from __future__ import annotations

import sqlalchemy as sa

from sota.kit.audit.tables import add_audit_tables, add_open_deeds
from sota.kit.sql.database import Id, Utc, code_text, long_text

METADATA = sa.MetaData()

ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", code_text(64), nullable=False, unique=True),
    sa.Column("role", code_text(16), nullable=False),
    sa.Column("password_hash", code_text(200), nullable=False),
    # A generated password is for the first sign-in; its owner must replace it.
    sa.Column("password_change_due", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("password_changed_at", Utc, nullable=False),
)

API_TOKEN = sa.Table(
    "api_token",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", code_text(100), nullable=False),
    sa.Column("role", code_text(16), nullable=False),
    sa.Column("token_hash", code_text(64), nullable=False, unique=True),
    sa.Column("account_id", Id, sa.ForeignKey("account.id")),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc),
    sa.Column("revoked_at", Utc),
    sa.Column("last_used_at", Utc),
    # No foreign key: a deleted account's token may have created a service's, which is revoked and stays.
    sa.Column("parent_id", Id, index=True),
)

SESSION = sa.Table(
    "session",
    METADATA,
    sa.Column("token_hash", code_text(64), primary_key=True),
    sa.Column("account_id", Id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("address", code_text(64), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("last_used_at", Utc, nullable=False),
    sa.Column("ends_at", Utc, nullable=False, index=True),
)

LOGIN_BUCKET = sa.Table(
    "login_bucket",
    METADATA,
    sa.Column("id", code_text(64), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_at", Utc, nullable=False, index=True),
    sa.Column("blocked_until", Utc, nullable=False),
)

WEB_KEY = sa.Table(
    "web_key",
    METADATA,
    sa.Column("name", code_text(40), primary_key=True),
    sa.Column("value", code_text(128), nullable=False),
)

REGISTRATION = sa.Table(
    "registration",
    METADATA,
    sa.Column("id", Id, primary_key=True),  # also the idempotency key for Core and the Resolver
    sa.Column("kind", code_text(20), nullable=False),
    sa.Column("object", code_text(250), nullable=False),
    # The object while the registration is running, then NULL: so one object has at most one running registration.
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

UPLOAD = sa.Table(
    "upload",
    METADATA,
    sa.Column("file_key", code_text(100), primary_key=True),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("delete_after", Utc, nullable=False, index=True),
)

add_audit_tables(METADATA)
add_open_deeds(METADATA)
