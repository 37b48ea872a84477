"""A fleet gets the same answers as its vehicles one by one, and each regular expression runs once a distinct value."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sota.resolver.dependencies.model import Package
from sota.resolver.index.evaluator import Dictionary, bind, select
from sota.resolver.language.evaluation import Vehicle, evaluate
from sota.resolver.language.expression import Expression, HasComponent
from sota.resolver.language.regex import Regex, compile_regex
from tests.unit.resolver.fleets import expressions, vehicles


def matching(filters: list[Expression], fleet: list[Vehicle]) -> list[str]:
    packages = {one: number for number, one in enumerate({one for vehicle in fleet for one in vehicle.packages})}
    parts = {one: number for number, one in enumerate({one for vehicle in fleet for one in vehicle.components})}
    dictionary = Dictionary(
        {number: Package(*one) for one, number in packages.items()}, {number: one for one, number in parts.items()}
    )
    bound = bind(filters, dictionary)
    has = {row: frozenset(packages[one] for one in vehicle.packages) for row, vehicle in enumerate(fleet)}
    carries = {row: frozenset(parts[one] for one in vehicle.components) for row, vehicle in enumerate(fleet)}
    # As the scan does: only what the filters look at is read.
    has = {row: numbers & bound.packages for row, numbers in has.items()}
    carries = {row: numbers & bound.components for row, numbers in carries.items()}
    found = select(bound, [(row, vehicle.vin) for row, vehicle in enumerate(fleet)], has, carries)
    return [vin for _row, vin in found]


@given(st.lists(expressions(), min_size=1, max_size=3), st.lists(vehicles(), max_size=12))
def test_fleet_is_answered_as_its_vehicles_one_by_one(filters: list[Expression], fleet: list[Vehicle]) -> None:
    one_by_one = [vehicle.vin for vehicle in fleet if all(evaluate(expression, vehicle) for expression in filters)]
    assert matching(filters, fleet) == one_by_one


def test_without_filters_nobody_matches() -> None:
    assert matching([], [Vehicle("AAAAAAAAAAAAAAAAA")]) == []


class CountingProgram:
    def __init__(self, regex: Regex, seen: Counter[str]) -> None:
        self.regex, self.seen = regex, seen

    def search(self, text: bytes) -> object:
        self.seen[text.decode()] += 1
        return self.regex.program.search(text)


def test_expression_runs_once_for_each_distinct_value() -> None:
    seen: Counter[str] = Counter()
    counting = HasComponent(Regex("^ECU", CountingProgram(compile_regex("^ECU"), seen)))
    fleet = [Vehicle(f"A{number:016d}", components=frozenset({"ECU-1", "TCU-1"})) for number in range(50)]
    assert len(matching([counting, counting], fleet)) == 50
    assert seen == {"ECU-1": 1, "TCU-1": 1}
