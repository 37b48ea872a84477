"""The filter language in the plainest form: a Python loop that calls ``re2`` itself and looks at every part.

It shares nothing with the Resolver but the tree: regular expressions are compiled here again, versions are ordered here
by hand. Whatever answers faster is held against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import re2

from sota.resolver.language.evaluation import Vehicle
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
)


def naive(expression: Expression, vehicle: Vehicle) -> bool:  # noqa: C901, PLR0911 - one case for each kind
    """Report whether the expression is true for the vehicle."""
    match expression:
        case Constant(value):
            return value
        case VinMatches(vin):
            return found(vin.pattern, vehicle.vin)
        case HasComponent(part):
            return any_of([found(part.pattern, component) for component in vehicle.components])
        case HasPackage(name, version):
            pairs = [(found(name.pattern, one), found(version.pattern, its)) for one, its in vehicle.packages]
            return any_of([both == (True, True) for both in pairs])
        case HasPackageVersion(name, operator, version):
            return any_of([stands(its, str(operator), version) for one, its in vehicle.packages if one == name])
        case HasAttribute(name, value):
            return any_of([found(value.pattern, own) for one, own in vehicle.attributes if one == name])
        case InGroup(name):
            return any_of([one == name for one in vehicle.groups])
        case Not(part):
            return not naive(part, vehicle)
        case And(parts):
            return min([naive(part, vehicle) for part in parts])
        case Or(parts):
            return max([naive(part, vehicle) for part in parts])


def naive_matching(filters: Sequence[Expression], fleet: Iterable[Vehicle]) -> set[str]:
    """Return the VINs of the vehicles for which every filter is true; without filters there are none."""
    return {vehicle.vin for vehicle in fleet if filters and min([naive(one, vehicle) for one in filters])}


def found(pattern: str, text: str) -> bool:
    """Search with RE2."""
    return re2.search(pattern, text) is not None


def any_of(answers: list[bool]) -> bool:
    """Report whether one of them is true, after all were evaluated."""
    return True in answers


def stands(own: str, operator: str, wanted: str) -> bool:
    """Compare two versions number by number; noughts stand for numbers that one of them lacks."""
    if not all(part != "" and set(part) <= set("0123456789") for part in own.split(".")):
        return False
    order = 0
    for mine, its in zip_longest(own.split("."), wanted.split("."), fillvalue="0"):
        if order == 0:
            order = (int(mine) > int(its)) - (int(mine) < int(its))
    return order in {"<": [-1], "<=": [-1, 0], "=": [0], "!=": [-1, 1], ">=": [0, 1], ">": [1]}[operator]
