"""A filter as a tree. Trees are immutable, and equal if they mean the same in the same words.

A parsed leaf knows its place in the text, for explanations; the place does not affect equality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sota.resolver.language.regex import Regex
from sota.resolver.language.version import VersionOperator, read_numbers


class Place(NamedTuple):
    """A place in a filter's text: line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A leaf: it may know its place in the text."""

    place: Place | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Constant(_Placed):
    """``TRUE`` or ``FALSE``."""

    value: bool


@dataclass(frozen=True, slots=True)
class VinMatches(_Placed):
    """``vin_matches R``."""

    vin: Regex


@dataclass(frozen=True, slots=True)
class HasComponent(_Placed):
    """``has_component R``: some installed part number matches."""

    part_number: Regex


@dataclass(frozen=True, slots=True)
class HasPackage(_Placed):
    """``has_package N V``: some single installed package matches by name and by version."""

    name: Regex
    version: Regex

    def finds(self, name: str, version: str) -> bool:
        """Return whether an installed package matches."""
        return self.name.finds(name) and self.version.finds(version)


@dataclass(frozen=True, slots=True)
class HasPackageVersion(_Placed):
    """``package_version N < V``: some installed package has exactly this name, and its version compares so to ``V``.

    With a foreign version that has no order every comparison is false, ``!=`` included.
    """

    name: str
    operator: VersionOperator
    version: str

    def finds(self, name: str, version: str) -> bool:
        """Return whether an installed package matches."""
        return name == self.name and self.operator.holds(version, read_numbers(self.version))


@dataclass(frozen=True, slots=True)
class HasAttribute(_Placed):
    """``attribute N R``: the vehicle's attribute of exactly this name has a value that matches."""

    name: str
    value: Regex

    def finds(self, name: str, value: str) -> bool:
        """Return whether an attribute matches."""
        return name == self.name and self.value.finds(value)


@dataclass(frozen=True, slots=True)
class InGroup(_Placed):
    """``in_group N``: the vehicle is a member of the group of exactly this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """``NOT x``."""

    part: Expression


@dataclass(frozen=True, slots=True)
class And:
    """``x AND y AND …``: two parts or more."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """``x OR y OR …``: two parts or more."""

    parts: tuple[Expression, ...]


Leaf = Constant | VinMatches | HasComponent | HasPackage | HasPackageVersion | HasAttribute | InGroup
Expression = Leaf | Not | And | Or


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """Return the expressions directly inside this one."""
    match expression:
        case Not(part):
            return (part,)
        case And(parts) | Or(parts):
            return parts
        case _:
            return ()


def walk(expression: Expression) -> Iterator[tuple[int, Expression]]:
    """Return every expression of the tree with its depth, without recursion."""
    waiting = [(1, expression)]
    while waiting:
        depth, current = waiting.pop()
        yield depth, current
        waiting.extend((depth + 1, part) for part in parts_of(current))
