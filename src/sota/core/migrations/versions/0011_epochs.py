"""Each life of a vehicle in this register has an epoch, and each ended update says who ended it."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import code_text

revision = "0011"
down_revision = "0010"

UNSET = "0" * 16


def upgrade() -> None:
    # A default, because SQLite adds no column that must be filled without one. Core always writes a random value.
    op.add_column("vehicle", sa.Column("epoch", code_text(16), nullable=False, server_default=UNSET))
    op.add_column("vehicle", sa.Column("highest_index", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("vehicle_update", sa.Column("ended_by", code_text(16)))
    vehicle = sa.table("vehicle", sa.column("epoch"))
    op.execute(vehicle.update().values(epoch=secrets.token_hex(8)))


def downgrade() -> None:
    op.drop_column("vehicle_update", "ended_by")
    op.drop_column("vehicle", "highest_index")
    op.drop_column("vehicle", "epoch")
