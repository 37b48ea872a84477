"""Tables of SOTA Core's database. ``holds`` names the rows of B4 that a table answers.

A vehicle has one open transfer at a time: ``vehicle.active_update`` is the slot, taken and given back by conditional
updates. ``download.received`` are the committed acknowledgements; a block in them is never sent again.
"""

from __future__ import annotations

import sqlalchemy as sa

from sota.boundaries.binding.decorators import holds
from sota.boundaries.binding.idempotency import idempotency_table
from sota.core.vehicles.model import new_epoch
from sota.kit.audit.tables import add_audit_tables
from sota.kit.sql.database import Id, Utc, code_text, exact_text, long_text
from sota.kit.sql.outbox import outbox_table

METADATA = sa.MetaData()

vehicle = sa.Table(
    "vehicle",
    METADATA,
    sa.Column("vin", code_text(17), primary_key=True),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("last_seen_at", Utc),
    sa.Column("connected", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("active_update", Id),
    sa.Column("data_plan", code_text(100)),
    # A retired vehicle keeps its row for its history; registering the VIN again takes this back.
    sa.Column("retired_at", Utc),
    # Which life of the vehicle this is: what it says of downloads counts only with this word (transfers/model.py).
    sa.Column("epoch", code_text(16), nullable=False, default=new_epoch, server_default="0" * 16),
    # The highest download index that the vehicle has named, also in a life that this database does not know.
    sa.Column("highest_index", sa.BigInteger, nullable=False, server_default="0"),
    info=holds("WL-B4-1", "WL-B4-5"),
)

package = sa.Table(
    "package",
    METADATA,
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
    sa.Column("blacklisted_at", Utc),
    sa.Column("blacklist_comment", long_text()),
    info=holds("WL-B4-2", "WL-B4-3"),
)

component = sa.Table(
    "component",
    METADATA,
    sa.Column("part_number", code_text(100), primary_key=True),
    sa.Column("name", code_text(200)),
    sa.Column("description", long_text(), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    info=holds("WL-B4-9", "WL-B4-10"),
)

vehicle_component = sa.Table(
    "vehicle_component",
    METADATA,
    sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
    sa.Column("part_number", code_text(100), sa.ForeignKey("component.part_number"), primary_key=True),
)

installed_package = sa.Table(
    "installed_package",
    METADATA,
    sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", exact_text(128), primary_key=True),
    sa.Column("version", exact_text(128), primary_key=True),
    sa.Column("installed_at", Utc, nullable=False),
    sa.Index("installed_package_by_package", "name", "version", "vin"),
    info=holds("WL-B4-6", "WL-B4-7", "WL-B4-8"),
)

install_request = sa.Table(
    "install_request",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    # A batch (B2-5) is one request of several packages, counted by position.
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
    # How many vehicles by reason, as a JSON object; null where none was left out.
    sa.Column("left_out_reasons", long_text()),
    # Under this id the Resolver keeps whom it chose, whom it left out, and why.
    sa.Column("resolution_id", Id),
    # When its interval was over and none of its updates was open: it is not searched for expired updates again.
    sa.Column("closed_at", Utc),
    # What an operator made of it: ``stopped`` or ``cancelled``.
    sa.Column("ended_as", code_text(16)),
    sa.Index("install_request_by_package", "package_name", "package_version", "id"),
    sa.Index("install_request_by_end", "closed_at", "end_at"),
    info=holds("WL-B4-11"),
)

# A request that is being written, chunk by chunk. While its row exists its updates are
# neither acted on nor listed; they become real when it is deleted. Only ``owner`` may write, until ``lease_until``.
preparation = sa.Table(
    "preparation",
    METADATA,
    sa.Column("request_id", Id, primary_key=True),
    sa.Column("owner", code_text(120), nullable=False),
    sa.Column("lease_until", Utc, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
)

# What vehicles of a request get, prerequisites first: one set for all that get the same. An update names its set, and
# has downloads from the moment at which its vehicle is told of it.
package_set = sa.Table(
    "package_set",
    METADATA,
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

update = sa.Table(
    "vehicle_update",
    METADATA,
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
    # An order that was given by hand (queue/model.py); without one the request's priority counts.
    sa.Column("queue_priority", sa.Integer),
    sa.Column("queue_position", sa.Integer),
    # The update that tries again: this one is history, and is not counted in its request any more.
    sa.Column("superseded_by", Id),
    # How often it was tried, those before it that it tries again by itself included (transfers/retry.py).
    sa.Column("tries", sa.Integer, nullable=False, server_default="1"),
    # None where it failed before it was known what the vehicle gets.
    sa.Column("set_number", sa.Integer),
    # Who ended it: operator, vehicle, driver, or Core itself; ``completed_at`` is when.
    sa.Column("ended_by", code_text(16)),
    sa.ForeignKeyConstraint(["request_id", "position"], ["install_request.id", "install_request.position"]),
    sa.Index("vehicle_update_by_vin", "vin", "status", "priority", "update_id"),
    sa.Index("vehicle_update_of_set", "request_id", "position", "status", "superseded_by", "set_number", "update_id"),
    sa.Index("vehicle_update_by_try", "status", "next_try_at"),
    info=holds("WL-B4-4"),
)

download = sa.Table(
    "download",
    METADATA,
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
    sa.Index("download_by_update", "update_id", "position"),
)

operation_result = sa.Table(
    "operation_result",
    METADATA,
    sa.Column("vin", code_text(17), primary_key=True),
    sa.Column("download_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("operation", code_text(200), nullable=False),
    sa.Column("result_code", sa.Integer, nullable=False),
    sa.Column("result_text", long_text(), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.ForeignKeyConstraint(["vin", "download_index"], ["download.vin", "download.download_index"], ondelete="CASCADE"),
)

identity = sa.Table(
    "identity",
    METADATA,
    sa.Column("id", Id, primary_key=True),
    sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), nullable=False),
    sa.Column("fingerprint", code_text(64), nullable=False, unique=True),
    sa.Column("credential_id", code_text(100), nullable=False),
    sa.Column("public_key", code_text(64), nullable=False),
    sa.Column("issuer", code_text(64), nullable=False),
    sa.Column("certificate", long_text(), nullable=False),
    sa.Column("credential", long_text(), nullable=False),
    sa.Column("issued_by", code_text(16), nullable=False),
    sa.Column("issued_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    sa.Column("revoked_at", Utc),
    sa.Column("revoked_because", long_text()),
    sa.Index("identity_by_vin", "vin", "id"),
    sa.Index("identity_by_issuer", "issuer", "revoked_at", "expires_at"),
)

enrolment_code = sa.Table(
    "enrolment_code",
    METADATA,
    sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
    sa.Column("code_hash", code_text(64), nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    sa.Column("used_for", code_text(64)),
)

# Fingerprints and credentials; and VINs, for identities that another authority's tool issued and nothing here names:
# with those of its credentials that count all the same (identity/model.py). An erased vehicle's VIN goes from here.
revocation = sa.Table(
    "revocation",
    METADATA,
    sa.Column("entry", code_text(100), primary_key=True),
    sa.Column("revoked_at", Utc, nullable=False),
    sa.Column("until", Utc, nullable=False),
    # Of a VIN's entry: whether registering the vehicle again takes it back.
    sa.Column("by_retirement", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("revocation_by_until", "until", "revoked_at"),
)

vehicle_firmware = sa.Table(
    "vehicle_firmware",
    METADATA,
    sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
    sa.Column("module", exact_text(128), primary_key=True),
    sa.Column("version", exact_text(128), nullable=False),
    sa.Column("changed_at", Utc),
)

local_change = sa.Table(
    "local_change",
    METADATA,
    sa.Column("vin", code_text(17), sa.ForeignKey("vehicle.vin", ondelete="CASCADE"), primary_key=True),
    # A change has no number that outlives the vehicle's unit: when, what and how say which it is.
    sa.Column("changed_at", Utc, primary_key=True),
    sa.Column("name", exact_text(128), primary_key=True),
    sa.Column("operation", code_text(16), primary_key=True),
    sa.Column("version", exact_text(128), nullable=False),
)

core_instance = sa.Table(
    "core_instance",
    METADATA,
    sa.Column("instance", code_text(60), primary_key=True),
    sa.Column("alive_until", Utc, nullable=False),
)

outbox = outbox_table(METADATA)
idempotency = idempotency_table(METADATA)
add_audit_tables(METADATA)
