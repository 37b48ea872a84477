"""Which token made a token: so that a revoked one takes along what was made with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("api_token", sa.Column("parent_id", Id))
    op.create_index("ix_api_token_parent_id", "api_token", ["parent_id"])


def downgrade() -> None:
    op.drop_index("ix_api_token_parent_id", "api_token")
    op.drop_column("api_token", "parent_id")
