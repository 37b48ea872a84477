"""SQL of vehicles and of their installed packages (B4-1, -5, -6, -7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from sota.boundaries.b4_core_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_insert import insert_record
from sota.boundaries.store_result import StoreResult
from sota.core.tables import installed_package, revocation, vehicle, vehicle_component
from sota.core.vehicles.model import PackageKey, Vehicle, new_epoch
from sota.kit.sql.database import Tx
from sota.kit.sql.keys import not_alone
from sota.kit.sql.statements import AnyRow

# Frequent statements are built once: building one takes longer than executing it.
_ONE = sa.select(vehicle).where(vehicle.c.vin == sa.bindparam("one"))
_INSTALLED = sa.select(installed_package.c.name, installed_package.c.version).where(
    installed_package.c.vin == sa.bindparam("one")
)
_LOCK = (
    sa.select(vehicle.c.vin)
    .where(vehicle.c.vin == sa.bindparam("one"), vehicle.c.retired_at.is_(None))
    .with_for_update()
)
_VINS: sa.BindParameter[object] = sa.bindparam("vins", expanding=True)
_LOCK_SEVERAL = (
    sa.select(vehicle.c.vin)
    .where(vehicle.c.vin.in_(_VINS), vehicle.c.retired_at.is_(None))
    .order_by(vehicle.c.vin)
    .with_for_update()
)
_INSTALLED_ON = sa.select(installed_package.c.vin, installed_package.c.name, installed_package.c.version).where(
    installed_package.c.vin.in_(_VINS)
)
_COMPONENTS = sa.select(vehicle_component).where(vehicle_component.c.vin.in_(_VINS))


def to_vehicle(row: AnyRow) -> Vehicle:
    """Read a row."""
    return Vehicle(row.vin, row.created_at, row.last_seen_at, bool(row.connected), row.retired_at)


@calls("WL-B4-1")
async def insert_vehicle(tx: Tx, vin: str, now: datetime) -> StoreResult[str]:
    """Insert a new VIN: ``success`` or ``exists``."""
    return await insert_record(tx, rows.NEW_VIN, vehicle.insert().values(vin=vin, created_at=now))


async def take_back_retirement(tx: Tx, vins: Collection[str], now: datetime) -> list[str]:
    """Reactivate retired vehicles, with nothing installed; return those that were retired."""
    query = sa.select(vehicle.c.vin).where(vehicle.c.vin.in_(list(vins)), vehicle.c.retired_at.is_not(None))
    found = list((await tx.execute(query.with_for_update())).scalars())
    if found:
        revived = {"retired_at": None, "created_at": now, "epoch": new_epoch()}
        await tx.execute(vehicle.update().where(vehicle.c.vin.in_(found)).values(revived))
        by_retirement = sa.and_(revocation.c.entry.in_(found), revocation.c.by_retirement.is_(sa.true()))
        await tx.execute(revocation.delete().where(by_retirement))
    return found


@calls("WL-B4-5")
async def find_vehicle(tx: Tx, vin: str) -> StoreResult[Vehicle]:
    """Look one VIN up: ``found`` or ``missing``."""
    row = (await tx.execute(_ONE, {"one": vin})).one_or_none()
    return StoreResult.found(rows.SEARCH_VINS, to_vehicle(row) if row is not None else None)


@calls("WL-B4-5")
async def list_vehicles(tx: Tx, after: str | None, count: int) -> StoreResult[list[Vehicle]]:
    """Read the next vehicles by VIN: ``found`` or ``missing``."""
    query = sa.select(vehicle).where(vehicle.c.retired_at.is_(None)).order_by(vehicle.c.vin).limit(count)
    if after is not None:
        query = query.where(vehicle.c.vin > after)
    return StoreResult.found(rows.SEARCH_VINS, [to_vehicle(row) for row in await tx.execute(query)])


@calls("WL-B4-6")
async def find_installed(tx: Tx, vin: str) -> StoreResult[set[PackageKey]]:
    """Look up the packages installed on a VIN: ``found`` or ``missing``."""
    return StoreResult.found(rows.FIND_VIN_PACKAGES, await _read_packages(tx, vin))


async def _read_packages(tx: Tx, vin: str) -> set[PackageKey]:
    return {(row.name, row.version) for row in await tx.execute(_INSTALLED, {"one": vin})}


@calls("WL-B4-7")
async def change_installed(tx: Tx, vin: str, packages: set[PackageKey], now: datetime) -> StoreResult[set[PackageKey]]:
    """Replace the VIN's packages: ``changed`` with those before, or ``missing``."""
    # The vehicle's row is the lock: two reports of one vehicle change its packages one after the other.
    if (await tx.execute(_LOCK, {"one": vin})).one_or_none() is None:
        return StoreResult.of(rows.CHANGE_VIN_PACKAGES, "missing")
    before = await _read_packages(tx, vin)
    await write_installed(tx, {vin: before}, {vin: packages}, now)
    return StoreResult.of(rows.CHANGE_VIN_PACKAGES, "changed", before)


async def lock_vehicles(tx: Tx, vins: Collection[str]) -> set[str]:
    """Lock the packages of several VINs; return those that are registered."""
    if not vins:
        return set()
    return set((await tx.execute(_LOCK_SEVERAL, {"vins": list(vins)})).scalars())


async def read_installed(tx: Tx, vins: Collection[str]) -> dict[str, set[PackageKey]]:
    """Read the packages installed on several VINs."""
    found: dict[str, set[PackageKey]] = {vin: set() for vin in vins}
    for row in await tx.execute(_INSTALLED_ON, {"vins": list(vins)}):
        found[row.vin].add((row.name, row.version))
    return found


async def write_installed(
    tx: Tx, before: Mapping[str, set[PackageKey]], after: Mapping[str, set[PackageKey]], now: datetime
) -> None:
    """Write the packages of several VINs; those with none before may be missing there."""
    gone = [(vin, *package) for vin, packages in before.items() for package in packages - after[vin]]
    new = [
        {"vin": vin, "name": name, "version": version, "installed_at": now}
        for vin, packages in after.items()
        for name, version in sorted(packages - before.get(vin, set()))
    ]
    await change_links(tx, installed_package, gone, new)


async def change_links(
    tx: Tx, table: sa.Table, gone: Sequence[tuple[str, ...]], new: Sequence[Mapping[str, object]]
) -> None:
    """Delete what vehicles have no more, by its keys, and insert what is new."""
    keys = sa.tuple_(*table.primary_key.columns)
    for start in range(0, len(gone), 200):
        await tx.execute(table.delete().where(keys.in_(not_alone(gone[start : start + 200]))))
    if new:
        await tx.execute(table.insert(), new)


async def read_components(tx: Tx, vins: Collection[str]) -> dict[str, set[str]]:
    """Read which components several VINs have."""
    found: dict[str, set[str]] = {vin: set() for vin in vins}
    for row in await tx.execute(_COMPONENTS, {"vins": list(vins)}):
        found[row.vin].add(row.part_number)
    return found


async def mark_connected(tx: Tx, vins: Iterable[str], connected: bool, now: datetime) -> None:
    """Note that vehicles connected or disconnected."""
    marked = sorted(vins)
    for start in range(0, len(marked), 500):
        is_one = vehicle.c.vin.in_(marked[start : start + 500])
        await tx.execute(vehicle.update().where(is_one).values(connected=connected, last_seen_at=now))


async def read_connected(tx: Tx) -> set[str]:
    """Read which vehicles are marked as connected."""
    return {row.vin for row in await tx.execute(sa.select(vehicle.c.vin).where(vehicle.c.connected.is_(sa.true())))}
