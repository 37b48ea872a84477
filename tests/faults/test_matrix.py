"""Every program on the way of an update killed before and after each of its durable writes.

``make test`` plays a sample, one place in each of four programs, chosen by ``SOTA_FAULT_SEED``. ``make faults`` plays
all and prints the matrix at the end: ``make faults ARGS="-k every_place and slm"`` for one.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.fault_matrix import PROGRAMS, SETTINGS, Cell, Line, Result, as_matrix
from tests.support.matrix_table import MATRICES
from tests.support.system import running_system
from tests.support.thorough import SEED, thorough

ATTEMPTS = 3
"""To come to a place."""


@pytest.fixture(scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    folder = tmp_path_factory.mktemp("matrix")
    async with running_system(folder, settings=SETTINGS, faults=True) as system:
        yield await Line.lay(system, folder)


@pytest.fixture(scope="module")
async def cells(line: Line) -> list[Cell]:
    """All places, from an update that nothing disturbed."""
    return await line.trace()


@pytest.fixture(scope="module")
def played(pytestconfig: pytest.Config) -> Iterator[dict[Cell, Result]]:
    """What came of each place; printed as the whole matrix when all tests are through."""
    results: dict[Cell, Result] = {}
    yield results
    pytestconfig.stash.setdefault(MATRICES, []).append(as_matrix(results.values()))


async def _are_right(line: Line, cells: list[Cell], played: dict[Cell, Result]) -> None:
    results = []
    for cell in cells:
        result = await line.play(cell)
        for _ in range(ATTEMPTS - 1):
            if result.reached or result.wrong:
                break
            result = await line.play(cell)  # some writes are made only where the clock wants it so
        print(result, flush=True)
        played[cell] = result
        results.append(result)
    assert [str(result) for result in results if result.wrong] == []
    assert any(result.reached for result in results)


@pytest.mark.slow
async def test_one_place_of_some_programs(line: Line, cells: list[Cell], played: dict[Cell, Result]) -> None:
    dice = random.Random(SEED)

    places = [dice.choice([cell for cell in cells if cell.program == name]) for name in dice.sample(PROGRAMS, 4)]
    await _are_right(line, places, played)


@pytest.mark.slow
@thorough
@pytest.mark.parametrize("program", PROGRAMS)
async def test_every_place_of(line: Line, cells: list[Cell], played: dict[Cell, Result], program: str) -> None:
    await _are_right(line, [cell for cell in cells if cell.program == program], played)
