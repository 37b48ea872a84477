"""What vehicles get is written once for all that get the same; downloads come into being when a vehicle is told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id, Utc, code_text

revision = "0008"
down_revision = "0007"

BLOCK_SIZE = 65_536
OF_REQUEST = ["request_id", "position", "status", "superseded_by", "update_id"]
OF_SET = ["request_id", "position", "status", "superseded_by", "set_number", "update_id"]
# What each update's vehicle was to get, as one text, and the number of those that get the same.
NUMBERED = """
INSERT INTO set_of_update (update_id, request_id, position, set_number)
SELECT update_id, request_id, position, DENSE_RANK() OVER (PARTITION BY request_id, position ORDER BY packages) - 1
FROM (
    SELECT u.update_id, u.request_id, u.position, {packages} AS packages
    FROM vehicle_update u JOIN {downloads} d ON d.update_id = u.update_id
    GROUP BY u.update_id, u.request_id, u.position
) listed
"""
ONE = "d.package_name || '/' || d.package_version || '/' || d.size"
SQLITE = NUMBERED.format(
    packages=f"GROUP_CONCAT({ONE})", downloads="(SELECT * FROM download ORDER BY update_id, position)"
)
MARIADB = NUMBERED.format(
    # A digest, for only the beginning of a long text is compared when rows are ranked.
    packages="SHA2(GROUP_CONCAT(CONCAT_WS('/', d.package_name, d.package_version, d.size) ORDER BY d.position), 256)",
    downloads="download",
)
SETS = """
INSERT INTO package_set (request_id, position, set_number, place, package_name, package_version, size)
SELECT one.request_id, one.position, one.set_number, d.position, d.package_name, d.package_version, d.size
FROM (
    SELECT request_id, position, set_number, MIN(update_id) AS update_id FROM set_of_update
    GROUP BY request_id, position, set_number
) one JOIN download d ON d.update_id = one.update_id
"""
DOWNLOADS = f"""
INSERT INTO download (vin, download_index, update_id, position, package_name, package_version, size, block_size,
    received, state)
SELECT u.vin, COALESCE(had.last, 0) + ROW_NUMBER() OVER (PARTITION BY u.vin ORDER BY u.update_id, s.place),
    u.update_id, s.place, s.package_name, s.package_version, s.size, {BLOCK_SIZE}, '', 'pending'
FROM vehicle_update u
JOIN package_set s ON s.request_id = u.request_id AND s.position = u.position AND s.set_number = u.set_number
LEFT JOIN (SELECT vin, MAX(download_index) AS last FROM download GROUP BY vin) had ON had.vin = u.vin
WHERE u.status = 'pending'
"""  # noqa: S608 - a number of ours


def upgrade() -> None:
    op.create_table(
        "package_set",
        sa.Column("request_id", Id, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("set_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("package_name", code_text(100), nullable=False),
        sa.Column("package_version", code_text(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id", "position"], ["install_request.id", "install_request.position"], ondelete="CASCADE"
        ),
        sa.Index("package_set_by_package", "package_name", "package_version"),
    )
    op.add_column("vehicle_update", sa.Column("set_number", sa.Integer))
    op.add_column("install_request", sa.Column("closed_at", Utc))
    _fill()
    # No vehicle knows an index of a pending update yet: new ones are assigned when it is notified.
    op.execute(
        "DELETE FROM download WHERE update_id IN (SELECT update_id FROM vehicle_update WHERE status = 'pending')"
    )
    # The new index first: MariaDB lets a foreign key not be without one.
    op.create_index("vehicle_update_of_set", "vehicle_update", OF_SET)
    op.drop_index("vehicle_update_of_request", "vehicle_update")
    op.drop_index("vehicle_update_by_end", "vehicle_update")
    op.drop_index("download_by_package", "download")
    op.create_index("install_request_by_end", "install_request", ["closed_at", "end_at"])


def downgrade() -> None:
    op.drop_index("install_request_by_end", "install_request")
    op.create_index("download_by_package", "download", ["package_name", "package_version", "update_id"])
    op.create_index("vehicle_update_by_end", "vehicle_update", ["status", "end_at"])
    op.create_index("vehicle_update_of_request", "vehicle_update", OF_REQUEST)
    op.drop_index("vehicle_update_of_set", "vehicle_update")
    op.execute(DOWNLOADS)
    op.drop_column("install_request", "closed_at")
    op.drop_column("vehicle_update", "set_number")
    op.drop_table("package_set")


def _fill() -> None:
    op.create_table(
        "set_of_update",
        sa.Column("update_id", Id, primary_key=True),
        sa.Column("request_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("set_number", sa.Integer, nullable=False),
        sa.Index("set_of_update_by_set", "request_id", "position", "set_number", "update_id"),
    )
    op.execute(SQLITE if op.get_bind().dialect.name == "sqlite" else MARIADB)
    op.execute(SETS)
    op.execute(
        "UPDATE vehicle_update SET set_number = (SELECT s.set_number FROM set_of_update s "
        "WHERE s.update_id = vehicle_update.update_id)"
    )
    op.drop_table("set_of_update")
