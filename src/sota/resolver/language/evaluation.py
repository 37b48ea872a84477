"""A filter for one vehicle: the definition of the language, in its simplest form.

The index answers the same question for a whole fleet; tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from sota.resolver.language.expression import (
    And,
    Constant,
    Expression,
    HasAttribute,
    HasComponent,
    HasPackage,
    HasPackageVersion,
    InGroup,
    Leaf,
    Not,
    Or,
    VinMatches,
)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Everything about a vehicle that a filter can test.

    The VIN, the installed packages as (name, version), the part numbers, the attributes as (name, value), the groups.
    """

    vin: str
    packages: frozenset[tuple[str, str]] = frozenset()
    components: frozenset[str] = frozenset()
    attributes: frozenset[tuple[str, str]] = frozenset()
    groups: frozenset[str] = frozenset()


def evaluate(expression: Expression, vehicle: Vehicle) -> bool:
    """Return whether the expression is true for the vehicle."""
    match expression:
        case Not(part):
            return not evaluate(part, vehicle)
        case And(parts):
            return all(evaluate(part, vehicle) for part in parts)
        case Or(parts):
            return any(evaluate(part, vehicle) for part in parts)
        case _:
            return holds(expression, vehicle)


def holds(leaf: Leaf, vehicle: Vehicle) -> bool:
    """Return whether a single test is true for the vehicle."""
    match leaf:
        case Constant(value):
            return value
        case VinMatches(vin):
            return vin.finds(vehicle.vin)
        case HasComponent(part_number):
            return any(part_number.finds(component) for component in vehicle.components)
        case HasPackage() | HasPackageVersion():
            return any(leaf.finds(name, version) for name, version in vehicle.packages)
        case HasAttribute():
            return any(leaf.finds(name, value) for name, value in vehicle.attributes)
        case InGroup(group):
            return group in vehicle.groups
