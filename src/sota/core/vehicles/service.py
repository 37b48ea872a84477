"""Use cases of vehicles: register, look up, and record installed packages."""

from __future__ import annotations

from sota.boundaries.b5_core_resolver.messages import VehicleRegistered
from sota.core import facts
from sota.core.vehicles import store
from sota.core.vehicles.model import PackageKey, Vehicle
from sota.kit.errors import NotFound, Refused
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx


async def register_vehicle(tx: Tx, vin: str, clock: Clock) -> None:
    """Register a VIN, even one that was retired.

    The Web Server updates the Resolver's own register (docs/specification.md, ruling 8).

    Raises:
        Refused: ``vin_exists``.
    """
    now = clock.now()
    if (await store.insert_vehicle(tx, vin, now)).outcome != "exists":
        return
    if not await store.take_back_retirement(tx, [vin], now):
        raise Refused("vin_exists", f"The VIN {vin} is registered already.")
    # The fact of its retirement may still be in the outbox; this one follows it.
    await facts.tell(tx, clock, [(vin, [VehicleRegistered(id=facts.fact_id(), vin=vin)])])


async def require_vehicle(tx: Tx, vin: str) -> Vehicle:
    """Return the vehicle of an extension's path.

    Raises:
        NotFound: it is not registered.
    """
    found = await store.find_vehicle(tx, vin)
    if found.data is None:
        raise NotFound(f"The VIN {vin} is not registered.")
    return found.data


async def require_active(tx: Tx, vin: str) -> Vehicle:
    """Return the vehicle of an extension's path, for a change.

    Raises:
        NotFound: it is not registered, or retired.
    """
    found = await require_vehicle(tx, vin)
    if found.retired_at is not None:
        raise NotFound(f"The VIN {vin} is retired.")
    return found


async def view_packages(tx: Tx, vin: str) -> set[PackageKey]:
    """Return the packages installed on a VIN.

    Raises:
        Refused: ``vin_missing``.
    """
    known = (await store.find_vehicle(tx, vin)).data
    if known is None or known.retired_at is not None:
        raise Refused("vin_missing", f"The VIN {vin} is not registered.")
    return (await store.find_installed(tx, vin)).data or set()


async def change_packages(tx: Tx, vin: str, packages: set[PackageKey], clock: Clock) -> bool | None:
    """Replace a VIN's packages, and notify the Resolver; return whether anything changed, None if it is unknown."""
    result = await store.change_installed(tx, vin, packages, clock.now())
    if result.outcome == "missing":
        return None
    changes = facts.package_changes(vin, result.data or set(), packages)
    await facts.tell(tx, clock, [(vin, changes)])
    return bool(changes)
