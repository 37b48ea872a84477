"""SQL of further reports about a vehicle's software: firmware of control units, and packages changed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from sota.core.tables import local_change, vehicle_firmware
from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new

Change = tuple[datetime, str, str, str]
"""When, which package, what was done (install, upgrade, remove), and the version it was done with."""

# Statements for every vehicle are built once: building one takes longer than executing it.
_FIRMWARE = (
    sa.select(vehicle_firmware).where(vehicle_firmware.c.vin == sa.bindparam("one")).order_by(vehicle_firmware.c.module)
)
_CHANGES = (
    sa.select(local_change)
    .where(local_change.c.vin == sa.bindparam("one"))
    .order_by(local_change.c.changed_at.desc(), local_change.c.name)
    .limit(sa.bindparam("count"))
)


async def write_firmware(tx: Tx, vin: str, firmware: Mapping[str, tuple[str, datetime | None]]) -> None:
    """Write the firmware of a vehicle, by module: version and when it was changed."""
    table = vehicle_firmware
    known = {module: (version, changed_at) for module, version, changed_at in await read_firmware(tx, vin)}
    if known == dict(firmware):
        return
    await tx.execute(table.delete().where(table.c.vin == vin))
    rows = [
        {"vin": vin, "module": module, "version": version, "changed_at": changed_at}
        for module, (version, changed_at) in sorted(firmware.items())
    ]
    if rows:
        await tx.execute(table.insert(), rows)


async def read_firmware(tx: Tx, vin: str) -> list[tuple[str, str, datetime | None]]:
    """Read the firmware of a vehicle: module, version, when it was changed."""
    return [(row.module, row.version, row.changed_at) for row in await tx.execute(_FIRMWARE, {"one": vin})]


async def add_changes(tx: Tx, vin: str, changes: Sequence[Change]) -> None:
    """Store changes; known ones came before, in a message whose answer was lost."""
    versions = {change[:3]: change[3] for change in changes}
    rows: list[dict[str, object]] = [
        {"vin": vin, "changed_at": at, "name": name, "operation": operation, "version": version}
        for (at, name, operation), version in versions.items()
    ]
    await insert_new(tx, local_change, rows)


async def read_changes(tx: Tx, vin: str, count: int) -> list[Change]:
    """Read the latest changes of a vehicle, the newest first."""
    found = await tx.execute(_CHANGES, {"one": vin, "count": count})
    return [(row.changed_at, row.name, row.operation, row.version) for row in found]
