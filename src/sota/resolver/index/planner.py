"""An expression made ready for one state of the fleet: leaves become numbers, and what costs little comes first.

Cheap is what bitmaps answer; a test of VINs takes a hundred times as long a vehicle, so it looks only at those that the
rest of an AND has left, or that the rest of an OR has not taken yet. Parts that are true or false for everybody vanish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sota.resolver.changes.model import Kind
from sota.resolver.index.dictionary import Dictionary, ThingLeaf
from sota.resolver.index.workers import Steps
from sota.resolver.language.expression import And, Constant, Expression, Not, Or, VinMatches, walk
from sota.resolver.language.regex import Regex


@dataclass(frozen=True, slots=True)
class Fixed:
    """True for everybody, or for nobody."""

    value: bool


@dataclass(frozen=True, slots=True)
class Having:
    """True for vehicles that have one of these things."""

    kind: Kind
    things: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VinTest:
    """True for vehicles whose VIN the expression finds."""

    vin: Regex


@dataclass(frozen=True, slots=True)
class Without:
    """True where the part is not."""

    part: Plan


@dataclass(frozen=True, slots=True)
class Every:
    """True where all parts are, asked in this order."""

    parts: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """True where one of the parts is, asked in this order."""

    parts: tuple[Plan, ...]


Plan = Fixed | Having | VinTest | Without | Every | Some
NOBODY, EVERYBODY = Fixed(False), Fixed(True)


def plan_all(filters: Sequence[Expression], dictionary: Dictionary) -> Plan:
    """Plan for vehicles that pass every filter; without filters that is nobody."""
    return plan(And(tuple(filters)), dictionary) if filters else NOBODY


def planning(filters: Sequence[Expression], dictionary: Dictionary) -> Steps[Plan]:
    """Plan as :func:`plan_all` does: a step for each test of things, which is looked up in the whole dictionary."""
    for expression in filters:
        for _depth, part in walk(expression):
            if isinstance(part, ThingLeaf):
                dictionary.find(part)  # it is remembered
                yield
    return plan_all(filters, dictionary)


def plan(expression: Expression, dictionary: Dictionary) -> Plan:
    """Plan for vehicles for which the expression is true."""
    match expression:
        case Constant(value):
            return EVERYBODY if value else NOBODY
        case VinMatches(vin):
            return VinTest(vin)
        case Not(part):
            return _without(plan(part, dictionary))
        case And(parts):
            return _every(plan(part, dictionary) for part in parts)
        case Or(parts):
            return _some(plan(part, dictionary) for part in parts)
        case _:
            kind, things = dictionary.find(expression)
            return Having(kind, things) if things else NOBODY


def _without(part: Plan) -> Plan:
    match part:
        case Fixed(value):
            return NOBODY if value else EVERYBODY
        case Without(inner):
            return inner
        case _:
            return Without(part)


def _every(parts: Iterable[Plan]) -> Plan:
    """Join by AND: one that is false for everybody decides, those that are true for everybody say nothing."""
    kept = list(dict.fromkeys(part for part in parts if part != EVERYBODY))
    if NOBODY in kept:
        return NOBODY
    if len(kept) <= 1:
        return kept[0] if kept else EVERYBODY
    return Every(tuple(sorted(kept, key=cost)))


def _some(parts: Iterable[Plan]) -> Plan:
    """Join by OR: one that is true for everybody decides, those that are false for everybody say nothing."""
    kept = list(dict.fromkeys(part for part in parts if part != NOBODY))
    if EVERYBODY in kept:
        return EVERYBODY
    if len(kept) <= 1:
        return kept[0] if kept else NOBODY
    return Some(tuple(sorted(kept, key=cost)))


def cost(plan: Plan) -> tuple[int, int]:
    """Say how dear a plan is: how many tests of VINs it holds, then how many bitmaps it joins."""
    match plan:
        case VinTest():
            return 1, 0
        case Having(_kind, things):
            return 0, len(things)
        case Without(part):
            return cost(part)
        case Every(parts) | Some(parts):
            costs = [cost(part) for part in parts]
            return sum(vins for vins, _bitmaps in costs), sum(bitmaps for _vins, bitmaps in costs)
        case Fixed():
            return 0, 0
