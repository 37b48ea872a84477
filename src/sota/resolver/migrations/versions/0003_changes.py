"""The log of changes, which every index of the fleet follows."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    head = op.create_table(
        "change_head",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("mark", sa.LargeBinary(8).with_variant(sa.BINARY(8), "mysql", "mariadb"), nullable=False),
    )
    change = op.create_table(
        "change",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.LargeBinary(8).with_variant(sa.BINARY(8), "mysql", "mariadb"), nullable=False),
        sa.Column("content", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"), nullable=False),
    )
    # The position before the first change: that of an index of an empty database.
    mark = secrets.token_bytes(8)
    op.bulk_insert(head, [{"id": 1, "number": 0, "mark": mark}])
    op.bulk_insert(change, [{"number": 0, "mark": mark, "content": b""}])


def downgrade() -> None:
    op.drop_table("change")
    op.drop_table("change_head")
