"""Plans an expression for one state of the fleet: tests become numbers, and cheap parts come first.

Bitmaps are cheap; a test of VINs takes a hundred times as long for each vehicle. So it reads only the VINs that the
rest of an AND has left, or that the rest of an OR has not matched yet. Parts that are always true or false vanish.
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
    """Always true, or always false."""

    value: bool


@dataclass(frozen=True, slots=True)
class Having:
    """True for vehicles that have one of these things."""

    kind: Kind
    things: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VinTest:
    """True for vehicles whose VIN matches."""

    vin: Regex


@dataclass(frozen=True, slots=True)
class Without:
    """True if the part is false."""

    part: Plan


@dataclass(frozen=True, slots=True)
class Every:
    """True if all parts are, evaluated in this order."""

    parts: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """True if one of the parts is, evaluated in this order."""

    parts: tuple[Plan, ...]


Plan = Fixed | Having | VinTest | Without | Every | Some
NO_VEHICLE, EVERY_VEHICLE = Fixed(False), Fixed(True)


def planning(filters: Sequence[Expression], dictionary: Dictionary) -> Steps[Plan]:
    """Plan for vehicles that match every filter; without filters, none do.

    There is a pause for each test, which searches the whole dictionary.
    """
    for expression in filters:
        for _depth, part in walk(expression):
            if isinstance(part, ThingLeaf):
                dictionary.find(part)  # its result is cached
                yield
    return plan(And(tuple(filters)), dictionary) if filters else NO_VEHICLE


def plan(expression: Expression, dictionary: Dictionary) -> Plan:
    """Plan for vehicles that match the expression."""
    match expression:
        case Constant(value):
            return EVERY_VEHICLE if value else NO_VEHICLE
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
            return Having(kind, things) if things else NO_VEHICLE


def _without(part: Plan) -> Plan:
    match part:
        case Fixed(value):
            return NO_VEHICLE if value else EVERY_VEHICLE
        case Without(inner):
            return inner
        case _:
            return Without(part)


def _every(parts: Iterable[Plan]) -> Plan:
    """Join by AND: a part that is always false decides, parts that are always true vanish."""
    kept = list(dict.fromkeys(part for part in parts if part != EVERY_VEHICLE))
    if NO_VEHICLE in kept:
        return NO_VEHICLE
    if len(kept) <= 1:
        return kept[0] if kept else EVERY_VEHICLE
    return Every(tuple(sorted(kept, key=cost)))


def _some(parts: Iterable[Plan]) -> Plan:
    """Join by OR: a part that is always true decides, parts that are always false vanish."""
    kept = list(dict.fromkeys(part for part in parts if part != NO_VEHICLE))
    if EVERY_VEHICLE in kept:
        return EVERY_VEHICLE
    if len(kept) <= 1:
        return kept[0] if kept else NO_VEHICLE
    return Some(tuple(sorted(kept, key=cost)))


def cost(plan: Plan) -> tuple[int, int]:
    """Return a plan's cost: its number of VIN tests, then its number of bitmaps."""
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
