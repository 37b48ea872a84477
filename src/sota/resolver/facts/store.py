"""SQL of facts: which are repeated, and the changes of many vehicles, set by set (B6-11)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.boundaries.b5_core_resolver import messages
from sota.boundaries.b6_resolver_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_result import StoreResult
from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new
from sota.kit.sql.keys import not_alone
from sota.resolver import tables
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Changes, Kind
from sota.resolver.dependencies.model import Package
from sota.resolver.facts.model import RegisteredFact, RetiredFact, VehicleChange
from sota.resolver.sql import batches
from sota.resolver.tables import component, package, software, vehicle
from sota.resolver.things import SOURCES, find_things, number_things

Link = tuple[int, int]


async def remember(tx: Tx, ids: Sequence[str], now: datetime) -> set[str]:
    """Insert the ids of these facts; return those that existed already."""
    while True:
        known: set[str] = set()
        for some in batches(ids):
            query = sa.select(tables.fact.c.id).where(tables.fact.c.id.in_(some))
            known |= {row.id for row in await tx.execute(query)}
        rows = [{"id": one, "recorded_at": now} for one in ids if one not in known]
        try:
            async with tx.begin_nested():
                if rows:
                    await tx.execute(tables.fact.insert(), rows)
            return known
        except IntegrityError:
            continue  # another transaction inserted one first, and has ended by now: the next round sees it


async def forget(tx: Tx, ids: Sequence[str]) -> None:
    """Delete the ids of refused facts, so that they may be repeated."""
    for some in batches(ids):
        await tx.execute(tables.fact.delete().where(tables.fact.c.id.in_(some)))


async def forget_older(tx: Tx, moment: datetime, count: int) -> int:
    """Delete some ids of facts that are too old to be repeated; return how many."""
    query = sa.select(tables.fact.c.id).where(tables.fact.c.recorded_at < moment).limit(count)
    ids = [row.id for row in await tx.execute(query)]
    await forget(tx, ids)
    return len(ids)


async def find_vehicles(tx: Tx, vins: Collection[str]) -> dict[str, int]:
    """Find the rows of several VINs."""
    found: dict[str, int] = {}
    for some in batches(sorted(vins)):
        query = sa.select(vehicle.c.vin, vehicle.c.id).where(vehicle.c.vin.in_(some)).with_for_update()
        found |= {row.vin: row.id for row in await tx.execute(query)}
    return found


async def add_to_register(tx: Tx, facts: Sequence[RegisteredFact]) -> None:
    """Insert packages and components in a few statements: an import brings thousands."""
    # Vehicles may have the packages. What may be sent is registered with its dependencies, by B3-1 only.
    packages = {(one.name, one.version) for one in facts if isinstance(one, messages.PackageRegistered)}
    await insert_new(tx, software, [{"name": name, "version": version} for name, version in sorted(packages)])
    descriptions = {one.part_number: one.description for one in facts if isinstance(one, messages.ComponentRegistered)}
    await insert_new(tx, component, [{"part_number": number} for number in sorted(descriptions)])
    by_description: dict[str, list[str]] = {}
    for number, description in sorted(descriptions.items()):
        by_description.setdefault(description, []).append(number)
    for description, numbers in by_description.items():
        for some in batches(numbers):
            is_one = component.c.part_number.in_(some)
            await tx.execute(component.update().where(is_one).values(registered=True, description=description))


async def take_from_register(tx: Tx, fact: RetiredFact, fleet: Changes) -> None:
    """Delete a package or component; add the changes of vehicles to ``fleet``."""
    match fact:
        case messages.ComponentRetired(part_number=part_number):
            for number in (await find_things(tx, Kind.COMPONENT, [(part_number,)])).values():
                await tx.execute(component.delete().where(component.c.id == number))
                fleet.remove_thing(Kind.COMPONENT, number)
        case messages.PackageRetired(name=name, version=version):
            await tx.execute(package.delete().where(package.c.name == name, package.c.version == version))


async def write_changes(tx: Tx, changes: Sequence[VehicleChange], fleet: Changes, now: datetime) -> None:
    """Write the changes of several vehicles, here and to ``fleet``, which the caller appends to the log."""
    ids = await _write_vehicles(tx, changes, fleet, now)
    for kind in (Kind.PACKAGE, Kind.COMPONENT):
        named = {one for c in changes for one in c.things[kind].added | c.things[kind].removed}
        numbers = await number_things(tx, kind, named)
        present = [(ids[change.vin], change.things[kind]) for change in changes if change.exists]
        await write_links(
            tx,
            fleet,
            kind,
            exact=[row_id for row_id, its in present if its.exactly],
            gone=[(row_id, numbers[one]) for row_id, its in present for one in its.removed],
            new=[(row_id, numbers[one]) for row_id, its in present for one in its.added],
        )


async def _write_vehicles(tx: Tx, changes: Sequence[VehicleChange], fleet: Changes, now: datetime) -> dict[str, int]:
    """Delete vehicles and insert new ones; return the rows of all that exist now."""
    retired = [change.row_id for change in changes if change.is_retired and change.row_id is not None]
    for some in batches(retired):
        await tx.execute(vehicle.delete().where(vehicle.c.id.in_(some)))
    for row_id in retired:
        fleet.remove_vehicle(row_id)
    new = [change.vin for change in changes if change.is_new]
    await insert_new(tx, vehicle, [{"vin": vin, "created_at": now} for vin in new])
    new_ids = await find_vehicles(tx, new)
    for row_id in new_ids.values():
        fleet.add_vehicle(row_id)
    kept = {change.vin: change.row_id for change in changes if change.exists and change.row_id is not None}
    return kept | new_ids


@calls("WL-B6-11")
async def change_packages(tx: Tx, vin: str, packages: Iterable[Package]) -> StoreResult[frozenset[Package]]:
    """Replace the VIN's packages: ``changed`` with what it has now, or ``missing``."""
    row_id = (await find_vehicles(tx, [vin])).get(vin)
    if row_id is None:
        return StoreResult.of(rows.CHANGE_VIN_PACKAGES, "missing")
    wanted = frozenset(packages)
    numbers = await number_things(tx, Kind.PACKAGE, wanted)
    fleet = Changes()
    new = [(row_id, numbers[one]) for one in wanted]
    await write_links(tx, fleet, Kind.PACKAGE, exact=[row_id], gone=[], new=new)
    await change_store.append(tx, fleet)
    return StoreResult.of(rows.CHANGE_VIN_PACKAGES, "changed", wanted)


async def write_links(
    tx: Tx, fleet: Changes, kind: Kind, *, exact: Sequence[int], gone: Sequence[Link], new: Sequence[Link]
) -> None:
    """Delete links between vehicles and things and insert new ones, here and in ``fleet``.

    Owners in ``exact`` keep only the new ones. An existing link of such an owner is not written again.
    """
    source = SOURCES[kind]
    table = source.owner.table
    keys = sa.tuple_(source.owner, source.thing)
    wanted = set(new)
    surplus: list[Link] = list(gone)
    for owners in batches(exact):
        query = sa.select(source.owner, source.thing).where(source.owner.in_(owners))
        found = {(row_id, number) for row_id, number in await tx.execute(query)}
        surplus += sorted(found - wanted)
        wanted -= found
    for some in batches(surplus):
        await tx.execute(table.delete().where(keys.in_(not_alone(some))))
    missing = sorted(wanted)
    await insert_new(tx, table, [{source.owner.name: row_id, source.thing.name: number} for row_id, number in missing])
    for row_id, number in surplus:
        fleet.unlink(kind, row_id, number)
    for row_id, number in missing:
        fleet.link(kind, row_id, number)
