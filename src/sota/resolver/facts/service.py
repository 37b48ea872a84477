"""Use case of facts: apply a batch in one transaction, and return a result for each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sota.boundaries.b5_core_resolver.messages import (
    ComponentRegistered,
    ComponentRetired,
    Fact,
    FactResult,
    FactStatus,
    PackageRegistered,
    PackageRetired,
    VehicleRetired,
)
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Changes
from sota.resolver.facts import store
from sota.resolver.facts.model import RegisteredFact, VehicleChange, VehicleFact
from sota.resolver.recorded import store as record_store

KEPT = timedelta(days=30)
"""How long a fact's id is kept: much longer than a sender keeps an undelivered fact."""

FORGOTTEN_AT_ONCE = 2_000


async def record(tx: Tx, facts: Sequence[Fact], clock: Clock) -> list[FactResult]:
    """Apply facts in order; return a result for each."""
    fleet = Changes()
    repeated = await store.remember(tx, list(dict.fromkeys(fact.id for fact in facts)), clock.now())
    results: list[FactResult] = []
    refused: list[str] = []
    about_vehicles: list[VehicleFact] = []
    registered: list[RegisteredFact] = []
    for fact in facts:
        if fact.id in repeated:
            results.append(FactResult(id=fact.id, status=FactStatus.REPEATED))
            continue
        repeated.add(fact.id)
        results.append(FactResult(id=fact.id, status=FactStatus.RECORDED))
        if isinstance(fact, ComponentRegistered | PackageRegistered):
            registered.append(fact)
        elif isinstance(fact, ComponentRetired | PackageRetired):
            # Retiring a component removes it from vehicles: earlier facts about those must be written first.
            await store.add_to_register(tx, registered)
            refused += await _record_vehicles(tx, about_vehicles, results, fleet, clock)
            registered, about_vehicles = [], []
            await store.take_from_register(tx, fact, fleet)
        else:
            about_vehicles.append(fact)
    await store.add_to_register(tx, registered)
    refused += await _record_vehicles(tx, about_vehicles, results, fleet, clock)
    await store.forget(tx, refused)
    erased = [fact.vin for fact in facts if isinstance(fact, VehicleRetired) and fact.erased]
    await record_store.note_erasures(tx, erased, clock.now())
    await change_store.append(tx, fleet)
    return results


async def _record_vehicles(
    tx: Tx, facts: Sequence[VehicleFact], results: list[FactResult], fleet: Changes, clock: Clock
) -> list[str]:
    """Write the changes of these facts, add refusals to the results, and return the ids of those refused."""
    if not facts:
        return []
    known = await store.find_vehicles(tx, {fact.vin for fact in facts})
    changes: dict[str, VehicleChange] = {}
    reasons: dict[str, str] = {}
    for fact in facts:
        row_id = known.get(fact.vin)
        change = changes.setdefault(fact.vin, VehicleChange(fact.vin, row_id, row_id is not None))
        reason = change.take(fact)
        if reason is not None:
            reasons[fact.id] = reason
    await store.write_changes(tx, list(changes.values()), fleet, clock.now())
    for position, result in enumerate(results):
        if result.id in reasons and result.status is FactStatus.RECORDED:
            results[position] = FactResult(id=result.id, status=FactStatus.REFUSED, detail=reasons[result.id])
    return list(reasons)


async def forget_old(tx: Tx, clock: Clock) -> bool:
    """Delete some ids of facts that are too old to be repeated; return whether there may be more."""
    return await store.forget_older(tx, clock.now() - KEPT, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE
