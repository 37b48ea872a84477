"""A request says whether an operator stopped or cancelled it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import code_text

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("install_request", sa.Column("ended_as", code_text(16)))


def downgrade() -> None:
    """Bring it back."""
    op.drop_column("install_request", "ended_as")
