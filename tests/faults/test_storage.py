"""Faults of the store while a backend works, on SQLite and MariaDB: it reports them and recovers without a restart.

``make test`` plays some with ``sota up``; ``make faults`` plays all, also with each program by itself, and prints the
matrix: ``make faults ARGS="-k storage and frozen"`` for one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.support.databases import running_mariadb
from tests.support.matrix_table import MATRICES, Entry, as_table
from tests.support.processes import free_ports
from tests.support.store_faults import MARIADB, MARIADB_FULL, SQLITE, Fault, Store, small_disk, why_not
from tests.support.store_site import Site, apart, joined
from tests.support.thorough import IS_THOROUGH, sample, thorough

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SHAPES: dict[str, Callable[[Store, Path], AbstractAsyncContextManager[Site]]] = {"sota up": joined, "apart": apart}
# Of each engine's faults one of these.
SAMPLE = ("disk full", "read_only", "server frozen")
DURABLE = ("--innodb-flush-log-at-trx-commit=1",)
sampled = pytest.mark.skipif(IS_THOROUGH, reason="make faults plays all faults, these too")


@pytest.fixture(scope="module")
def played(pytestconfig: pytest.Config) -> Iterator[list[Entry]]:
    """What came of each fault; printed as a matrix when all are through."""
    entries: list[Entry] = []
    yield entries
    pytestconfig.stash.setdefault(MATRICES, []).append(as_table(entries, tuple(SHAPES)))


@pytest.fixture(scope="module")
async def on_sqlite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    if (why := why_not(SQLITE[0])) is not None:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("sqlite")
    with small_disk(folder / "disk", 64) as disk:
        async with SHAPES[request.param](Store(disk), folder) as site:
            yield site


@pytest.fixture(scope="module")
async def on_mariadb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("mariadb")
    with running_mariadb(*DURABLE, *(extra := with_extra_port())) as server:
        store = Store(folder, server, port_of(extra))
        store.make_user()
        async with SHAPES[request.param](store, folder) as site:
            yield site


def with_extra_port() -> tuple[str, ...]:
    return (f"--extra-port={free_ports(1)[0]}", "--extra-max-connections=2")


def port_of(options: tuple[str, ...]) -> int:
    return int(options[0].partition("=")[2])


async def play(site: Site, fault: Fault, played: list[Entry]) -> None:
    if (why := why_not(fault)) is not None:
        pytest.skip(why)
    entry = await site.play(fault)
    played.append(entry)
    assert site.wrong == []


def one_of(faults: tuple[Fault, ...]) -> list[Fault]:
    return sample([fault for fault in faults if fault.name in SAMPLE], 1)


@sampled
@pytest.mark.parametrize("on_sqlite", ["sota up"], indirect=True)
@pytest.mark.parametrize("fault", one_of(SQLITE), ids=str)
async def test_some_faults_on_sqlite(on_sqlite: Site, fault: Fault, played: list[Entry]) -> None:
    await play(on_sqlite, fault, played)


@sampled
@pytest.mark.parametrize("on_mariadb", ["sota up"], indirect=True)
@pytest.mark.parametrize("fault", one_of(MARIADB), ids=str)
async def test_some_faults_on_mariadb(on_mariadb: Site, fault: Fault, played: list[Entry]) -> None:
    await play(on_mariadb, fault, played)


@thorough
@pytest.mark.parametrize("on_sqlite", SHAPES, indirect=True)
@pytest.mark.parametrize("fault", SQLITE, ids=str)
async def test_every_fault_on_sqlite(on_sqlite: Site, fault: Fault, played: list[Entry]) -> None:
    await play(on_sqlite, fault, played)


@thorough
@pytest.mark.parametrize("on_mariadb", SHAPES, indirect=True)
@pytest.mark.parametrize("fault", MARIADB, ids=str)
async def test_every_fault_on_mariadb(on_mariadb: Site, fault: Fault, played: list[Entry]) -> None:
    await play(on_mariadb, fault, played)


@thorough
@pytest.mark.parametrize("shape", SHAPES)
async def test_full_disk_of_a_server(shape: str, tmp_path: Path, played: list[Entry]) -> None:
    if (why := why_not(MARIADB_FULL)) is not None:
        pytest.skip(why)
    with (
        small_disk(tmp_path / "disk", 320) as disk,
        running_mariadb(*DURABLE, *(extra := with_extra_port()), parent=disk) as server,
    ):
        store = Store(disk, server, port_of(extra))
        store.make_user()
        (tmp_path / "site").mkdir()
        async with SHAPES[shape](store, tmp_path / "site") as site:
            await play(site, MARIADB_FULL, played)
