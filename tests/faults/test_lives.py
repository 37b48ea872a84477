"""Older copies of databases and folders, and other lives of a VIN, at each moment of an update: the lives matrix.

``make test`` plays one on one engine, chosen by ``SOTA_FAULT_SEED``; ``make faults`` plays all and prints the matrix.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.lives import SETTINGS, Ground
from tests.support.lives_matrix import Cell, Result, as_matrix, cells_of
from tests.support.matrix_table import MATRICES
from tests.support.system import running_system
from tests.support.thorough import SEED, sample, thorough

ENGINES = sample(("sqlite", "mariadb"), 1)
SAMPLE = 1
# Ends and starts the whole backend twice.
SLOW = {"all, by sota restore"}


@pytest.fixture(scope="module", params=ENGINES)
async def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    folder = tmp_path_factory.mktemp("lives")
    server = request.getfixturevalue("mariadb_server") if request.param == "mariadb" else None
    async with running_system(folder, server=server.url if server else None, settings=SETTINGS) as system:
        yield await Ground.lay(system, folder, server)


@pytest.fixture(scope="module")
def played(pytestconfig: pytest.Config) -> Iterator[list[Result]]:
    """What came of each place; printed as the whole matrix when all tests are through."""
    results: list[Result] = []
    yield results
    pytestconfig.stash.setdefault(MATRICES, []).append(as_matrix(results))


async def _are_right(ground: Ground, cells: list[Cell], played: list[Result]) -> None:
    results = []
    for cell in cells:
        results.append(await ground.play(cell))
        print(results[-1], flush=True)
    played += results
    assert [str(result) for result in results if result.wrong] == []


@pytest.mark.slow
async def test_a_few_lives(ground: Ground, played: list[Result]) -> None:
    cells = [cell for cell in cells_of(ground.engine) if cell.change not in SLOW]
    await _are_right(ground, random.Random(f"{SEED} {ground.engine}").sample(cells, SAMPLE), played)


@pytest.mark.slow
@thorough
@pytest.mark.parametrize("number", range(len(cells_of("sqlite"))))
async def test_every_life(ground: Ground, played: list[Result], number: int) -> None:
    await _are_right(ground, [cells_of(ground.engine)[number]], played)
