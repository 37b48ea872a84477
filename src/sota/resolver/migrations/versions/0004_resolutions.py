"""Recorded resolutions, and the VINs that are to go from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from sota.kit.sql.database import Id, Utc, code_text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def packed() -> sa.LargeBinary:
    return sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "resolution",
        sa.Column("id", Id, primary_key=True),
        sa.Column("attempt", Id, nullable=False),
        sa.Column("name", code_text(100), nullable=False),
        sa.Column("version", code_text(32), nullable=False),
        sa.Column("begun_at", Utc, nullable=False),
        sa.Column("completed_at", Utc),
        sa.Column("chosen", sa.BigInteger, nullable=False),
        sa.Column("left_out", sa.BigInteger, nullable=False),
        sa.Column("erased", sa.BigInteger, nullable=False),
        sa.Column("content", packed(), nullable=False),
    )
    op.create_index("resolution_by_completion", "resolution", ["completed_at", "begun_at"])
    op.create_table(
        "resolution_chunk",
        sa.Column("resolution_id", Id, sa.ForeignKey("resolution.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attempt", Id, primary_key=True),
        sa.Column("kind", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("first_vin", code_text(17), nullable=False),
        sa.Column("last_vin", code_text(17), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("vins", packed(), nullable=False),
        sa.Column("verdicts", packed(), nullable=False),
    )
    op.create_index("resolution_chunk_by_vin", "resolution_chunk", ["first_vin", "last_vin"])
    op.create_table(
        "erasure",
        sa.Column("vin", code_text(17), primary_key=True),
        sa.Column("noted_at", Utc, nullable=False),
    )


def downgrade() -> None:
    for table in ("erasure", "resolution_chunk", "resolution"):
        op.drop_table(table)
