"""A state of the fleet made from a few vehicles, without a database."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sota.resolver.changes.model import Kind, Texts
from sota.resolver.dependencies.model import Package
from sota.resolver.index.bitmap_index import find_groups, kinds_of, name_vehicles
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.fleet import Fleet, Shard, ShardBuilder
from sota.resolver.index.fleet_index import Alike
from sota.resolver.index.planner import planning
from sota.resolver.index.vins import places_of
from sota.resolver.language.evaluation import Vehicle
from sota.resolver.language.expression import Expression
from tests.support.steps import finish


def things_of(vehicle: Vehicle) -> list[tuple[Kind, Texts]]:
    """Return all that a vehicle has, as the dictionary names it."""
    return [
        *((Kind.PACKAGE, tuple(one)) for one in vehicle.packages),
        *((Kind.COMPONENT, (one,)) for one in vehicle.components),
        *((Kind.ATTRIBUTE, tuple(one)) for one in vehicle.attributes),
        *((Kind.GROUP, (one,)) for one in vehicle.groups),
    ]


def fleet_of(vehicles: Sequence[Vehicle], *, spread: int = 1) -> Fleet:
    """Make a state of the fleet; row ids are ``spread`` apart, so that a large one fills several shards."""
    texts: dict[Kind, dict[int, Texts]] = {kind: {} for kind in Kind}
    numbers: dict[tuple[Kind, Texts], int] = {}
    builders: dict[int, ShardBuilder] = {}
    for position, vehicle in enumerate(vehicles):
        shard, place = divmod(position * spread, 1 << 20)
        builder = builders.setdefault(shard, ShardBuilder(shard))
        at = np.array([place], dtype=np.int64)
        builder.add_vehicles(at, np.frombuffer(vehicle.vin.encode(), dtype=np.uint8))
        for kind, text in things_of(vehicle):
            number = numbers.setdefault((kind, text), len(numbers) + 1)
            texts[kind][number] = text
            builder.add_links(kind, at, np.array([number], dtype=np.int64))
    shards: dict[int, Shard] = {number: builder.build() for number, builder in builders.items()}
    return Fleet(dictionary=Dictionary(texts), shards=shards)


def matching(
    fleet: Fleet, filters: Sequence[Expression], names: Sequence[str] = (), alike: Alike | None = None
) -> dict[str, frozenset[Package]]:
    """Resolve on a state of the fleet, as the index does: what each vehicle that passes has of ``names``."""
    planned = finish(planning(filters, fleet.dictionary))
    kinds = kinds_of(fleet, names, alike)
    found: dict[str, frozenset[Package]] = {}
    for shard in fleet.shards.values():
        for match in name_vehicles(shard, finish(find_groups(planned, shard, kinds))):
            for vin in match.vins:
                assert vin not in found, "a vehicle comes once"
                found[vin] = match.packages
    return found


def contents(fleet: Fleet) -> dict[str, frozenset[tuple[Kind, Texts]]]:
    """Describe a state: what each VIN has."""
    found: dict[str, frozenset[tuple[Kind, Texts]]] = {}
    for shard in fleet.shards.values():
        places = places_of(shard.vehicles)
        for place, vin in zip(places.tolist(), shard.vins.texts(places), strict=True):
            found[vin] = frozenset(
                (kind, fleet.dictionary.texts[kind][thing])
                for kind in Kind
                for thing, owners in shard.links[kind].items()
                if place in owners
            )
    return found
