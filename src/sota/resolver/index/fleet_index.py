"""The interface of an index of the fleet, as a resolve uses it."""

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
    """Vehicles that passed all filters and have the same relevant packages: at least one VIN, without duplicates."""

    vins: Sequence[str]
    packages: frozenset[Package]


class FleetIndex(Protocol):
    """Finds vehicles."""

    def start(self, background: Background) -> None:
        """Start to load, and then to follow the database."""
        ...

    async def wait_ready(self) -> None:
        """Wait until queries can be answered."""
        ...

    async def is_ready(self) -> bool:
        """Return whether queries can be answered."""
        ...

    def close(self) -> None:
        """Release resources; the background tasks have ended."""
        ...

    async def matching(
        self, filters: Sequence[Expression], names: Collection[str], graph: DependencyGraph
    ) -> AsyncIterator[list[Match]]:
        """Yield the vehicles that match every filter, a part of the fleet at a time, in no particular order.

        The vehicles of a part are grouped by the installed packages with the given ``names``; the same group may appear
        again in another part. The ``graph`` makes groups larger: a package may stand for others that are equivalent in
        it, and one that does not matter is left out. Without filters no vehicle matches.

        A change that was acknowledged before the call is seen; one during it is seen completely or not at all.

        Raises:
            Unavailable: the index is not loaded yet, or cannot follow the database now.
        """
        ...

    async def count_and_sample(self, expression: Expression, sample: int) -> tuple[int, list[str]]:
        """Count the vehicles that match the expression, and name up to ``sample`` of them.

        It has computing time of its own, which no resolve can take, and sees changes as :meth:`matching` does.

        Raises:
            Unavailable: as above.
        """
        ...
