"""The fleet index without an index: reads the fleet from the database, a slice at a time.

A slice has a connection of its own, so that a reader who takes his time over the answer keeps nothing from others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from sota.kit.db import Database
from sota.resolver.dependencies.model import Package
from sota.resolver.index import store
from sota.resolver.index.evaluator import BoundFilters, bind, select
from sota.resolver.index.fleet_index import Match
from sota.resolver.index.workers import Workers
from sota.resolver.language.expression import Expression


class DatabaseScan:
    """Answers :class:`~sota.resolver.index.fleet_index.FleetIndex` from the database."""

    def __init__(self, db: Database, workers: Workers, *, slice_size: int = 5_000) -> None:
        self._db, self._workers, self._slice_size = db, workers, slice_size

    async def matching(self, filters: Sequence[Expression], names: Collection[str]) -> AsyncIterator[list[Match]]:
        """Give the vehicles for which every filter is true, some at a time."""
        async with self._db.read() as tx:
            dictionary = await store.load_dictionary(tx)
        bound = await self._workers.run(bind, filters, dictionary)
        asked = {number: package for number, package in dictionary.packages.items() if package.name in names}
        after = -1
        while True:
            async with self._db.read() as tx:
                vehicles = await store.load_vehicles(tx, after, self._slice_size)
                if not vehicles:
                    return
                first, last = vehicles[0][0], vehicles[-1][0]
                packages = await store.load_packages(tx, first, last, bound.packages | asked.keys())
                components = await store.load_components(tx, first, last, bound.components)
            found = await self._workers.run(_choose, bound, vehicles, packages, components)
            if found:
                yield _group(found, packages, asked)
            after = last


def _group(
    found: Sequence[tuple[int, str]], packages: Mapping[int, frozenset[int]], asked: Mapping[int, Package]
) -> list[Match]:
    """Put those together that have the same of the packages asked for."""
    groups: dict[frozenset[int], list[str]] = defaultdict(list)
    for row_id, vin in found:
        groups[packages.get(row_id, frozenset()).intersection(asked)].append(vin)
    return [Match(vins, frozenset(asked[number] for number in numbers)) for numbers, vins in groups.items()]


def _choose(
    bound: BoundFilters,
    vehicles: Sequence[tuple[int, str]],
    packages: dict[int, frozenset[int]],
    components: dict[int, frozenset[int]],
) -> list[tuple[int, str]]:
    return list(select(bound, vehicles, packages, components))
