"""Attributes of vehicles, and groups of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from sota.kit.sql.database import Utc, code_text, long_text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact_text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "attribute",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("name", code_text(64), nullable=False),
        sa.Column("value", exact_text(128), nullable=False),
        sa.UniqueConstraint("name", "value", name="attribute_by_name"),
    )
    op.create_table(
        "vehicle_attribute",
        sa.Column("vehicle_id", ID, sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("attribute_id", ID, sa.ForeignKey("attribute.id"), primary_key=True),
    )
    op.create_index("vehicle_attribute_by_attribute", "vehicle_attribute", ["attribute_id"])
    op.create_table(
        "vehicle_group",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("name", code_text(64), nullable=False, unique=True),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_table(
        "group_member",
        sa.Column("vehicle_id", ID, sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("group_id", ID, sa.ForeignKey("vehicle_group.id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index("group_member_by_group", "group_member", ["group_id"])


def downgrade() -> None:
    for table in ("group_member", "vehicle_group", "vehicle_attribute", "attribute"):
        op.drop_table(table)
