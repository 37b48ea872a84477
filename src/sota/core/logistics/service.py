"""Use cases of provisioning: bring a batch of vehicles to the state that the plant reports."""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b5_core_resolver.messages import (
    ComponentRegistered,
    Fact,
)
from sota.boundaries.b12_logistics_core.messages import ProvisionResult, ProvisionStatus
from sota.core import facts
from sota.core.components import store as component_store
from sota.core.logistics import store
from sota.core.logistics.model import Known, Line
from sota.core.vehicles import store as vehicle_store
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx


async def provision(tx: Tx, lines: Sequence[Line], clock: Clock) -> list[ProvisionResult]:
    """Register and change vehicles; return one result a line. A batch contains a VIN once at most."""
    now = clock.now()
    before = await store.read_known(tx, [line.vin for line in lines])
    revived = await vehicle_store.take_back_retirement(tx, before, now)
    # Sorted, so that two streams with the same vehicles do not deadlock.
    after = {line.vin: line.wanted for line in sorted(lines, key=lambda line: line.vin)}
    numbers = {number for known in after.values() for number in known.components}
    new_numbers = await component_store.add_components(tx, numbers, now)
    await store.insert_vehicles(tx, {vin: known for vin, known in after.items() if vin not in before}, now)
    await store.write_changes(tx, before, after, now)
    results = [_result(line, None if line.vin in revived else before.get(line.vin)) for line in lines]
    changed = {result.vin for result in results if result.status is not ProvisionStatus.UNCHANGED}
    topics: list[tuple[str, Sequence[Fact]]] = [
        ("components", [ComponentRegistered(id=facts.fact_id(), part_number=one) for one in sorted(new_numbers)])
    ]
    topics += [
        (vin, [facts.provisioned(vin, known.components, known.packages)])
        for vin, known in after.items()
        if vin in changed
    ]
    await facts.tell(tx, clock, topics)
    return results


def _result(line: Line, before: Known | None) -> ProvisionResult:
    if before is None:
        status = ProvisionStatus.INSERTED
    else:
        status = ProvisionStatus.UNCHANGED if before == line.wanted else ProvisionStatus.CHANGED
    return ProvisionResult(line=line.number, status=status, vin=line.vin)
