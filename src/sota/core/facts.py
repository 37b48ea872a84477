"""Facts for the Resolver (B5-2), written to the outbox in the transaction that makes them true.

An entry has the facts of one change in order; entries of one vehicle are relayed in order too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sota.boundaries.b5_core_resolver.messages import Fact, PackageAdded, PackageRemoved, VehicleProvisioned
from sota.boundaries.values import InstalledPackage
from sota.core import tables
from sota.core.vehicles.model import PackageKey, differences
from sota.kit.runtime.clock import Clock, new_id
from sota.kit.sql.database import Tx
from sota.kit.sql.outbox import Delivery, Sender

KIND = "facts"
# The Resolver records many facts as quickly as a few. A campaign waits for it, so retries are frequent.
BATCH, MAX_WAIT_S = 2000, 5.0


def delivery(sender: Sender) -> Delivery:
    """Return how the outbox relays facts."""
    return Delivery(sender, batch=BATCH, max_wait_s=MAX_WAIT_S)


def fact_id() -> str:
    """Return a new id, on which the Resolver is idempotent."""
    return str(new_id())


def to_installed(packages: Iterable[PackageKey]) -> list[InstalledPackage]:
    """Write installed packages, sorted by name."""
    return [InstalledPackage(name=name, version=version) for name, version in sorted(packages)]


def provisioned(vin: str, components: Iterable[str], packages: Iterable[PackageKey]) -> VehicleProvisioned:
    """Build the fact of everything that a vehicle has."""
    return VehicleProvisioned(id=fact_id(), vin=vin, components=sorted(components), packages=to_installed(packages))


def package_changes(vin: str, before: set[PackageKey], after: set[PackageKey]) -> list[PackageAdded | PackageRemoved]:
    """Build the facts of changed packages, removals first."""
    added, removed = differences(before, after)
    return [
        *(PackageRemoved(id=fact_id(), vin=vin, package=one) for one in to_installed(removed)),
        *(PackageAdded(id=fact_id(), vin=vin, package=one) for one in to_installed(added)),
    ]


async def tell(tx: Tx, clock: Clock, topics: Sequence[tuple[str, Sequence[Fact]]]) -> None:
    """Write the facts of several vehicles (or other topics) to the outbox; topics without facts are skipped."""
    now = clock.now()
    entries: list[dict[str, object]] = [
        {"id": new_id(), "kind": KIND, "topic": topic, "payload": msgspec.json.encode(facts).decode(), "due_at": now}
        for topic, facts in topics
        if facts
    ]
    if entries:
        await tx.execute(tables.outbox.insert(), entries)
