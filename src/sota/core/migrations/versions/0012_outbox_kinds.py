"""Entries of the outbox are found by their kind, in the order in which they are sent."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_index("outbox_by_kind", "outbox", ["kind", "refused", "id"])
    op.drop_index("outbox_due", "outbox")


def downgrade() -> None:
    """Bring it back."""
    op.create_index("outbox_due", "outbox", ["refused", "due_at"])
    op.drop_index("outbox_by_kind", "outbox")
