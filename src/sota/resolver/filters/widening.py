"""How many more vehicles a package reaches without one of its filters (docs/specification.md, ruling 9).

A package goes to the vehicles that match all its filters: with one filter less the target is wider, which must not
happen by mistake. Without its last filter a package goes to no vehicle.
"""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b3_web_resolver.messages import Filter
from sota.kit.errors import Failed
from sota.resolver.index.fleet_index import FleetIndex
from sota.resolver.index.workers import Workers
from sota.resolver.language.expression import And, Expression, Not
from sota.resolver.language.parser import FilterSyntaxError, parsing


class Widening:
    """Counts what a change of filters would add to a package's target."""

    def __init__(self, index: FleetIndex, workers: Workers) -> None:
        self._index, self._workers = index, workers

    async def count(self, filters: Sequence[Filter], without: str) -> int:
        """Return how many vehicles match these filters without the named one, but not with it.

        Raises:
            Failed: a filter cannot be evaluated.
        """
        left = [one for one in filters if one.name != without]
        gone = [one for one in filters if one.name == without]
        if not left or not gone:
            return 0
        meanings = [await self._read(one) for one in left]
        lost = [Not(await self._read(one)) for one in gone]
        found, _ = await self._index.count_and_sample(And((*meanings, *lost)), 0)
        return found

    async def _read(self, one: Filter) -> Expression:
        try:
            return await self._workers.run_steps(parsing(one.expression))
        except FilterSyntaxError as error:
            raise Failed(f"The filter {one.name} cannot be evaluated: {error}.") from None
