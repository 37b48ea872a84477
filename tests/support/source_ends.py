"""Reads from the source which rows have an end there, and which routes are bound past the table. Imports no program."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

ENDS = {"serves", "serves_service", "calls", "holds"}


@dataclass(slots=True)
class Marks:
    """Row ids with the place of each end, and the places where a route is bound by hand."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)


def read_marks(folder: Path, root: Path) -> Marks:
    """Read every ``serves``, ``calls`` and ``holds`` below ``folder``; the kit is where routes are bound from rows."""
    marks = Marks()
    for path in sorted(folder.rglob("*.py")):
        in_kit = "kit" in path.relative_to(folder).parts
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Call):
                _read_call(node, f"{path.relative_to(root)}:{node.lineno}", marks, in_kit=in_kit)
    return marks


def _read_call(node: ast.Call, place: str, marks: Marks, *, in_kit: bool) -> None:
    if isinstance(node.func, ast.Name) and node.func.id in ENDS:
        names = node.args[:1] if node.func.id == "serves_service" else node.args
        marks.rows += [(a.value, place) for a in names if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if isinstance(node.func, ast.Attribute) and node.func.attr == "route" and not in_kit:
        marks.routes.append(place)
