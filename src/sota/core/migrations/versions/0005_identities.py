"""Identities of vehicles, codes to enrol with, and the revocation list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id, Utc, code_text, long_text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "identity",
        sa.Column("id", Id, primary_key=True),
        sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), nullable=False),
        sa.Column("fingerprint", code_text(64), nullable=False, unique=True),
        sa.Column("credential_id", code_text(100), nullable=False),
        sa.Column("public_key", code_text(64), nullable=False),
        sa.Column("issuer", code_text(64), nullable=False),
        sa.Column("certificate", long_text(), nullable=False),
        sa.Column("credential", long_text(), nullable=False),
        sa.Column("issued_by", code_text(16), nullable=False),
        sa.Column("issued_at", Utc, nullable=False),
        sa.Column("expires_at", Utc, nullable=False),
        sa.Column("revoked_at", Utc),
        sa.Column("revoked_because", long_text()),
        sa.Index("identity_by_vin", "vin", "id"),
        sa.Index("identity_by_issuer", "issuer", "revoked_at", "expires_at"),
    )
    op.create_table(
        "enrolment_code",
        sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
        sa.Column("code_hash", code_text(64), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("expires_at", Utc, nullable=False),
        sa.Column("used_for", code_text(64)),
    )
    op.create_table(
        "revocation",
        sa.Column("entry", code_text(100), primary_key=True),
        sa.Column("revoked_at", Utc, nullable=False),
        sa.Column("until", Utc, nullable=False),
        sa.Index("revocation_by_until", "until", "revoked_at"),
    )


def downgrade() -> None:
    for table in ("revocation", "enrolment_code", "identity"):
        op.drop_table(table)
