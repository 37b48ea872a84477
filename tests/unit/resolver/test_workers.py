"""No computation keeps others waiting for its end: what takes long goes in steps, and they go in turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from sota.resolver.dependencies.model import DependencyGraph, LeftOut, Minimum, Package
from sota.resolver.index.bitmap_index import find_groups
from sota.resolver.index.fleet_index import Match
from sota.resolver.index.planner import planning
from sota.resolver.index.workers import Steps, Workers
from sota.resolver.language.evaluation import Vehicle
from sota.resolver.language.parser import MAX_REGEXES, FilterSyntaxError, parse, parsing
from sota.resolver.language.regex import compile_regex
from sota.resolver.resolution.service import Resolution, plan_in_steps
from tests.support.fleets import fleet_of
from tests.support.steps import finish

pytestmark = pytest.mark.anyio


class Endless:
    """Computes until it is stopped."""

    def __init__(self) -> None:
        self.is_over = False
        self.count = 0

    def steps(self) -> Steps[int]:
        while not self.is_over:
            self.count += 1
            yield
        return self.count

    def stop(self) -> str:
        self.is_over = True
        return "stopped"


@pytest.mark.parametrize("others", [1, 3])
async def test_who_computes_without_end_lets_others_have_their_turn(others: int) -> None:
    workers = Workers(1)
    endless = [Endless() for _ in range(others)]
    async with asyncio.timeout(20):
        computing = [asyncio.create_task(workers.run_steps(one.steps())) for one in endless]
        await asyncio.sleep(0)
        for one in endless:
            assert await workers.run(one.stop) == "stopped"
        assert await asyncio.gather(*computing) == [one.count for one in endless]
    workers.close()


async def test_error_of_a_step_is_that_of_the_computation() -> None:
    def broken() -> Steps[None]:
        yield
        raise LookupError

    workers = Workers(1)
    with pytest.raises(LookupError):
        await workers.run_steps(broken())
    workers.close()


def count_steps(steps: Steps[object], *ends: type[Exception]) -> int:
    count = 0
    with contextlib.suppress(*ends):
        for _ in steps:
            count += 1
    return count


def test_largest_filter_is_compiled_in_steps_and_only_once() -> None:
    text = " OR ".join(f'has_package "{number}" "{number}y"' for number in range(MAX_REGEXES // 2))
    compile_regex.cache_clear()
    assert count_steps(parsing(text)) == MAX_REGEXES
    assert compile_regex.cache_info().misses == MAX_REGEXES
    assert finish(parsing(text)) == parse(text)
    with pytest.raises(FilterSyntaxError, match="line 1, column 13: look-ahead"):
        finish(parsing('vin_matches "(?=a)"'))
    assert count_steps(parsing("'a' " * 2 * MAX_REGEXES), FilterSyntaxError) == MAX_REGEXES


async def test_plans_are_made_in_steps_once_for_each_group() -> None:
    async def no_matches() -> AsyncIterator[list[Match]]:
        yield []

    wanted, graph = Package("ivi", "2.0.0"), DependencyGraph({Package("ivi", "2.0.0"): [Minimum("tls", "1.0.0")]})
    resolution = Resolution(wanted, (), (), graph, no_matches())
    matches = [Match([f"A{number:016d}"], frozenset({Package("tls", f"{number % 30}.0.0")})) for number in range(90)]
    assert count_steps(plan_in_steps(resolution, matches, {})) == 30
    codes = [isinstance(decision.plan, LeftOut) for decision in finish(plan_in_steps(resolution, matches, {}))]
    assert codes == [number % 30 == 0 for number in range(90)]


def test_largest_filter_is_a_step_for_each_of_its_tests() -> None:
    fleet = fleet_of([Vehicle(f"A{number:016d}", frozenset({("ivi", "1.0.0")})) for number in range(3)])
    shard = fleet.shards[0]
    vins = parse(" OR ".join(f'vin_matches "{number}x.+$"' for number in range(MAX_REGEXES)))
    things = parse(" OR ".join(f'has_component "{number}x"' for number in range(MAX_REGEXES)))
    assert count_steps(planning([things], fleet.dictionary)) == MAX_REGEXES
    planned = finish(planning([vins], fleet.dictionary))
    kinds = {Package("ivi", f"{number}.0.0"): [1] for number in range(40)}
    assert count_steps(find_groups(planned, shard, {})) == MAX_REGEXES
    all_vehicles = finish(planning([parse("TRUE")], fleet.dictionary))
    assert count_steps(find_groups(all_vehicles, shard, kinds)) == len(kinds)
