"""Filters over dictionary-encoded vehicles: each regular expression runs once for each distinct value of the fleet.

A vehicle is its VIN and the numbers of what it has; a filter becomes a test on those numbers, made once for a resolve.

>>> from sota.resolver.language.parser import parse
>>> dictionary = Dictionary({1: Package("ivi", "1.0.0"), 2: Package("ivi", "2.0.0")}, {7: "ECU-7"})
>>> bound = bind([parse('has_package "ivi" "^2" AND NOT has_component "^TCU"')], dictionary)
>>> bound.test(EncodedVehicle("WVWZZZ1KZ00000001", frozenset({2}), frozenset({7})))
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sota.resolver.dependencies.model import Package
from sota.resolver.language.expression import (
    And,
    Constant,
    Expression,
    HasAttribute,
    HasComponent,
    HasPackage,
    HasPackageVersion,
    InGroup,
    Not,
    Or,
    VinMatches,
    walk,
)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Every distinct package and component of the fleet, by number."""

    packages: Mapping[int, Package]
    components: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class EncodedVehicle:
    """A vehicle, with what it has as numbers of the dictionary."""

    vin: str
    packages: frozenset[int]
    components: frozenset[int]


Test = Callable[[EncodedVehicle], bool]


@dataclass(frozen=True, slots=True)
class BoundFilters:
    """Filters made ready for a fleet: the test, and the numbers that it looks at."""

    test: Test
    packages: frozenset[int]
    components: frozenset[int]


def bind(filters: Sequence[Expression], dictionary: Dictionary) -> BoundFilters:
    """Make ready a test that is true where every filter is; without filters it is false for everybody."""
    binder = _Binder(dictionary)
    test = binder.bind(And(tuple(filters)) if filters else Constant(False))
    packages = frozenset[int]().union(*binder.packages.values())
    return BoundFilters(test, packages, frozenset[int]().union(*binder.components.values()))


class _Binder:
    """Turns expressions into tests; remembers which numbers a part stands for, so that each is worked out once."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._names = {package.name for package in dictionary.packages.values()}
        self.packages: dict[HasPackage | HasPackageVersion, frozenset[int]] = {}
        self.components: dict[HasComponent, frozenset[int]] = {}

    def bind(self, expression: Expression) -> Test:
        match expression:
            case VinMatches(vin):
                return lambda vehicle: vin.finds(vehicle.vin)
            case HasComponent():
                components = self._find_components(expression)
                return lambda vehicle: not components.isdisjoint(vehicle.components)
            case HasPackage():
                packages = self._find_packages(expression)
                return lambda vehicle: not packages.isdisjoint(vehicle.packages)
            case HasPackageVersion():
                packages = self._find_versions(expression)
                return lambda vehicle: not packages.isdisjoint(vehicle.packages)
            case HasAttribute() | InGroup():
                return lambda _vehicle: False  # no vehicle can be given any as yet
            case _:
                return self._bind_logic(expression)

    def _bind_logic(self, expression: Constant | Not | And | Or) -> Test:
        match expression:
            case Not(part):
                inner = self.bind(part)
                return lambda vehicle: not inner(vehicle)
            case And(parts):
                tests = self._cheapest_first(parts)
                return lambda vehicle: all(test(vehicle) for test in tests)
            case Or(parts):
                tests = self._cheapest_first(parts)
                return lambda vehicle: any(test(vehicle) for test in tests)
            case Constant(value):
                return lambda _vehicle: value

    def _cheapest_first(self, parts: Sequence[Expression]) -> list[Test]:
        """A test on numbers takes a tenth of a VIN's regular expression: those come first."""
        return [self.bind(part) for part in sorted(parts, key=_asks_vin)]

    def _find_packages(self, part: HasPackage) -> frozenset[int]:
        if part not in self.packages:
            names = {name for name in self._names if part.name.finds(name)}
            named = [(number, one) for number, one in self._dictionary.packages.items() if one.name in names]
            versions = {text for text in {one.version for _number, one in named} if part.version.finds(text)}
            self.packages[part] = frozenset(number for number, one in named if one.version in versions)
        return self.packages[part]

    def _find_versions(self, part: HasPackageVersion) -> frozenset[int]:
        if part not in self.packages:
            known = self._dictionary.packages.items()
            self.packages[part] = frozenset(number for number, one in known if part.finds(one.name, one.version))
        return self.packages[part]

    def _find_components(self, part: HasComponent) -> frozenset[int]:
        if part not in self.components:
            known = self._dictionary.components.items()
            self.components[part] = frozenset(number for number, text in known if part.part_number.finds(text))
        return self.components[part]


def _asks_vin(expression: Expression) -> bool:
    return any(isinstance(part, VinMatches) for _depth, part in walk(expression))


def select(
    bound: BoundFilters,
    vehicles: Sequence[tuple[int, str]],
    packages: Mapping[int, frozenset[int]],
    components: Mapping[int, frozenset[int]],
) -> Iterator[tuple[int, str]]:
    """Give those of the vehicles (row id, VIN) that pass; ``packages`` and ``components`` are by row id."""
    nothing: frozenset[int] = frozenset()
    for row_id, vin in vehicles:
        if bound.test(EncodedVehicle(vin, packages.get(row_id, nothing), components.get(row_id, nothing))):
            yield row_id, vin
