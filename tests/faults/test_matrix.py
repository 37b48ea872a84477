"""Every program on the way of an update killed before and after each of its durable writes.

``make test`` plays a sample, one place in each program, chosen by ``SOTA_FAULT_SEED``; ``make faults`` plays all and
prints the matrix, program by program: ``make faults ARGS="-k every_place and slm"`` for one.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator

import pytest

from tests.support.fault_matrix import PROGRAMS, SETTINGS, Cell, Line, Result, as_table
from tests.support.system import running_system

SEED = int(os.environ.get("SOTA_FAULT_SEED", "1"))


@pytest.fixture(scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    folder = tmp_path_factory.mktemp("matrix")
    async with running_system(folder, settings=SETTINGS, faults=True) as system:
        yield await Line.lay(system, folder)


@pytest.fixture(scope="module")
async def cells(line: Line) -> list[Cell]:
    """All places, from an update that nothing disturbed."""
    return await line.trace()


async def _are_right(line: Line, cells: list[Cell]) -> None:
    results: list[Result] = []
    for cell in cells:
        results.append(await line.play(cell))
        print(results[-1], flush=True)
    print(as_table(results))
    assert [str(result) for result in results if result.wrong] == []
    assert any(result.reached for result in results)


@pytest.mark.slow
async def test_one_place_of_each_program(line: Line, cells: list[Cell]) -> None:
    dice = random.Random(SEED)

    await _are_right(line, [dice.choice([cell for cell in cells if cell.program == name]) for name in PROGRAMS])


@pytest.mark.slow
@pytest.mark.skipif("THOROUGH" not in os.environ, reason="make faults plays all places; it takes minutes")
@pytest.mark.parametrize("program", PROGRAMS)
async def test_every_place_of(line: Line, cells: list[Cell], program: str) -> None:
    await _are_right(line, [cell for cell in cells if cell.program == program])
