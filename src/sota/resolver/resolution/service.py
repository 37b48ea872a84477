"""Use case of a resolve: filters choose the vehicles, dependencies decide what each must get, or why it cannot.

It fails closed: one filter that cannot be parsed refuses the whole resolve.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from sota.boundaries.b3_web_resolver.messages import Filter
from sota.boundaries.values import PackageId, short_vin
from sota.kit.errors import Failed
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database
from sota.resolver.dependencies import store as dependency_store
from sota.resolver.dependencies.model import DependencyGraph, LeftOut, Package, Plan
from sota.resolver.filters import service as filter_service
from sota.resolver.index.fleet_index import FleetIndex, Match
from sota.resolver.index.workers import Steps, Workers
from sota.resolver.language.expression import Expression
from sota.resolver.language.parser import FilterSyntaxError, parse
from sota.resolver.resolution.model import Decision

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Resolution:
    """A resolve that can start: the package is known, its filters are valid (``stored`` is their text)."""

    package: Package
    stored: tuple[Filter, ...]
    filters: tuple[Expression, ...]
    graph: DependencyGraph
    matches: AsyncIterator[list[Match]] = field(repr=False)
    """The vehicles that match the filters now: searched while this is iterated, once."""


class Resolver:
    """Resolves packages."""

    def __init__(self, db: Database, index: FleetIndex, workers: Workers) -> None:
        self._db, self._index, self._workers = db, index, workers
        self._log = get_logger(program="resolver")

    async def prepare(self, wanted: PackageId) -> Resolution:
        """Check whether a package can be resolved.

        Raises:
            Refused: ``package_missing`` or ``filters_missing``.
            Failed: a filter of the package cannot be evaluated.
            Unavailable: the fleet's index is not loaded yet, or cannot follow the database now.
        """
        async with self._db.read() as tx:
            filters = await filter_service.require_filters(tx, wanted.name, wanted.version)
            graph = await dependency_store.load_graph(tx)
        expressions = [await self._workers.run(self._read, one) for one in filters]
        package = Package(wanted.name, wanted.version)
        names = await self._workers.run(graph.names_of_interest, package)
        matches = await self._index.matching(expressions, names, graph)
        return Resolution(package, tuple(filters), tuple(expressions), graph, matches)

    async def decide(self, resolution: Resolution, *, is_rehearsal: bool = False) -> AsyncIterator[list[Decision]]:
        """Decide for every vehicle that matches all filters: a part of the fleet at a time, in no particular order.

        Vehicles with the same plan are grouped; excluded ones come with the reason. A rehearsal logs nothing.
        """
        plans: dict[frozenset[Package], Plan] = {}
        left_out = Counter[LeftOut]()
        examples = defaultdict[LeftOut, list[str]](list)
        async for matches in resolution.matches:
            decisions = await self._workers.run_steps(plan_in_steps(resolution, matches, plans))
            for decision in decisions:
                if isinstance(decision.plan, LeftOut):
                    left_out[decision.plan] += len(decision.vins)
                    some = decision.vins[: EXAMPLES - len(examples[decision.plan])]
                    examples[decision.plan] += [short_vin(vin) for vin in some]
            yield decisions
        for plan, count in left_out.items() if not is_rehearsal else ():
            self._log.error(
                "vehicles_left_out",
                package=resolution.package.text,
                code=plan.code,
                reason=plan.reason,
                count=count,
                examples=examples[plan],
            )

    def _read(self, stored: Filter) -> Expression:
        try:
            return _parse_again(stored.expression)
        except FilterSyntaxError as error:
            self._log.error("filter_not_evaluated", filter=stored.name, reason=str(error))
            raise Failed(
                f"The filter {stored.name} cannot be evaluated: no vehicle gets the package: {error}. Change it."
            ) from None


@lru_cache(maxsize=512)
def _parse_again(expression: str) -> Expression:
    """Parse a stored filter, with a cache: the same few are used again and again."""
    return parse(expression)


def plan_in_steps(
    resolution: Resolution, matches: Sequence[Match], plans: dict[frozenset[Package], Plan]
) -> Steps[list[Decision]]:
    """Plan for each group of vehicles, once for equivalent ones, with a pause for each plan."""
    for match in matches:
        if match.packages not in plans:
            plans[match.packages] = resolution.graph.plan(resolution.package, sorted(match.packages))
            yield
    return [Decision(match.vins, plans[match.packages]) for match in matches]
