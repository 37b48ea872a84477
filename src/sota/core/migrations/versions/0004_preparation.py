"""Requests that are written chunk by chunk, why vehicles were left out, and the Resolver's record of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id, Utc, code_text, long_text

revision = "0004"
down_revision = "0003"

FOLLOWING = (("active_update", Id), ("data_plan", code_text(100)), ("retired_at", Utc))


def upgrade() -> None:
    op.create_table(
        "preparation",
        sa.Column("request_id", Id, primary_key=True),
        sa.Column("owner", code_text(120), nullable=False),
        sa.Column("lease_until", Utc, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.add_column("install_request", sa.Column("left_out_reasons", long_text()))
    op.add_column("install_request", sa.Column("resolution_id", Id))
    # What waits is to be tried at its start: the index by the next try serves for both.
    op.drop_index("vehicle_update_by_start", "vehicle_update")
    # The downloads themselves say which index comes next.
    op.drop_column("vehicle", "next_download_index")


def downgrade() -> None:
    op.add_column("vehicle", sa.Column("next_download_index", sa.BigInteger, nullable=False, server_default="1"))
    op.execute(
        "UPDATE vehicle SET next_download_index = "
        "1 + COALESCE((SELECT MAX(download_index) FROM download WHERE download.vin = vehicle.vin), 0)"
    )
    if op.get_bind().dialect.name == "sqlite":
        # A column is added at the end there: what followed this one comes after it again.
        for name, kind in FOLLOWING:
            op.add_column("vehicle", sa.Column(f"{name}_again", kind))
            op.execute(sa.text(f"UPDATE vehicle SET {name}_again = {name}"))  # noqa: S608 - names of ours
            op.drop_column("vehicle", name)
            op.alter_column("vehicle", f"{name}_again", new_column_name=name)
    op.create_index("vehicle_update_by_start", "vehicle_update", ["status", "start_at"])
    op.drop_column("install_request", "resolution_id")
    op.drop_column("install_request", "left_out_reasons")
    op.drop_table("preparation")
