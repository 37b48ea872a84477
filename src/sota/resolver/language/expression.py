"""What a filter means, as a tree. Trees are immutable, and equal when they mean the same in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sota.resolver.language.regex import Regex


@dataclass(frozen=True, slots=True)
class Constant:
    """``TRUE`` or ``FALSE``."""

    value: bool


@dataclass(frozen=True, slots=True)
class VinMatches:
    """``vin_matches R``."""

    vin: Regex


@dataclass(frozen=True, slots=True)
class HasComponent:
    """``has_component R``: some installed part number matches."""

    part_number: Regex


@dataclass(frozen=True, slots=True)
class HasPackage:
    """``has_package N V``: some single installed package matches by name and by version."""

    name: Regex
    version: Regex


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


Expression = Constant | VinMatches | HasComponent | HasPackage | Not | And | Or


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """Give the expressions directly inside this one."""
    match expression:
        case Not(part):
            return (part,)
        case And(parts) | Or(parts):
            return parts
        case _:
            return ()


def walk(expression: Expression) -> Iterator[tuple[int, Expression]]:
    """Give every expression of the tree with its depth, without recursion."""
    waiting = [(1, expression)]
    while waiting:
        depth, current = waiting.pop()
        yield depth, current
        waiting.extend((depth + 1, part) for part in parts_of(current))
