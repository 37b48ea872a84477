"""The first tables: registers, filters, dictionaries, what is installed, facts and answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from sota.kit.sql.database import Utc, code_text, long_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact_text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    _registers()
    _filters()
    _installed()
    op.create_table(
        "fact", sa.Column("id", code_text(100), primary_key=True), sa.Column("recorded_at", Utc, nullable=False)
    )
    op.create_index("fact_by_age", "fact", ["recorded_at"])
    op.create_table(
        "idempotency",
        sa.Column("key", code_text(200), primary_key=True),
        sa.Column("request", code_text(64), nullable=False),
        sa.Column("answer", long_text(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_index("idempotency_by_age", "idempotency", ["created_at"])


def downgrade() -> None:
    for table in (
        "idempotency",
        "fact",
        "installed_component",
        "installed_package",
        "software",
        "component",
        "package_filter",
        "filter",
        "package_dependency",
        "package",
        "vehicle",
    ):
        op.drop_table(table)


def _registers() -> None:
    op.create_table(
        "vehicle",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("vin", code_text(17), nullable=False, unique=True),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_table(
        "package",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("name", exact_text(100), nullable=False),
        sa.Column("version", exact_text(32), nullable=False),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("vendor", code_text(200), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.UniqueConstraint("name", "version", name="package_by_name"),
    )
    op.create_table(
        "package_dependency",
        sa.Column("package_id", ID, sa.ForeignKey("package.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", code_text(100), primary_key=True),
        sa.Column("minimum", code_text(32), nullable=False),
    )


def _filters() -> None:
    op.create_table(
        "filter",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("name", code_text(100), nullable=False, unique=True),
        sa.Column("expression", long_text(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_table(
        "package_filter",
        sa.Column("package_id", ID, sa.ForeignKey("package.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("filter_id", ID, sa.ForeignKey("filter.id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index("package_filter_by_filter", "package_filter", ["filter_id"])


def _installed() -> None:
    op.create_table(
        "component",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("part_number", code_text(100), nullable=False, unique=True),
        sa.Column("registered", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("name", code_text(200)),
        sa.Column("description", long_text()),
    )
    op.create_table(
        "software",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("name", exact_text(128), nullable=False),
        sa.Column("version", exact_text(128), nullable=False),
        sa.UniqueConstraint("name", "version", name="software_by_name"),
    )
    op.create_table(
        "installed_package",
        sa.Column("vehicle_id", ID, sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("software_id", ID, sa.ForeignKey("software.id"), primary_key=True),
    )
    op.create_index("installed_package_by_software", "installed_package", ["software_id"])
    op.create_table(
        "installed_component",
        sa.Column("vehicle_id", ID, sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("component_id", ID, sa.ForeignKey("component.id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index("installed_component_by_component", "installed_component", ["component_id"])
