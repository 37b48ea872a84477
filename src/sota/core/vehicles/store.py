"""SQL of vehicles and of their installed packages (B4-1, -5, -6, -7)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.boundaries.b4_core_database import rows
from sota.boundaries.binding.decorators import calls
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
async def insert_vehicle(tx: Tx, vin: str, now: datetime) -> StoreResult[None]:
    """Insert a new VIN: ``success`` or ``exists``."""
    try:
        await tx.execute(vehicle.insert().values(vin=vin, created_at=now))
    except IntegrityError:
        return StoreResult.of(rows.NEW_VIN, "exists")
    return StoreResult.of(rows.NEW_VIN, "success")


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
    if row is None:
        return StoreResult.of(rows.SEARCH_VINS, "missing")
    return StoreResult.of(rows.SEARCH_VINS, "found", to_vehicle(row))


@calls("WL-B4-5")
async def list_vehicles(tx: Tx, after: str | None, count: int) -> StoreResult[list[Vehicle]]:
    """Read the next vehicles by VIN: ``found`` or ``missing``."""
    query = sa.select(vehicle).where(vehicle.c.retired_at.is_(None)).order_by(vehicle.c.vin).limit(count)
    if after is not None:
        query = query.where(vehicle.c.vin > after)
    found = [to_vehicle(row) for row in await tx.execute(query)]
    return StoreResult.of(rows.SEARCH_VINS, "found" if found else "missing", found)


@calls("WL-B4-6")
async def find_installed(tx: Tx, vin: str) -> StoreResult[set[PackageKey]]:
    """Look up the packages installed on a VIN: ``found`` or ``missing``."""
    found = {(row.name, row.version) for row in await tx.execute(_INSTALLED, {"one": vin})}
    return StoreResult.of(rows.FIND_VIN_PACKAGES, "found" if found else "missing", found)


@calls("WL-B4-7")
async def change_installed(tx: Tx, vin: str, packages: set[PackageKey], now: datetime) -> StoreResult[set[PackageKey]]:
    """Replace the VIN's packages: ``changed`` with those before, or ``missing``."""
    # The vehicle's row is the lock: two reports of one vehicle change its packages one after the other.
    if (await tx.execute(_LOCK, {"one": vin})).one_or_none() is None:
        return StoreResult.of(rows.CHANGE_VIN_PACKAGES, "missing")
    before = {(row.name, row.version) for row in await tx.execute(_INSTALLED, {"one": vin})}
    await write_installed(tx, {vin: packages - before}, {vin: before - packages}, now)
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
    tx: Tx, added: dict[str, set[PackageKey]], removed: dict[str, set[PackageKey]], now: datetime
) -> None:
    """Add and remove installed packages of several VINs, one statement each way."""
    gone = [(vin, *package) for vin, packages in removed.items() for package in packages]
    for start in range(0, len(gone), 200):
        keys = sa.tuple_(installed_package.c.vin, installed_package.c.name, installed_package.c.version)
        await tx.execute(installed_package.delete().where(keys.in_(not_alone(gone[start : start + 200]))))
    new = [
        {"vin": vin, "name": name, "version": version, "installed_at": now}
        for vin, packages in added.items()
        for name, version in sorted(packages)
    ]
    if new:
        await tx.execute(installed_package.insert(), new)


async def read_components(tx: Tx, vins: Collection[str]) -> dict[str, set[str]]:
    """Read which components several VINs have."""
    found: dict[str, set[str]] = {vin: set() for vin in vins}
    for row in await tx.execute(_COMPONENTS, {"vins": list(vins)}):
        found[row.vin].add(row.part_number)
    return found


async def mark_connected(tx: Tx, vins: Iterable[str], connected: bool, now: datetime) -> None:
    """Note that vehicles connected or disconnected."""
    for chunk in _chunks(sorted(vins), 500):
        await tx.execute(vehicle.update().where(vehicle.c.vin.in_(chunk)).values(connected=connected, last_seen_at=now))


async def read_connected(tx: Tx) -> set[str]:
    """Read which vehicles are marked as connected."""
    return {row.vin for row in await tx.execute(sa.select(vehicle.c.vin).where(vehicle.c.connected.is_(sa.true())))}


def _chunks(items: list[str], size: int) -> Iterable[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
