"""Routes of vehicles: B2-2, -7, -9, -10 and a vehicle's page."""

from __future__ import annotations

from sota.boundaries.b2_web_core import messages
from sota.boundaries.b2_web_core.queries import VehicleQuery
from sota.boundaries.b7_core_rvi.messages import ChangeKind, Firmware, LocalChange
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.parameters import ListQuery, VinPath
from sota.boundaries.values import InstalledPackage
from sota.core.facts import to_installed
from sota.core.requests import store as request_store
from sota.core.search import Pattern, search
from sota.core.vehicles import service, software_store, store
from sota.core.vehicles.model import PackageKey, Vehicle, two_versions
from sota.kit.errors import Failed, Invalid, Refused
from sota.kit.http.paging import BY_NAME, link_next, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.kit.sql.outbox import Relay

LATEST_UPDATES = 20
LATEST_CHANGES = 100
MOST_WITH_PACKAGES = 100


class VehiclesApi:
    """Vehicles, for the Web Server."""

    def __init__(self, db: Database, once: Idempotency, relay: Relay, clock: Clock) -> None:
        self.db, self.once, self.relay, self.clock = db, once, relay, clock

    @serves("WL-B2-2")
    async def register(self, call: Call[None, None, messages.NewVehicle]) -> Reply:
        """Register a vehicle."""
        vin = call.body.vin
        return await self.once.change(call, "inserted", lambda tx: service.register_vehicle(tx, vin, self.clock))

    @serves("WL-B2-7")
    async def search(self, call: Call[None, VehicleQuery, None]) -> Reply:
        """Return the vehicles whose VIN matches, a page at a time, with what they have where that is asked for."""
        query = call.query
        pattern = Pattern(query.regex) if query.regex is not None else None
        limit, after, with_packages = query.limit, read_cursor(call), query.packages
        if with_packages:  # each may have thousands
            limit = min(limit, MOST_WITH_PACKAGES)
        async with self.db.read() as tx:

            async def read_slice(last: str | None, count: int) -> list[Vehicle]:
                return (await store.list_vehicles(tx, last, count)).data or []

            matches = (lambda entry: pattern.found_in(entry.vin)) if pattern else None
            page, following = await search(read_slice, lambda entry: entry.vin, matches, after=after, limit=limit)
            installed = await store.read_installed(tx, [vehicle.vin for vehicle in page]) if with_packages else {}
        headers = link_next(call, following) if following else {}
        listed = [to_wire(vehicle, installed.get(vehicle.vin)) for vehicle in page]
        return Reply("listed" if page else "empty", listed, headers=headers)

    @serves("WL-B2-10")
    async def view_packages(self, call: Call[VinPath, ListQuery, None]) -> Reply:
        """Return the packages installed on a VIN, a page at a time."""
        limit, after = call.query.limit, read_cursor(call, BY_NAME)
        async with self.db.read() as tx:
            installed = await service.view_packages(tx, call.path.vin)
        rest = sorted(key for key in installed if after is None or key > after)
        headers = link_next(call, rest[limit - 1]) if len(rest) > limit else {}
        return Reply("found", to_installed(rest[:limit]), headers=headers)

    @serves("WL-B2-9")
    async def change_packages(self, call: Call[VinPath, None, list[InstalledPackage]]) -> Reply:
        """Replace the packages recorded for a VIN."""
        packages = {(package.name, package.version) for package in call.body}
        if len(packages) != len(call.body):
            raise Failed("A package is in the list twice.")
        name = two_versions(packages)
        if name is not None:
            raise Invalid(f"The package {name} is in the list in two versions: a vehicle has one.")
        vin = call.path.vin
        changed = await self.db.transact(lambda tx: service.change_packages(tx, vin, packages, self.clock))
        if changed is None:
            raise Refused("vin_missing", f"The VIN {vin} is not registered.")
        if changed:
            self.relay.wake()  # most reports bring nothing new
        return Reply("changed", to_installed(packages))

    @serves("X-B2-1")
    async def show(self, call: Call[VinPath, None, None]) -> Reply:
        """Return a vehicle, what is in it and its latest updates."""
        vin = call.path.vin
        async with self.db.read() as tx:
            vehicle = await service.require_vehicle(tx, vin)
            components = (await store.read_components(tx, [vin]))[vin]
            installed = (await store.find_installed(tx, vin)).data or set()
            updates = await request_store.latest_updates(tx, vin, LATEST_UPDATES)
            firmware = await software_store.read_firmware(tx, vin)
            changes = await software_store.read_changes(tx, vin, LATEST_CHANGES)
        detail = messages.VehicleDetail(
            vin=vehicle.vin,
            registered_at=vehicle.created_at,
            connected=vehicle.connected,
            last_seen_at=vehicle.last_seen_at,
            retired_at=vehicle.retired_at,
            components=sorted(components),
            packages=to_installed(installed),
            updates=updates,
            firmware=[Firmware(module=module, version=version, changed_at=at) for module, version, at in firmware],
            local_changes=[
                LocalChange(package=InstalledPackage(name=name, version=version), operation=ChangeKind(kind), at=at)
                for at, name, kind, version in changes
            ],
        )
        return Reply("found", detail)


def to_wire(vehicle: Vehicle, installed: set[PackageKey] | None) -> messages.ListedVehicle:
    """Format a vehicle for B2."""
    return messages.ListedVehicle(
        vin=vehicle.vin,
        registered_at=vehicle.created_at,
        connected=vehicle.connected,
        last_seen_at=vehicle.last_seen_at,
        packages=to_installed(installed) if installed is not None else None,
    )
