"""What vehicles report is kept letter by letter on MariaDB too: names that differ by a space at the end are two."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"

COLUMNS = {
    "installed_package": ("name", "version"),
    "vehicle_firmware": ("module", "version"),
    "local_change": ("name", "version"),
}


def upgrade() -> None:
    _compare("utf8mb4_nopad_bin")


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        for table, columns in COLUMNS.items():  # the vehicle tells again what it has
            for column in columns:
                op.execute(sa.delete(sa.table(table)).where(sa.column(column, sa.String).endswith(" ")))
    _compare("utf8mb4_bin")


def _compare(collation: str) -> None:
    if op.get_bind().dialect.name == "sqlite":  # compares so anyway
        return
    text = mysql.VARCHAR(128, charset="utf8mb4", collation=collation)
    for table, columns in COLUMNS.items():
        for column in columns:
            op.alter_column(table, column, type_=text, existing_nullable=False)
