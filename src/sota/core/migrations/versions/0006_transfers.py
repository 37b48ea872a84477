"""Which Cores live, firmware and local changes of vehicles, and how often an update was tried by itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Utc, code_text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "core_instance",
        sa.Column("instance", code_text(60), primary_key=True),
        sa.Column("alive_until", Utc, nullable=False),
    )
    op.create_table(
        "vehicle_firmware",
        sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
        sa.Column("module", code_text(128), primary_key=True),
        sa.Column("version", code_text(128), nullable=False),
        sa.Column("changed_at", Utc),
    )
    op.create_table(
        "local_change",
        sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
        sa.Column("changed_at", Utc, primary_key=True),
        sa.Column("name", code_text(128), primary_key=True),
        sa.Column("operation", code_text(16), primary_key=True),
        sa.Column("version", code_text(128), nullable=False),
    )
    op.add_column("vehicle_update", sa.Column("tries", sa.Integer, nullable=False, server_default="1"))


def downgrade() -> None:
    op.drop_column("vehicle_update", "tries")
    op.drop_table("local_change")
    op.drop_table("vehicle_firmware")
    op.drop_table("core_instance")
