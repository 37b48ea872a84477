"""Both ends of every row, found by reading the source: who calls, who answers, which tests prove it.

Nothing is imported and nothing runs: the files below ``src/sota`` are parsed, and each call with whole ids in it is an
end: ``serves("WL-…")``, ``calls("WL-…")``, ``holds("WL-…")``, ``pass_on("WL-…", to="WL-…")``. In a checkout the tests
are read too: functions below ``tests`` that ``@pytest.mark.whitelist`` decorates with an id and outcomes.

A row of a database or the repository (B4, B6, B13) has no program on its other side: its callee's end is the table that
``holds`` it, or the function that ``serves`` it before the file system.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import sota

PACKAGE = Path(sota.__file__).parent
MARKS = {
    "calls": "callers",
    "serves": "handlers",
    "holds": "handlers",
    "serves_service": "handlers",
    "pass_on": "handlers",
}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A function or table in the source: ``file`` as seen from the repository's root, the line where it begins."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    """A test that proves outcomes of a row; without ``outcomes`` it is about the row as a whole."""

    test: str
    outcomes: tuple[str, ...] = ()


@dataclass(slots=True)
class Ends:
    """What was found for one row."""

    callers: list[Place] = field(default_factory=list)
    handlers: list[Place] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)


@cache
def find_ends(package: Path = PACKAGE, row: str = "") -> Mapping[str, Ends]:
    """Read the source, and the tests where they are beside it; returns the ends by row id, or those of one ``row``.

    For one row only the files that name it are parsed: that is twenty times quicker.
    """
    found: dict[str, Ends] = {}
    root = package.parent.parent
    for file in _naming(package, "*.py", row):
        for mark, ids, place in _marks(file, _shown(file, package)):
            for row_id in ids:
                if not row or row_id == row:
                    getattr(found.setdefault(row_id, Ends()), MARKS[mark]).append(place)
    for row_id, proof in _proofs(root / "tests", root, row):
        if not row or row_id == row:
            found.setdefault(row_id, Ends()).proofs.append(proof)
    return found


def find_uses(callers: Sequence[Place], program: str, package: Path = PACKAGE) -> list[Place]:
    """Find where a program calls these functions of a boundary; ``program`` is its folder below ``src/sota``."""
    names = {place.name for place in callers}
    uses: list[Place] = []
    for name in sorted(names):
        for file in _naming(package / program, "*.py", f".{name}"):
            uses += _uses(ast.parse(file.read_bytes()), name, _shown(file, package))
    return sorted(set(uses))


def _naming(folder: Path, pattern: str, text: str) -> list[Path]:
    wanted = text.encode()
    return [file for file in sorted(folder.rglob(pattern)) if not text or wanted in file.read_bytes()]


def _shown(file: Path, package: Path) -> str:
    inside_checkout = package.parent.name == "src"
    return file.relative_to(package.parent.parent).as_posix() if inside_checkout else file.as_posix()


def _uses(tree: ast.AST, name: str, file: str) -> Iterator[Place]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                yield Place(file, node.lineno, function.name)


def unknown_ids(known: Mapping[str, object], package: Path = PACKAGE) -> list[str]:
    """List the ids that some end or test names and that are not in the table, each with a place."""
    strange = []
    for row_id, ends in find_ends(package).items():
        if row_id not in known:
            places = [str(place) for place in (*ends.callers, *ends.handlers)]
            strange += [f"{row_id} at {place}" for place in (*places, *(proof.test for proof in ends.proofs))]
    return strange


def _marks(file: Path, name: str) -> Iterator[tuple[str, tuple[str, ...], Place]]:
    tree = ast.parse(file.read_bytes(), name)
    used: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                used.add(id(decorator))
                yield from ((mark, ids, Place(name, node.lineno, node.name)) for mark, ids in _marked(decorator))
    # holds(...) inside a Table, pass_on(...) as a member of a class, and marks that are put on by a call.
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in used:
            yield from ((mark, ids, Place(name, node.lineno, _holder(tree, node))) for mark, ids in _marked(node))


def _marked(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find what a call marks; ``pass_on`` marks a handler, and by ``to`` also a caller."""
    if not isinstance(node, ast.Call):
        return
    mark = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if mark in MARKS:
        yield mark, _ids(node.args)
        yield from (("calls", _ids(ast.walk(keyword.value))) for keyword in node.keywords if keyword.arg == "to")


def _ids(nodes: Iterable[ast.AST]) -> tuple[str, ...]:
    return tuple(text for text in map(_text, nodes) if text.startswith(("WL-", "X-")))


def _holder(tree: ast.Module, call: ast.Call) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if node.lineno <= call.lineno <= (node.end_lineno or node.lineno):
                return getattr(target, "id", "")
    return ""


def _proofs(tests: Path, root: Path, row: str) -> Iterator[tuple[str, Proof]]:
    for file in _naming(tests, "test_*.py", row or "whitelist"):
        path = file.relative_to(root).as_posix()
        tree = ast.parse(file.read_bytes(), path)
        for owner, function in _test_functions(tree):
            for row_id, outcomes in _whitelist_marks(function):
                yield row_id, Proof("::".join((path, *owner, function.name)), outcomes)


def _test_functions(tree: ast.Module) -> Iterator[tuple[tuple[str, ...], ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (), node
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield (node.name,), method


def _whitelist_marks(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in (inner for decorator in function.decorator_list for inner in ast.walk(decorator)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "whitelist":
            row_id, *outcomes = (_text(argument) for argument in node.args)
            yield row_id, tuple(outcomes)


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
