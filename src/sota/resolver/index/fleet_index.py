"""What a resolve asks of the fleet, whoever answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sota.resolver.dependencies.model import Package
from sota.resolver.language.expression import Expression

Alike = Callable[[Package], Package | None]


@dataclass(frozen=True, slots=True)
class Match:
    """Vehicles that passed all filters and have the same of the packages asked for: at least one VIN, each once."""

    vins: Sequence[str]
    packages: frozenset[Package]


class FleetIndex(Protocol):
    """Finds vehicles."""

    async def matching(
        self, filters: Sequence[Expression], names: Collection[str], alike: Alike | None = None
    ) -> AsyncIterator[list[Match]]:
        """Find the vehicles for which every filter is true: gives a part of the fleet at a time, in no promised order.

        The vehicles of a part are grouped by what they have installed of the given ``names``; the same group may come
        again in another part. ``alike`` makes groups larger: it names a package that stands for another one, or None
        for one that does not matter. Without filters nobody matches.

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
