"""A filter for one vehicle: the meaning of the language, said once and plainly.

The index answers the same question for a whole fleet; tests hold it against this.
"""

from __future__ import annotations

from dataclasses import dataclass

from sota.resolver.language.expression import (
    And,
    Constant,
    Expression,
    HasComponent,
    HasPackage,
    Not,
    Or,
    VinMatches,
)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """What a filter can ask about: the VIN, the installed packages as (name, version), the part numbers."""

    vin: str
    packages: frozenset[tuple[str, str]] = frozenset()
    components: frozenset[str] = frozenset()


def evaluate(expression: Expression, vehicle: Vehicle) -> bool:  # noqa: PLR0911 - one return for each kind of expression
    """Say whether the expression is true for the vehicle."""
    match expression:
        case Constant(value):
            return value
        case VinMatches(vin):
            return vin.finds(vehicle.vin)
        case HasComponent(part_number):
            return any(part_number.finds(component) for component in vehicle.components)
        case HasPackage(name, version):
            return any(name.finds(installed) and version.finds(its) for installed, its in vehicle.packages)
        case Not(part):
            return not evaluate(part, vehicle)
        case And(parts):
            return all(evaluate(part, vehicle) for part in parts)
        case Or(parts):
            return any(evaluate(part, vehicle) for part in parts)
