"""What a resolve asks of the fleet, whoever answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sota.kit.runtime.program import Background
from sota.resolver.dependencies.model import DependencyGraph, Package
from sota.resolver.language.expression import Expression

Alike = Callable[[Package], Package | None]


@dataclass(frozen=True, slots=True)
class Match:
    """Vehicles that passed all filters and have the same of the packages asked for: at least one VIN, each once."""

    vins: Sequence[str]
    packages: frozenset[Package]


class FleetIndex(Protocol):
    """Finds vehicles."""

    def start(self, background: Background) -> None:
        """Begin to load, and to follow the database from then on."""
        ...

    async def wait_ready(self) -> None:
        """Wait until questions can be answered."""
        ...

    async def is_ready(self) -> bool:
        """Say whether questions can be answered."""
        ...

    def close(self) -> None:
        """Give back what is held; the background that it was started in has ended."""
        ...

    async def matching(
        self, filters: Sequence[Expression], names: Collection[str], graph: DependencyGraph
    ) -> AsyncIterator[list[Match]]:
        """Find the vehicles for which every filter is true: gives a part of the fleet at a time, in no promised order.

        The vehicles of a part are grouped by what they have installed of the given ``names``; the same group may come
        again in another part. The ``graph`` makes groups larger: a package may stand for another one that is alike in
        it, and one that does not matter in it is left out. Without filters nobody matches.

        A change of the fleet that was acknowledged before the call is seen; one during it is seen whole or not at all.

        Raises:
            Unavailable: the index is not loaded yet, or cannot follow the database now.
        """
        ...

    async def count_and_sample(self, expression: Expression, sample: int) -> tuple[int, list[str]]:
        """Count the vehicles for which the expression is true, and name up to ``sample`` of them.

        Has computing time of its own, which no resolve can take, and sees changes as :meth:`matching` does.

        Raises:
            Unavailable: as above.
        """
        ...
