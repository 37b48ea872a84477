"""What a resolve asks of the fleet, whoever answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sota.resolver.dependencies.model import Package
from sota.resolver.language.expression import Expression


@dataclass(frozen=True, slots=True)
class Match:
    """A vehicle that passed all filters, and which of the packages asked for it has."""

    vin: str
    packages: frozenset[Package]


class FleetIndex(Protocol):
    """Finds vehicles."""

    def matching(self, filters: Sequence[Expression], names: Collection[str]) -> AsyncIterator[list[Match]]:
        """Give the vehicles for which every filter is true, some at a time, in the order of their registration.

        Each comes with its installed packages of the given ``names``. Without filters nobody matches. A change of the
        fleet that was acknowledged before the call is seen; one during it may or may not be.
        """
        ...
