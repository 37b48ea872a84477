"""Dependencies: what a vehicle lacks, in which order, and who is left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sota.resolver.dependencies.model import (
    DependencyGraph,
    LeftOut,
    Minimum,
    Package,
    Plan,
    Planned,
    check_declaration,
    version_key,
)
from tests.unit.resolver.fleets import needs, packages


def package(text: str) -> Package:
    return Package(*text.split("/"))


def graph(needs: Mapping[str, Sequence[str]]) -> DependencyGraph:
    """``{"ivi/2.0.0": ["libtls/1.2.0"]}``: a package and its minimum versions."""
    return DependencyGraph({package(one): [Minimum(*need.split("/")) for need in its] for one, its in needs.items()})


def plan(needs: Mapping[str, Sequence[str]], wanted: str, *installed: str) -> Plan:
    return graph(needs).plan(package(wanted), [package(one) for one in installed])


def brought(result: Plan) -> list[str]:
    assert isinstance(result, Planned), result
    return [one.text for one in result.packages]


IVI = {
    "ivi/2.0.0": ["libtls/1.2.0"],
    "libtls/1.2.0": [],
    "libtls/1.10.0": ["libc/1.0.0"],
    "libtls/1.9.0": [],
    "libc/1.0.0": [],
}


@pytest.mark.parametrize(
    ("installed", "packages"),
    [
        ([], ["libc/1.0.0", "libtls/1.10.0", "ivi/2.0.0"]),
        (["libtls/1.2.0"], ["ivi/2.0.0"]),
        (["libtls/1.1.9", "libc/1.0.0"], ["libtls/1.10.0", "ivi/2.0.0"]),
        (["libtls/1.10.0"], ["libc/1.0.0", "ivi/2.0.0"]),  # what is needed by what is needed is missing
        (["libtls/v9", "libc/1.0.0"], ["libtls/1.10.0", "ivi/2.0.0"]),  # a foreign version cannot be compared
        (["ivi/1.0.0", "libtls/1.2.0", "radio/7"], ["ivi/2.0.0"]),
    ],
)
def test_missing_prerequisites_come_first(installed: list[str], packages: list[str]) -> None:
    assert brought(plan(IVI, "ivi/2.0.0", *installed)) == packages


def test_shared_prerequisite_is_brought_once() -> None:
    needs = {"a/1.0.0": ["b/1.0.0", "c/1.0.0"], "b/1.0.0": ["d/1.0.0"], "c/1.0.0": ["d/2.0.0"], "d/2.1.0": []}
    assert brought(plan(needs, "a/1.0.0")) == ["d/2.1.0", "b/1.0.0", "c/1.0.0", "a/1.0.0"]


def test_long_chain_is_walked_without_recursion() -> None:
    needs = {f"p{number}/1.0.0": [f"p{number + 1}/1.0.0"] for number in range(5_000)} | {"p5000/1.0.0": []}
    assert len(brought(plan(needs, "p0/1.0.0"))) == 5_001


@pytest.mark.parametrize(
    ("needs", "wanted", "installed", "code", "says"),
    [
        ({"a/1.0.0": ["b/1.0.0"]}, "a/1.0.0", [], "dependency_missing", "a/1.0.0 needs b 1.0.0 or later"),
        (
            {"a/1.0.0": ["b/2.0.0"], "b/1.0.0": []},
            "a/1.0.0",
            ["b/1.0.0"],
            "dependency_missing",
            "which is not registered",
        ),
        (
            {"a/1.0.0": ["b/1.0.0"], "b/1.0.0": ["a/2.0.0"], "a/2.0.0": []},
            "a/1.0.0",
            [],
            "dependency_conflict",
            "b/1.0.0 needs a 2.0.0 or later, but the update brings a/1.0.0",
        ),
        (
            {"lib/1.0.0": [], "lib/2.0.0": [], "ui/1.0.0": ["lib/2.0.0"]},
            "lib/1.0.0",
            ["lib/2.0.0", "ui/1.0.0"],
            "would_break",
            "the installed ui/1.0.0 needs lib 2.0.0 or later, and the update brings lib/1.0.0",
        ),
        ({"a/1.0.0": ["b/1.0.0"], "b/1.0.0": ["a/1.0.0"]}, "a/1.0.0", [], "cycle", "which needs it in turn"),
    ],
)
def test_vehicle_is_left_out(
    needs: dict[str, list[str]], wanted: str, installed: list[str], code: str, says: str
) -> None:
    result = plan(needs, wanted, *installed)
    assert isinstance(result, LeftOut)
    assert result.code == code
    assert says in result.reason


def test_installed_package_that_is_broken_already_does_not_hold_an_update_back() -> None:
    needs = {"lib/1.0.0": [], "ui/1.0.0": ["lib/2.0.0"]}
    assert brought(plan(needs, "lib/1.0.0", "ui/1.0.0")) == ["lib/1.0.0"]


def test_installed_package_that_the_update_replaces_needs_nothing_more() -> None:
    needs = {"lib/1.0.0": ["ui/2.0.0"], "ui/1.0.0": ["lib/2.0.0"], "ui/2.0.0": [], "lib/2.0.0": []}
    assert brought(plan(needs, "lib/1.0.0", "lib/2.0.0", "ui/1.0.0")) == ["ui/2.0.0", "lib/1.0.0"]


@pytest.mark.parametrize(
    ("needs", "start", "cycle"),
    [
        ({"a/1.0.0": ["b/1.0.0"], "b/1.0.0": []}, "a/1.0.0", None),
        ({"a/1.0.0": ["b/1.0.0"], "b/2.0.0": ["a/1.0.0"]}, "b/2.0.0", ["b/2.0.0", "a/1.0.0", "b/2.0.0"]),
        ({"a/1.0.0": ["b/1.0.0"], "b/2.0.0": ["a/1.1.0"]}, "b/2.0.0", None),
        (
            {"a/1.0.0": ["b/1.0.0"], "b/1.0.0": ["c/1.0.0"], "c/9.0.0": ["a/0.1.0"]},
            "c/9.0.0",
            ["c/9.0.0", "a/1.0.0", "b/1.0.0", "c/9.0.0"],
        ),
    ],
)
def test_cycle_is_found_where_it_is_declared(needs: dict[str, list[str]], start: str, cycle: list[str] | None) -> None:
    found = graph(needs).find_cycle(package(start))
    assert (None if found is None else [one.text for one in found]) == cycle


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([f"p{number}" for number in range(100)], None),
        ([f"p{number}" for number in range(101)], "101 dependencies, 100 are allowed"),
        (["b", "b"], "names b twice"),
        (["a"], "cannot depend on another version of itself"),
    ],
)
def test_declaration_is_checked(names: list[str], says: str | None) -> None:
    wrong = check_declaration(Package("a", "1.0.0"), [Minimum(name, "1.0.0") for name in names])
    assert wrong is None if says is None else says in (wrong or "")


def test_versions_are_compared_as_numbers() -> None:
    assert Minimum("a", "1.9.0").accepts("1.10.0")
    assert not Minimum("a", "1.10.0").accepts("1.9.9")
    assert [version_key(text) for text in ("1.2", "1.2.3.4", "1.2.x", "1.2.-3", "٣.0.0")] == [None] * 5


@given(
    st.dictionaries(packages(), needs(), max_size=10),
    packages(),
    st.frozensets(packages(), max_size=5),
)
def test_plan_leaves_a_vehicle_whole(
    declared: dict[Package, list[Minimum]], wanted: Package, installed: frozenset[Package]
) -> None:
    """For any graph, cycles included, a plan satisfies all dependencies in order and breaks none."""
    declared.setdefault(wanted, [])
    result = DependencyGraph(declared).plan(wanted, installed)
    if isinstance(result, LeftOut):
        return
    assert result.packages[-1] == wanted
    assert all(one in declared for one in result.packages)
    names = [one.name for one in result.packages]
    assert len(set(names)) == len(names)
    after = set(installed)
    for one in result.packages:
        after = {other for other in after if other.name != one.name} | {one}
        assert all(satisfied(need, after) for need in declared[one])
    for kept in (one for one in installed if one in after):
        for need in declared.get(kept, []):
            assert satisfied(need, after) or not satisfied(need, installed)


@given(st.dictionaries(packages(), needs(), max_size=10), packages(), st.frozensets(packages(), max_size=5))
def test_plan_depends_on_the_names_of_interest_alone(
    declared: dict[Package, list[Minimum]], wanted: Package, installed: frozenset[Package]
) -> None:
    declared.setdefault(wanted, [])
    dependencies = DependencyGraph(declared)
    names = dependencies.names_of_interest(wanted)
    fewer = [one for one in sorted(installed) if one.name in names]
    assert dependencies.plan(wanted, sorted(installed)) == dependencies.plan(wanted, fewer)


@given(st.dictionaries(packages(), needs(), max_size=8))
def test_graph_built_one_by_one_without_cycles_never_plans_one(declared: dict[Package, list[Minimum]]) -> None:
    built = DependencyGraph({})
    accepted: list[Package] = []
    for one, its in declared.items():
        longer = built.with_package(one, its)
        if longer.find_cycle(one) is None:
            built, accepted = longer, [*accepted, one]
    for one in accepted:
        result = built.plan(one, [])
        assert not isinstance(result, LeftOut) or result.code != "cycle"


def satisfied(need: Minimum, among: frozenset[Package] | set[Package]) -> bool:
    return any(one.name == need.name and need.accepts(one.version) for one in among)
