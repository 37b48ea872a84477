"""Queues by hand, tries that follow tries, blacklisted packages and retired vehicles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id, Utc, long_text

revision = "0002"
down_revision = "0001"

COLUMNS = (
    ("vehicle", "retired_at", Utc),
    ("package", "blacklisted_at", Utc),
    ("package", "blacklist_comment", long_text()),
    ("vehicle_update", "queue_priority", sa.Integer),
    ("vehicle_update", "queue_position", sa.Integer),
    ("vehicle_update", "superseded_by", Id),
)
BEFORE = ["request_id", "position", "status", "update_id"]
AFTER = ["request_id", "position", "status", "superseded_by", "update_id"]


def upgrade() -> None:
    for table, name, kind in COLUMNS:
        op.add_column(table, sa.Column(name, kind))
    # The new index first: MariaDB lets a foreign key not be without one.
    op.create_index("vehicle_update_of_request", "vehicle_update", AFTER)
    op.drop_index("vehicle_update_by_request", "vehicle_update")
    op.create_index("download_by_package", "download", ["package_name", "package_version", "update_id"])


def downgrade() -> None:
    op.drop_index("download_by_package", "download")
    op.create_index("vehicle_update_by_request", "vehicle_update", BEFORE)
    op.drop_index("vehicle_update_of_request", "vehicle_update")
    for table, name, _ in reversed(COLUMNS):
        op.drop_column(table, name)
