"""Use cases of previews: check an expression while it is typed, count its vehicles, rehearse a resolve."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sota.boundaries.values import PackageId
from sota.kit.sql.database import Database
from sota.resolver.attributes import store as attribute_store
from sota.resolver.dependencies.model import LeftOut, Planned
from sota.resolver.groups import service as group_service
from sota.resolver.index.fleet_index import FleetIndex
from sota.resolver.index.workers import Steps, Workers
from sota.resolver.language.expression import Expression, HasAttribute, Place, walk
from sota.resolver.language.formatter import format_filter
from sota.resolver.language.hints import Hint, find_hints
from sota.resolver.language.parser import FilterSyntaxError, parsing
from sota.resolver.resolution.service import Resolver

SAMPLE = 10


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked expression: its meaning and the hints on it, or its mistake."""

    meaning: Expression | None
    error: FilterSyntaxError | None = None
    hints: list[Hint] = field(default_factory=list)


class Previews:
    """Previews. Parsing has a thread of its own, so that a resolve does not delay interactive checks."""

    def __init__(self, db: Database, index: FleetIndex, resolver: Resolver, typing: Workers) -> None:
        self._db, self._index, self._resolver, self._typing = db, index, resolver, typing

    async def check(self, expression: str) -> Checked:
        """Check an expression as when it is saved, with hints on what may be meant otherwise."""
        checked = await self._typing.run_steps(_check(expression))
        if checked.meaning is None:
            return checked
        asked: dict[str, Place] = {}
        for _depth, part in walk(checked.meaning):
            if isinstance(part, HasAttribute):
                asked.setdefault(part.name, part.place or Place(1, 1))
        async with self._db.read() as tx:
            error = await group_service.find_missing(tx, checked.meaning)
            unknown = await attribute_store.unknown_names(tx, list(asked))
        if error is not None:
            return Checked(None, error)
        hints = [Hint(asked[name], f"no vehicle has an attribute {name!r}") for name in unknown]
        return Checked(checked.meaning, None, sorted([*checked.hints, *hints], key=lambda hint: hint.place))

    async def format(self, expression: str) -> str | FilterSyntaxError:
        """Format an expression, or return its mistake."""
        return await self._typing.run_steps(_format(expression))

    async def count(self, meaning: Expression) -> tuple[int, list[str]]:
        """Count the vehicles that match an expression; return some of them, too."""
        return await self._index.count_and_sample(meaning, SAMPLE)

    async def rehearse(self, package: PackageId) -> tuple[Counter[Planned], Counter[LeftOut]]:
        """Decide as a resolve would; return how many vehicles have each plan, and how many each reason for none.

        Raises:
            Refused: ``package_missing`` or ``filters_missing``.
            Failed: a filter of the package cannot be evaluated.
        """
        chosen, left_out = Counter[Planned](), Counter[LeftOut]()
        resolution = await self._resolver.prepare(package)
        async for decisions in self._resolver.decide(resolution, is_rehearsal=True):
            for decision in decisions:
                if isinstance(decision.plan, LeftOut):
                    left_out[decision.plan] += len(decision.vins)
                else:
                    chosen[decision.plan] += len(decision.vins)
        return chosen, left_out


def _check(expression: str) -> Steps[Checked]:
    try:
        meaning = yield from parsing(expression)
    except FilterSyntaxError as error:
        return Checked(None, error)
    return Checked(meaning, None, find_hints(meaning))


def _format(expression: str) -> Steps[str | FilterSyntaxError]:
    try:
        yield from parsing(expression)
        return format_filter(expression)
    except FilterSyntaxError as error:
        return error
