"""Tables of the External Resolver's database. ``holds`` names the rows of B6 that a table answers.

``software`` and ``component`` are dictionaries: each distinct package of any vehicle, and each part number, is there
once, so that a filter's regular expression runs once for each of them and not once for each vehicle. ``package`` is
different: what was uploaded, and may be sent.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from sota.boundaries.binding.decorators import holds
from sota.boundaries.binding.idempotency import idempotency_table
from sota.kit.audit.tables import add_audit_tables
from sota.kit.sql.database import Id, Utc, code_text, exact_text, long_text

METADATA = sa.MetaData()


def row_id() -> sa.types.TypeEngine[int]:
    """An auto-increment number: 64 bits, which SQLite supports only for a column of type INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def mark_bytes() -> sa.types.TypeEngine[bytes]:
    """Eight bytes."""
    return sa.LargeBinary(8).with_variant(sa.BINARY(8), "mysql", "mariadb")


def packed() -> sa.LargeBinary:
    """Compressed bytes: up to 16 MiB on MariaDB."""
    return sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


vehicle = sa.Table(
    "vehicle",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=True),
    sa.Column("vin", code_text(17), nullable=False, unique=True),
    sa.Column("created_at", Utc, nullable=False),
    info=holds("WL-B6-1", "WL-B6-6"),
)

package = sa.Table(
    "package",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=True),
    # Compared with reported values, and therefore in the same way.
    sa.Column("name", exact_text(100), nullable=False),
    sa.Column("version", exact_text(32), nullable=False),
    sa.Column("description", long_text(), nullable=False),
    sa.Column("vendor", code_text(200), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.UniqueConstraint("name", "version", name="package_by_name"),
    info=holds("WL-B6-2"),
)

package_dependency = sa.Table(
    "package_dependency",
    METADATA,
    sa.Column("package_id", row_id(), sa.ForeignKey("package.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", code_text(100), primary_key=True),
    sa.Column("minimum", code_text(32), nullable=False),
    info=holds("WL-B6-7"),
)

filter = sa.Table(  # noqa: A001 - the word of the domain; always used as tables.filter
    "filter",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=True),
    sa.Column("name", code_text(100), nullable=False, unique=True),
    sa.Column("expression", long_text(), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    info=holds("WL-B6-3", "WL-B6-8", "WL-B6-9", "WL-B6-10"),
)

package_filter = sa.Table(
    "package_filter",
    METADATA,
    sa.Column("package_id", row_id(), sa.ForeignKey("package.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("filter_id", row_id(), sa.ForeignKey("filter.id", ondelete="CASCADE"), primary_key=True),
    sa.Index("package_filter_by_filter", "filter_id"),
    info=holds("WL-B6-4", "WL-B6-5"),
)

component = sa.Table(
    "component",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=True),
    sa.Column("part_number", code_text(100), nullable=False, unique=True),
    # A vehicle may be reported to have a component that is not registered yet: its row waits here.
    sa.Column("registered", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("name", code_text(200)),
    sa.Column("description", long_text()),
)

software = sa.Table(
    "software",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=True),
    sa.Column("name", exact_text(128), nullable=False),
    sa.Column("version", exact_text(128), nullable=False),
    sa.UniqueConstraint("name", "version", name="software_by_name"),
)

installed_package = sa.Table(
    "installed_package",
    METADATA,
    sa.Column("vehicle_id", row_id(), sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("software_id", row_id(), sa.ForeignKey("software.id"), primary_key=True),
    sa.Index("installed_package_by_software", "software_id"),
    info=holds("WL-B6-7", "WL-B6-11"),
)

installed_component = sa.Table(
    "installed_component",
    METADATA,
    sa.Column("vehicle_id", row_id(), sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("component_id", row_id(), sa.ForeignKey("component.id", ondelete="CASCADE"), primary_key=True),
    sa.Index("installed_component_by_component", "component_id"),
)

# Attributes are a dictionary too: each distinct name and value is there once.
attribute = sa.Table(
    "attribute",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=True),
    sa.Column("name", code_text(64), nullable=False),
    sa.Column("value", exact_text(128), nullable=False),
    sa.UniqueConstraint("name", "value", name="attribute_by_name"),
)

vehicle_attribute = sa.Table(
    "vehicle_attribute",
    METADATA,
    sa.Column("vehicle_id", row_id(), sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("attribute_id", row_id(), sa.ForeignKey("attribute.id"), primary_key=True),
    sa.Index("vehicle_attribute_by_attribute", "attribute_id"),
)

vehicle_group = sa.Table(
    "vehicle_group",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=True),
    sa.Column("name", code_text(64), nullable=False, unique=True),
    sa.Column("description", long_text(), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
)

group_member = sa.Table(
    "group_member",
    METADATA,
    sa.Column("vehicle_id", row_id(), sa.ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("group_id", row_id(), sa.ForeignKey("vehicle_group.id", ondelete="CASCADE"), primary_key=True),
    sa.Index("group_member_by_group", "group_id"),
)

# What each transaction changed in the fleet, one entry each, in the order of their commits. The head's only row is
# the end of the log.
change_head = sa.Table(
    "change_head",
    METADATA,
    sa.Column("id", row_id(), primary_key=True, autoincrement=False),
    sa.Column("number", row_id(), nullable=False),
    sa.Column("mark", mark_bytes(), nullable=False),
)

change = sa.Table(
    "change",
    METADATA,
    sa.Column("number", row_id(), primary_key=True, autoincrement=False),
    sa.Column("mark", mark_bytes(), nullable=False),
    sa.Column("content", packed(), nullable=False),
)

resolution = sa.Table(
    "resolution",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    # Which of several attempts its chunks belong to.
    sa.Column("attempt", Id, nullable=False),
    sa.Column("name", code_text(100), nullable=False),
    sa.Column("version", code_text(32), nullable=False),
    sa.Column("begun_at", Utc, nullable=False),
    sa.Column("completed_at", Utc),
    sa.Column("chosen", sa.BigInteger, nullable=False),
    sa.Column("left_out", sa.BigInteger, nullable=False),
    sa.Column("erased", sa.BigInteger, nullable=False),
    sa.Column("content", packed(), nullable=False),
    sa.Index("resolution_by_completion", "completed_at", "begun_at"),
)

resolution_chunk = sa.Table(
    "resolution_chunk",
    METADATA,
    sa.Column("resolution_id", Id, sa.ForeignKey("resolution.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("attempt", Id, primary_key=True),
    sa.Column("kind", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first_vin", code_text(17), nullable=False),
    sa.Column("last_vin", code_text(17), nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("vins", packed(), nullable=False),
    sa.Column("verdicts", packed(), nullable=False),
    sa.Index("resolution_chunk_by_vin", "first_vin", "last_vin"),
)

# VINs to remove from frozen records too: the only thing that is ever removed from those.
erasure = sa.Table(
    "erasure",
    METADATA,
    sa.Column("vin", code_text(17), primary_key=True),
    sa.Column("noted_at", Utc, nullable=False),
)

fact = sa.Table(
    "fact",
    METADATA,
    sa.Column("id", code_text(100), primary_key=True),
    sa.Column("recorded_at", Utc, nullable=False),
    sa.Index("fact_by_age", "recorded_at"),
)

idempotency = idempotency_table(METADATA)
add_audit_tables(METADATA)
