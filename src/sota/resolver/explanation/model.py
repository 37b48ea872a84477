"""Why an expression is true or false for a vehicle, and why a plan is what it is. No I/O.

>>> from sota.resolver.language.parser import parse
>>> vehicle = Vehicle("WVWZZZ1KZ7W000001", frozenset({("ivi", "1.0.0")}))
>>> clause = explain_clause(parse('package_version "ivi" >= "2"'), vehicle)
>>> clause.value, clause.note
(False, 'it has ivi at 1.0.0')
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sota.boundaries.b3_web_resolver.resolution_messages import Clause, ClauseKind, PlanStep
from sota.resolver.dependencies.model import DependencyGraph, Minimum, Package, to_package_id
from sota.resolver.language.evaluation import Vehicle, evaluate, holds
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
    parts_of,
)
from sota.resolver.language.formatter import render_leaf

NAMED = 5
"""How many things a note names; of more it gives the number."""

KINDS: dict[type[Expression], ClauseKind] = {Not: ClauseKind.NOT, And: ClauseKind.AND, Or: ClauseKind.OR}


def explain_clause(expression: Expression, vehicle: Vehicle) -> Clause:
    """Explain whether an expression, and each part of it, is true for the vehicle."""
    if isinstance(expression, Not | And | Or):
        parts = [explain_clause(part, vehicle) for part in parts_of(expression)]
        return Clause(kind=KINDS[type(expression)], value=evaluate(expression, vehicle), parts=parts)
    seen, note = _look(expression, vehicle)
    line, column = expression.place or (None, None)
    return Clause(
        kind=ClauseKind.TEST,
        value=holds(expression, vehicle),
        text=render_leaf(expression),
        line=line,
        column=column,
        seen=seen,
        note=note,
    )


def explain_steps(
    graph: DependencyGraph, packages: Sequence[Package], installed: Collection[Package]
) -> list[PlanStep]:
    """Explain why each package of a plan is in it."""
    return [PlanStep(package=to_package_id(one), because=_why(graph, one, packages, installed)) for one in packages]


def _look(leaf: Leaf, vehicle: Vehicle) -> tuple[list[str], str | None]:
    """Return what in the vehicle makes a test true, and a sentence on what was compared."""
    match leaf:
        case Constant():
            return [], None
        case VinMatches(regex):
            found = regex.finds(vehicle.vin)
            return [vehicle.vin] if found else [], f"the VIN {'matches' if found else 'does not match'}"
        case HasComponent(regex):
            parts = sorted(one for one in vehicle.components if regex.finds(one))
            return parts, _note(parts, sorted(vehicle.components), "component")
        case HasPackage() | HasPackageVersion():
            return _look_at_packages(leaf, vehicle)
        case HasAttribute(name):
            values = [value for own, value in vehicle.attributes if own == name]
            said = f"its {name} is {values[0]}" if values else f"it has no attribute {name}"
            return values if holds(leaf, vehicle) else [], said
        case InGroup(name):
            is_in = name in vehicle.groups
            return [name] if is_in else [], f"it is {'' if is_in else 'not '}in the group {name}"


def _look_at_packages(leaf: HasPackage | HasPackageVersion, vehicle: Vehicle) -> tuple[list[str], str]:
    found = sorted(f"{name}/{version}" for name, version in vehicle.packages if leaf.finds(name, version))
    near = sorted(
        f"{name} at {version}"
        for name, version in vehicle.packages
        if (name == leaf.name if isinstance(leaf, HasPackageVersion) else leaf.name.finds(name))
    )
    if not found and near:
        return [], f"it has {_listed(near)}"
    return found, _note(found, sorted(f"{name}/{version}" for name, version in vehicle.packages), "package")


def _note(found: Sequence[str], all_of_them: Sequence[str], kind: str) -> str:
    if found:
        return f"it has {_listed(found)}"
    if not all_of_them:
        return f"it has no {kind}"
    return f"none of its {kind}s does: {_listed(all_of_them)}"


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more


def _why(graph: DependencyGraph, one: Package, packages: Sequence[Package], installed: Collection[Package]) -> str:
    if one == packages[-1]:
        return "it was asked for"
    needs: list[tuple[Package, Minimum]] = [
        (other, need) for other in packages for need in graph.needs_of(other) if need.name == one.name
    ]
    wanted = "; ".join(f"{other.text} needs {need.name} {need.version} or later" for other, need in needs[:NAMED])
    own = sorted(other.version for other in installed if other.name == one.name)
    has = f"the vehicle has {_listed(own)}" if own else "the vehicle has none"
    return f"{wanted}; {has}"
