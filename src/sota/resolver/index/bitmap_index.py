"""Implements :class:`~sota.resolver.index.fleet_index.FleetIndex` with bitmaps, shard by shard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator, Sequence

from sota.kit.runtime.program import Background
from sota.resolver.changes.model import Kind
from sota.resolver.dependencies.model import DependencyGraph, Package
from sota.resolver.index.fleet import Fleet, Shard
from sota.resolver.index.fleet_index import Alike, Match
from sota.resolver.index.keeper import Keeper
from sota.resolver.index.planner import Plan, planning
from sota.resolver.index.query import Group, partitioning, selecting
from sota.resolver.index.vins import places_of
from sota.resolver.index.workers import Steps, Workers
from sota.resolver.language.expression import Expression

VINS_AT_ONCE = 20_000
"""How many vehicles are named in one step: some milliseconds, and a few megabytes."""
SHARDS_AHEAD = 1
"""How many more shards are searched while one is being returned: two keep two processors busy."""


class BitmapIndex:
    """The index of a running Resolver."""

    def __init__(self, keeper: Keeper, workers: Workers, previews: Workers) -> None:
        self._keeper, self._workers, self._previews = keeper, workers, previews

    def start(self, background: Background) -> None:
        """Start to load, and then to follow the database."""
        self._keeper.start(background)

    async def wait_ready(self) -> None:
        """Wait until the index is loaded."""
        await self._keeper.loaded.wait()

    async def is_ready(self) -> bool:
        """Return whether the index is loaded."""
        return self._keeper.is_loaded

    def close(self) -> None:
        """Hold nothing beyond the background tasks."""

    async def matching(
        self, filters: Sequence[Expression], names: Collection[str], graph: DependencyGraph
    ) -> AsyncIterator[list[Match]]:
        """Find the vehicles that match every filter, grouped: see the interface."""
        fleet = await self._keeper.newest()
        planned = await self._workers.run_steps(planning(filters, fleet.dictionary))
        kinds = await self._workers.run(kinds_of, fleet, names, graph.alike())
        return self._matching(fleet, planned, kinds)

    async def _matching(
        self, fleet: Fleet, planned: Plan, kinds: dict[Package, list[int]]
    ) -> AsyncIterator[list[Match]]:
        waiting = deque(fleet.shards.values())
        found: deque[tuple[Shard, asyncio.Task[list[Group]]]] = deque()
        try:
            while waiting or found:
                while waiting and len(found) <= SHARDS_AHEAD:
                    shard = waiting.popleft()
                    finding = find_groups(planned, shard, kinds)
                    searching = asyncio.ensure_future(self._workers.run_steps(finding))
                    found.append((shard, searching))
                shard, searching = found.popleft()
                for some in slices(await searching):
                    yield await self._workers.run(name_vehicles, shard, some)
        finally:  # the caller may have stopped early
            for _shard, searching in found:
                searching.cancel()

    async def count_and_sample(self, expression: Expression, sample: int) -> tuple[int, list[str]]:
        """Count vehicles and name some: see the interface."""
        fleet = await self._keeper.newest()
        planned = await self._previews.run_steps(planning([expression], fleet.dictionary))
        count, vins = 0, list[str]()
        for shard in fleet.shards.values():
            found, some = await self._previews.run_steps(_count(planned, shard, sample - len(vins)))
            count += found
            vins += some
        return count, vins


def find_groups(planned: Plan, shard: Shard, kinds: dict[Package, list[int]]) -> Steps[list[Group]]:
    """Find and group the vehicles of a shard."""
    matched = yield from selecting(planned, shard, shard.vehicles)
    return (yield from partitioning(shard, matched, kinds))


def kinds_of(fleet: Fleet, names: Collection[str], alike: Alike | None) -> dict[Package, list[int]]:
    """Return the packages that distinguish groups, each with the numbers of packages that it stands for."""
    wanted = frozenset(names)
    kinds: dict[Package, list[int]] = {}
    for number, text in fleet.dictionary.texts[Kind.PACKAGE].items():
        if text[0] in wanted:
            package = Package(*text)
            stands_for = package if alike is None else alike(package)
            if stands_for is not None:
                kinds.setdefault(stands_for, []).append(number)
    return kinds


def slices(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Split groups into parts whose vehicles can be named in one step."""
    part: list[Group] = []
    room = VINS_AT_ONCE
    for group in groups:
        start = 0
        while start < len(group.places):
            taken = Group(group.places[start : start + room], group.packages)
            part.append(taken)
            start += len(taken.places)
            room -= len(taken.places)
            if not room:
                yield part
                part, room = [], VINS_AT_ONCE
    if part:
        yield part


def name_vehicles(shard: Shard, groups: Sequence[Group]) -> list[Match]:
    """Return the VINs of some groups."""
    return [Match(shard.vins.texts(group.places), group.packages) for group in groups]


def _count(planned: Plan, shard: Shard, sample: int) -> Steps[tuple[int, list[str]]]:
    found = yield from selecting(planned, shard, shard.vehicles)
    return len(found), shard.vins.texts(places_of(found[:sample])) if sample > 0 and found else []
