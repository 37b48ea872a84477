"""What waits before an entry of the outbox is found by its topic."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("outbox_of_topic", "outbox", ["topic", "refused", "due_at"])


def downgrade() -> None:
    op.drop_index("outbox_of_topic", "outbox")
