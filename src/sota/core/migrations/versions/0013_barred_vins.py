"""Vehicles are revoked by their VIN too, whichever tool issued their identities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("revocation", sa.Column("by_retirement", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Bring it back."""
    op.drop_column("revocation", "by_retirement")
