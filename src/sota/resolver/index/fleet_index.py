"""What a resolve asks of the fleet, whoever answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sota.resolver.dependencies.model import Package
from sota.resolver.language.expression import Expression


@dataclass(frozen=True, slots=True)
class Match:
    """Vehicles that passed all filters and have the same of the packages asked for: at least one VIN, each once."""

    vins: Sequence[str]
    packages: frozenset[Package]


class FleetIndex(Protocol):
    """Finds vehicles."""

    def matching(self, filters: Sequence[Expression], names: Collection[str]) -> AsyncIterator[list[Match]]:
        """Give the vehicles for which every filter is true: a part of the fleet at a time, in no promised order.

        The vehicles of a part are grouped by what they have installed of the given ``names``; the same group may come
        again in another part. Without filters nobody matches. A change of the fleet that was acknowledged before the
        call is seen; one during it may or may not be.
        """
        ...
