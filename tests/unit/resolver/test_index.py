"""A fleet gets the same answers as its vehicles one by one, grouped as they should be; each expression runs seldom."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.resolver.changes.model import Kind
from sota.resolver.dependencies.model import DependencyGraph, Minimum, Package
from sota.resolver.index.bitmap_index import VINS_AT_ONCE, slices
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.planner import EVERY_VEHICLE, NO_VEHICLE, Every, Having, VinTest, plan
from sota.resolver.index.query import Group
from sota.resolver.language.evaluation import Vehicle, evaluate
from sota.resolver.language.expression import Expression, HasComponent
from sota.resolver.language.parser import parse
from sota.resolver.language.regex import Regex, compile_regex
from tests.support.fleets import fleet_of, matching
from tests.unit.resolver.fleets import NAMES, expressions, needs, packages, vehicles

pytestmark = pytest.mark.slow

FLEETS = st.lists(vehicles(), max_size=12, unique_by=lambda vehicle: vehicle.vin)


@given(st.lists(expressions(), min_size=1, max_size=3), FLEETS, st.sampled_from([1, 400_000]))
def test_fleet_is_answered_as_its_vehicles_one_by_one(
    filters: list[Expression], fleet: list[Vehicle], spread: int
) -> None:
    one_by_one = {vehicle.vin for vehicle in fleet if all(evaluate(expression, vehicle) for expression in filters)}
    assert matching(fleet_of(fleet, spread=spread), filters).keys() == one_by_one


@given(FLEETS, st.lists(NAMES, unique=True))
def test_vehicles_are_grouped_by_what_they_have_of_some_names(fleet: list[Vehicle], names: list[str]) -> None:
    grouped = matching(fleet_of(fleet), [parse("TRUE")], names)
    assert grouped == {
        vehicle.vin: frozenset(Package(*one) for one in vehicle.packages if one[0] in names) for vehicle in fleet
    }


def test_groups_are_told_apart_by_more_packages_than_a_number_has_bits() -> None:
    names = [f"p{number}" for number in range(150)]
    fleet = [
        Vehicle(
            f"A{number:016d}", frozenset((name, "1.0.0") for place, name in enumerate(names) if number % (place + 2))
        )
        for number in range(300)
    ]
    grouped = matching(fleet_of(fleet), [parse("TRUE")], names)
    assert grouped == {vehicle.vin: frozenset(Package(*one) for one in vehicle.packages) for vehicle in fleet}


@given(st.dictionaries(packages(), needs(), max_size=6), packages(), st.frozensets(packages(), max_size=6))
def test_packages_that_are_alike_have_the_same_plan(
    graph_needs: dict[Package, list[Minimum]], wanted: Package, installed: frozenset[Package]
) -> None:
    graph = DependencyGraph({wanted: [], **graph_needs})
    # What is told to the processes that hold the index is enough.
    alike = DependencyGraph(dict(graph.edges_about(graph.names_of_interest(wanted)))).alike()
    installed = frozenset(one for one in installed if one.name in graph.names_of_interest(wanted))
    others = [Package(name, version) for name in "abcde" for version in ("0.9.0", "1.2.0", "1.9.0", "x")]
    for other in others:
        alike(other)  # so that another one may stand for what is installed
    stand_ins = {stand_in for one in installed if (stand_in := alike(one)) is not None}
    assert graph.plan(wanted, sorted(stand_ins)) == graph.plan(wanted, sorted(installed))


def test_alike_versions_share_a_group() -> None:
    fleet = [Vehicle(f"A{number:016d}", frozenset({("tls", f"1.{number}.0")})) for number in range(20)]
    graph = DependencyGraph({Package("ivi", "2.0.0"): [Minimum("tls", "1.10.0")]})
    grouped = matching(fleet_of(fleet), [parse("TRUE")], ["ivi", "tls"], graph.alike())
    assert Counter(grouped.values()) == {frozenset(): 10, frozenset({Package("tls", "1.10.0")}): 10}


def test_without_filters_no_vehicle_matches() -> None:
    assert matching(fleet_of([Vehicle("AAAAAAAAAAAAAAAAA")]), []) == {}


class CountingProgram:
    def __init__(self, regex: Regex, seen: Counter[str]) -> None:
        self.regex, self.seen = regex, seen

    def search(self, text: bytes) -> object:
        self.seen[text.decode()] += 1
        return self.regex.program.search(text)


def test_expression_runs_once_for_each_distinct_value() -> None:
    seen: Counter[str] = Counter()
    counting = HasComponent(Regex("^ECU", CountingProgram(compile_regex("^ECU"), seen)))
    fleet = fleet_of([Vehicle(f"A{number:016d}", components=frozenset({"ECU-1", "TCU-1"})) for number in range(50)])
    assert len(matching(fleet, [counting, counting])) == 50
    assert len(matching(fleet, [counting])) == 50
    assert seen == {"ECU-1": 1, "TCU-1": 1}


def test_vins_are_tested_last_and_what_decides_nothing_vanishes() -> None:
    dictionary = Dictionary({Kind.COMPONENT: {1: ("ECU-1",), 2: ("TCU-1",)}})
    planned = plan(parse('vin_matches "^A" AND TRUE AND (has_component "ECU" OR has_component "none")'), dictionary)
    assert isinstance(planned, Every)
    assert planned.parts[0] == Having(Kind.COMPONENT, (1,))
    assert isinstance(planned.parts[1], VinTest)
    assert plan(parse('vin_matches "^A" AND has_package "ivi" ""'), dictionary) == NO_VEHICLE
    assert plan(parse('vin_matches "^A" OR NOT has_package "ivi" ""'), dictionary) == EVERY_VEHICLE


def test_many_vehicles_are_named_some_at_a_time() -> None:
    groups = [
        Group(np.arange(count, dtype=np.uint32), frozenset({Package("ivi", str(count))})) for count in (5, 50_000, 7)
    ]
    parts = list(slices(groups))
    assert [sum(len(group.places) for group in part) for part in parts] == [VINS_AT_ONCE, VINS_AT_ONCE, 10_012]
    again = [(group.packages, place) for part in parts for group in part for place in group.places.tolist()]
    assert again == [(group.packages, place) for group in groups for place in group.places.tolist()]
