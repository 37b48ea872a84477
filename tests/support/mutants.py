"""Mutants of the table: each changes one declared status or message, as a slip of the pen would.

A mutant is put into the rows themselves. The programs look a row's outcome up for each answer, so it holds for programs
that run already; those that start later read the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sota.boundaries.interaction import Interaction, Outcome
from sota.boundaries.table import TABLE

BOUNDARIES = ("B1", "B2", "B3", "B4", "B5", "B6", "B13")
# One call that the whitelist names twice: what both rows say alike cannot be told apart, and is changed in both.
TWINS = (("WL-B2-1", "WL-B2-8"),)

Place = tuple[str, str]
"""An outcome of a row: the row's id and the outcome's name."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed ``part`` (``status`` or ``message``) of one declared answer, in all places where it is that answer."""

    places: tuple[Place, ...]
    part: str

    @property
    def name(self) -> str:
        """Its name: ``WL-B1-4:vin_exists:status``; of several places that of the first."""
        return ":".join((*self.places[0], self.part))

    def change(self, outcome: Outcome) -> Outcome:
        """Change an outcome as little as can be: the next status, one character more."""
        if self.part == "status":
            return replace(outcome, status=(outcome.status or 0) + 1)
        return replace(outcome, message=f"{outcome.message}.")


def all_mutants() -> list[Mutant]:
    """List the mutants, in the order of the boundaries."""
    mutants: list[Mutant] = []
    for boundary in BOUNDARIES:
        for outcome, places in _answers(boundary):
            parts = (("status", outcome.status), ("message", outcome.message))
            mutants += [Mutant(tuple(places), part) for part, value in parts if value is not None]
    return mutants


def _answers(boundary: str) -> list[tuple[Outcome, list[Place]]]:
    """Yield what a boundary declares: each row's own outcomes, and each answer beside them (``also``) once."""
    rows = [row for row in TABLE.values() if row.boundary == boundary]
    own = [(outcome, [(row.id, outcome.name)]) for row in rows for outcome in row.outcomes]
    shared: dict[int, tuple[Outcome, list[Place]]] = {}
    for row in rows:
        for outcome in row.also:
            shared.setdefault(id(outcome), (outcome, []))[1].append((row.id, outcome.name))
    answers = [*own, *shared.values()]
    for first, second in TWINS:
        answers = _joined(answers, first, second)
    return answers


def _joined(answers: list[tuple[Outcome, list[Place]]], first: str, second: str) -> list[tuple[Outcome, list[Place]]]:
    said = {
        (outcome.status, outcome.message): places
        for outcome, places in answers
        if any(row_id == first for row_id, _ in places)
    }
    kept = []
    for outcome, places in answers:
        twin = said.get((outcome.status, outcome.message))
        if twin is not None and twin is not places and all(row_id == second for row_id, _ in places):
            twin += places
        else:
            kept.append((outcome, places))
    return kept


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Let the table be wrong as long as the block."""
    rows = [TABLE[row_id] for row_id in dict.fromkeys(row_id for row_id, _ in mutant.places)]
    before = [(row, row.outcomes, row.also) for row in rows]
    for row, outcomes, also in before:
        _put(row, _changed(row.id, outcomes, mutant), _changed(row.id, also, mutant))
    try:
        yield
    finally:
        for row, outcomes, also in before:
            _put(row, outcomes, also)


def _changed(row_id: str, outcomes: tuple[Outcome, ...], mutant: Mutant) -> tuple[Outcome, ...]:
    return tuple(mutant.change(one) if (row_id, one.name) in mutant.places else one for one in outcomes)


def _put(row: Interaction, outcomes: tuple[Outcome, ...], also: tuple[Outcome, ...]) -> None:
    # Rows are frozen for all other code.
    object.__setattr__(row, "outcomes", outcomes)
    object.__setattr__(row, "also", also)
