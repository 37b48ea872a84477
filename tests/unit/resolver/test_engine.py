"""The engine agrees with a plain loop for any fleet, filters and changes; and a broken one is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import Phase, given, settings

from sota.resolver.explanation.model import explain_clause
from sota.resolver.index import planner
from sota.resolver.language.evaluation import Vehicle
from sota.resolver.language.expression import Expression
from tests.support.naive_filters import naive
from tests.unit.resolver.engine_cases import COMPARED, ROUNDS, Case, cases, compare
from tests.unit.resolver.fleets import expressions, vehicles

pytestmark = pytest.mark.slow

MANY = settings(max_examples=500, database=None, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
Mutation = Callable[[pytest.MonkeyPatch], None]


@dataclass(slots=True)
class Counter:
    """How many resolves were compared."""

    resolves: int = 0


@pytest.mark.hypothesis
def test_engine_answers_as_a_plain_loop_does(record_property: Callable[[str, object], None]) -> None:
    """The profile ``quick`` compares 200 resolves, ``fuzz`` 20,000; the summary of the run says how many it were."""
    counter = _compare_cases()
    assert counter.resolves >= ROUNDS * settings().max_examples
    record_property(COMPARED, counter.resolves)


def _compare_cases() -> Counter:
    counter = Counter()

    @given(cases())
    def compare_counted(case: Case) -> None:
        counter.resolves += compare(case)

    compare_counted()
    return counter


@given(expressions(), vehicles())
def test_explanation_says_what_is_true(expression: Expression, vehicle: Vehicle) -> None:
    clause = explain_clause(expression, vehicle)
    assert clause.value is naive(expression, vehicle)
    waiting = [clause]
    while waiting:
        current = waiting.pop()
        waiting += current.parts
        if current.kind == "test" and current.text not in ("TRUE", "FALSE"):
            assert bool(current.seen) is current.value
            assert current.note


def swap_and_for_or(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_every", planner._some)


def swap_or_for_and(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_some", planner._every)


def drop_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_without", lambda part: part)


def forget_the_last_part_of_an_and(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = planner._every
    monkeypatch.setattr(planner, "_every", lambda parts: whole(list(parts)[:-1]))


@pytest.mark.parametrize(
    "mutation",
    [
        swap_and_for_or,
        swap_or_for_and,
        drop_not,
        forget_the_last_part_of_an_and,
    ],
)
def test_broken_engine_is_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison would be worth nothing if it let one of these pass."""
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        _compare_many()


@MANY
@given(cases())
def _compare_many(case: Case) -> None:
    compare(case)
