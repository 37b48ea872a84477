"""What SQLite is told of its biggest table: without it, it takes a state for as rare as an id.

MariaDB counts by itself. SQLite would have to be told to (ANALYZE), at a moment at which there is something to count;
what matters is known beforehand. Almost all updates are in one of a few states, so that an index that begins with the
state is the right one only where nothing else is asked.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# By index: how many rows there are, then how many have the same first column, the same first two, and so on.
STATISTICS = {
    "sqlite_autoindex_vehicle_update_1": "1000000 1",
    "vehicle_update_by_vin": "1000000 10 5 4 1",
    "vehicle_update_of_set": "1000000 10000 10000 5000 5000 2500 1",
    "vehicle_update_by_try": "1000000 200000 100",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ANALYZE sqlite_master")  # makes the table of statistics
        _forget()
        for index, counts in STATISTICS.items():
            statement = sa.text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('vehicle_update', :idx, :counts)")
            op.execute(statement.bindparams(idx=index, counts=counts))
        op.execute("ANALYZE sqlite_master")  # reads it


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _forget()
        op.execute("ANALYZE sqlite_master")


def _forget() -> None:
    op.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'vehicle_update'")
