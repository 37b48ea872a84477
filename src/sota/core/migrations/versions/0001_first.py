"""The first tables of SOTA Core."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sota.kit.sql.database import Id, Utc, code_text, long_text

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_registers()
    _create_requests()
    _create_transfers()


def downgrade() -> None:
    for table in (
        "idempotency",
        "outbox",
        "operation_result",
        "download",
        "vehicle_update",
        "install_request",
        "installed_package",
        "vehicle_component",
        "component",
        "package",
        "vehicle",
    ):
        op.drop_table(table)


def _create_registers() -> None:
    op.create_table(
        "vehicle",
        sa.Column("vin", code_text(17), primary_key=True),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("last_seen_at", Utc),
        sa.Column("connected", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("next_download_index", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("active_update", Id),
        sa.Column("data_plan", code_text(100)),
    )
    op.create_table(
        "package",
        sa.Column("name", code_text(100), primary_key=True),
        sa.Column("version", code_text(32), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", code_text(64), nullable=False),
        sa.Column("sha1", code_text(40), nullable=False),
        sa.Column("uri", code_text(1024), nullable=False),
        sa.Column("installer", code_text(32), nullable=False),
        sa.Column("target", code_text(100)),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("vendor", code_text(200), nullable=False),
        sa.Column("signature", long_text()),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_table(
        "component",
        sa.Column("part_number", code_text(100), primary_key=True),
        sa.Column("name", code_text(200)),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_table(
        "vehicle_component",
        sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
        sa.Column("part_number", code_text(100), sa.ForeignKey("component.part_number"), primary_key=True),
    )
    op.create_table(
        "installed_package",
        sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", code_text(128), primary_key=True),
        sa.Column("version", code_text(128), primary_key=True),
        sa.Column("installed_at", Utc, nullable=False),
    )
    op.create_index("installed_package_by_package", "installed_package", ["name", "version", "vin"])


def _create_requests() -> None:
    op.create_table(
        "install_request",
        sa.Column("id", Id, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("kind", code_text(16), nullable=False),
        sa.Column("name", code_text(200)),
        sa.Column("package_name", code_text(100), nullable=False),
        sa.Column("package_version", code_text(32), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("start_at", Utc, nullable=False),
        sa.Column("end_at", Utc, nullable=False),
        sa.Column("request_confirmation", sa.Boolean, nullable=False),
        sa.Column("command", code_text(16), nullable=False),
        sa.Column("allow_downgrade", sa.Boolean, nullable=False),
        sa.Column("data_plan_threshold", sa.Integer),
        sa.Column("description", long_text()),
        sa.Column("left_out", sa.Integer, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_index("install_request_by_package", "install_request", ["package_name", "package_version", "id"])
    op.create_table(
        "vehicle_update",
        sa.Column("update_id", Id, primary_key=True),
        sa.Column("request_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), nullable=False),
        sa.Column("package_name", code_text(100), nullable=False),
        sa.Column("package_version", code_text(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("status", code_text(16), nullable=False),
        sa.Column("stage", code_text(16)),
        sa.Column("reason", code_text(32)),
        sa.Column("result_code", sa.Integer),
        sa.Column("result_text", long_text()),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("start_at", Utc, nullable=False),
        sa.Column("end_at", Utc, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("changed_at", Utc, nullable=False),
        sa.Column("completed_at", Utc),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_try_at", Utc, nullable=False),
        sa.Column("lease_owner", code_text(60)),
        sa.Column("lease_until", Utc),
        sa.ForeignKeyConstraint(["request_id", "position"], ["install_request.id", "install_request.position"]),
    )
    op.create_index("vehicle_update_by_vin", "vehicle_update", ["vin", "status", "priority", "update_id"])
    op.create_index("vehicle_update_by_request", "vehicle_update", ["request_id", "position", "status", "update_id"])
    op.create_index("vehicle_update_by_try", "vehicle_update", ["status", "next_try_at"])
    op.create_index("vehicle_update_by_start", "vehicle_update", ["status", "start_at"])
    op.create_index("vehicle_update_by_end", "vehicle_update", ["status", "end_at"])


def _create_transfers() -> None:
    op.create_table(
        "download",
        sa.Column("vin", code_text(17), primary_key=True),
        sa.Column("download_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("update_id", Id, sa.ForeignKey("vehicle_update.update_id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("package_name", code_text(100), nullable=False),
        sa.Column("package_version", code_text(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("block_size", sa.Integer, nullable=False),
        sa.Column("received", long_text(), nullable=False),
        sa.Column("state", code_text(16), nullable=False),
        sa.Column("reason", code_text(32)),
    )
    op.create_index("download_by_update", "download", ["update_id", "position"])
    op.create_table(
        "operation_result",
        sa.Column("vin", code_text(17), primary_key=True),
        sa.Column("download_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("operation", code_text(200), nullable=False),
        sa.Column("result_code", sa.Integer, nullable=False),
        sa.Column("result_text", long_text(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.ForeignKeyConstraint(
            ["vin", "download_index"], ["download.vin", "download.download_index"], ondelete="CASCADE"
        ),
    )
    op.create_table(
        "outbox",
        sa.Column("id", Id, primary_key=True),
        sa.Column("kind", code_text(40), nullable=False),
        sa.Column("topic", code_text(200), nullable=False),
        sa.Column("payload", long_text(), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("refused", code_text(500)),
    )
    op.create_index("outbox_due", "outbox", ["refused", "due_at"])
    op.create_table(
        "idempotency",
        sa.Column("key", code_text(200), primary_key=True),
        sa.Column("request", code_text(64), nullable=False),
        sa.Column("answer", long_text(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
    )
    op.create_index("idempotency_by_age", "idempotency", ["created_at"])
