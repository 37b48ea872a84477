"""Joins the results of the whitelist's tests with the table: which outcomes are proved, on which database engine."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sota.boundaries.ends import PACKAGE, unknown_ids
from sota.boundaries.interaction import Interaction, Outcome
from sota.boundaries.table import TABLE

ENGINES = ("sqlite", "mariadb")
ENGINE_NAMES = {"sqlite": "SQLite", "mariadb": "MariaDB"}
# The outcome of wrong credentials of a store; SQLite has no credentials (docs/specification.md, ruling 17).
MARIADB_ONLY = "rejected"


@dataclass(frozen=True, slots=True)
class Record:
    """One test's result, with the outcomes that it proves and its engine (None: no database)."""

    test: str
    engine: str | None
    marks: tuple[tuple[str, ...], ...]
    result: str

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Record:
        return cls(raw["test"], raw["engine"], tuple(tuple(mark) for mark in raw["marks"]), raw["result"])


@dataclass(slots=True)
class Proof:
    """The tests of one outcome, and their results on each engine (``None``: a test without a database).

    ``tests`` has for each test how many rows it is marked with: a test of several rows is a shared proof.
    """

    row: Interaction
    outcome: Outcome
    tests: dict[str, int] = field(default_factory=dict)
    results: dict[str | None, list[str]] = field(default_factory=dict)

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines on which the outcome can happen."""
        return ("mariadb",) if self.outcome.name == MARIADB_ONLY else ENGINES

    def add(self, record: Record) -> None:
        """Add a test's result."""
        name = record.test.partition("[")[0]
        rows = len({mark[0] for mark in record.marks})
        self.tests[name] = min(rows, self.tests.get(name, rows))
        self.results.setdefault(record.engine, []).append(record.result)

    def holds_on(self, engine: str) -> bool:
        """Whether it is proved on this engine."""
        results = self.results.get(engine, []) + self.results.get(None, [])
        return engine in self.engines and "passed" in results and "failed" not in results

    @property
    def is_shared(self) -> bool:
        """Whether every test of it is one of several rows."""
        return bool(self.tests) and min(self.tests.values()) > 1

    @property
    def holds(self) -> bool:
        """Whether it is proved on every engine on which it can happen."""
        return all(self.holds_on(engine) for engine in self.engines)

    def say(self, engine: str) -> str:
        """Return the result on an engine in a word or two."""
        if engine not in self.engines:
            return "not there"
        own, free = self.results.get(engine, []), self.results.get(None, [])
        for result in ("failed", "passed", "skipped"):
            if result in own:
                return result
        return f"{free[0]}, no database" if free else "no test"


@dataclass(slots=True)
class Conformance:
    """The whole table joined with the results."""

    proofs: dict[tuple[str, str], Proof]
    records: list[Record]
    wrong: list[str]

    def select(self, wanted: Callable[[Proof], bool]) -> list[Proof]:
        """Return the proofs for which ``wanted`` holds."""
        return [proof for proof in self.proofs.values() if wanted(proof)]


def join(records: Iterable[Record], table: Mapping[str, Interaction] = TABLE) -> Conformance:
    """Join results with the rows' outcomes; what a mark names and the table does not have is wrong."""
    proofs = {(row.id, outcome.name): Proof(row, outcome) for row in table.values() for outcome in row.outcomes}
    seen = sorted(records, key=lambda record: record.test)
    wrong: dict[str, None] = {}
    for record in seen:
        name = record.test.partition("[")[0]
        if record.result == "failed":
            wrong[f"{record.test} failed"] = None
        for row_id, *outcomes in record.marks:
            if row_id not in table:
                wrong[f"{name} is marked {row_id}, which is no row of the table"] = None
                continue
            for outcome in outcomes:
                proof = proofs.get((row_id, outcome))
                if proof is not None:
                    proof.add(record)
                elif table[row_id].outcome(outcome) is None:
                    wrong[f"{name} is marked {row_id} {outcome}, which is no outcome of that row"] = None
    return Conformance(proofs, seen, list(wrong))


def check_ends(package: Path = PACKAGE) -> list[str]:
    """Find ends in the source that name no row, and routes that are bound past the table."""
    return [f"{end} is no row of the table" for end in unknown_ids(TABLE, package)] + [
        f"{place}: a route that is bound by hand" for place in _routes_by_hand(package)
    ]


def _routes_by_hand(package: Path) -> Iterator[str]:
    for file in sorted(package.rglob("*.py")):
        if file.is_relative_to(package / "boundaries" / "binding"):
            continue  # the one place where routes are bound, from rows
        for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "route":
                yield f"{file.relative_to(package.parent.parent)}:{node.lineno}"


def missing(conformance: Conformance) -> list[str]:
    """Name the outcomes that are not proved, and the rows without outcomes of their own of which no test passed."""
    unproved = [
        f"{proof.row.id} {proof.outcome.name}: {', '.join(f'{e} {proof.say(e)}' for e in proof.engines)}"
        for proof in conformance.select(lambda p: not p.row.is_extension)
        if not proof.holds
    ]
    passed = {mark[0] for record in conformance.records if record.result == "passed" for mark in record.marks}
    silent = [row.id for row in TABLE.values() if not row.outcomes and not row.is_extension]
    return unproved + [f"{row_id}: no test" for row_id in silent if row_id not in passed]
