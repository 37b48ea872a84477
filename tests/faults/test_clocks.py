"""Whole vehicles, and Core, whose clocks are set while something is waited for. What counts spans is left alone.

``make test`` plays a sample, chosen by ``SOTA_FAULT_SEED``; ``make faults`` plays every moment with every move.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sota.boundaries.authority import Authority, prepare, switch
from sota.boundaries.b2_web_core.identity_messages import NewEnrolment
from sota.cli.identity_files import write_identity
from sota.kit.security import x509
from tests.support.clock_moments import MOMENTS, MOVES, Case, Move
from tests.support.clocks import SetClock
from tests.support.machine import LACKS, faketime_library
from tests.support.system import System, running_system
from tests.support.system_settings import BACKEND
from tests.support.thorough import sample, thorough
from tests.support.transfer_faults import SLOW, begin_transfer
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.anyio]
CELLS = [(moment, move) for moment in MOMENTS for move in MOVES]
SAMPLE = sample(CELLS, 1)
HOURS = (1, -1, 20)


@pytest.fixture(scope="module")
def library() -> Path:
    found = faketime_library()
    if found is None:
        pytest.skip(f"{LACKS}no clock of a process can be set: libfaketime is missing (Debian package faketime)")
    return found


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory, library: Path) -> AsyncIterator[System]:
    del library
    async with running_system(tmp_path_factory.mktemp("clocks")) as started:
        yield started


@pytest.mark.parametrize(("moment", "move"), SAMPLE, ids=[f"{moment}-{move.name}" for moment, move in SAMPLE])
async def test_a_vehicles_clock_that_is_set_changes_no_wait(
    system: System, library: Path, tmp_path: Path, moment: str, move: Move
) -> None:
    vin = f"WVWZZZCLK{CELLS.index((moment, move)):08}"
    play: Callable[[Case], Awaitable[None]] = MOMENTS[moment]
    case = Case(system, tmp_path, vin, move, SetClock(library, tmp_path / "clock"))
    try:
        await play(case)
    finally:
        await case.stop()


@thorough
@pytest.mark.parametrize("hours", HOURS)
async def test_a_backends_clock_that_is_set_during_a_transfer_neither_stops_nor_repeats_it(
    library: Path, tmp_path: Path, hours: int
) -> None:
    clock = SetClock(library, tmp_path / "clock", cached=True)
    system = System(tmp_path / "system", settings=SLOW)
    for name in BACKEND:
        system.programs[name].environment |= clock.environment
    try:
        await system.start_backend()
        transfer = await begin_transfer(system, tmp_path)
        mark = system.programs["core"].mark()
        clock.set(hours * 3600.0)
        committed = await transfer.committed()
        await transfer.wait_until_installed()
        assert not committed & set(transfer.sent(since=mark))
    finally:
        await system.stop()


@thorough
@pytest.mark.parametrize("move", MOVES, ids=[move.name for move in MOVES])
async def test_an_identity_is_renewed_although_the_vehicles_clock_is_set(
    library: Path, tmp_path: Path, move: Move
) -> None:
    folder = tmp_path / "system"
    authority = folder / "backend" / "authority"
    async with running_system(folder, settings={"core": {"authority": authority}}) as system:
        case = Case(system, tmp_path, "WVWZZZCLK00000099", move, SetClock(library, tmp_path / "clock"))
        case.clock.set(move.before_s)
        car = await system.add_vehicle(case.vin, apart=True, start=False)
        write_identity(car.identity, await system.web.enrol(case.vin, NewEnrolment()))
        names = case.give_clock()
        identity = {"IDENTITY": str(car.identity), "IDENTITY_FIRST_CHECK_S": "1", "IDENTITY_CHECK_S": "1"}
        client = system.programs[f"{case.vin}/client"]
        client.environment |= {f"SOTA_CLIENT_{name}": value for name, value in identity.items()}
        await system.restart(*names)
        first = (car.identity / "device.pem").read_bytes()
        prepare(authority)
        Authority.open(authority).issue_backend(folder / "backend" / "node" / "identity")

        async def knows_both() -> bool:
            return len(x509.read_pem((car.identity / "root.pem").read_bytes())) == 2

        await until(knows_both, "the vehicle has both trust anchors", timeout_s=60)
        case.clock.set(move.after_s)
        switch(authority)
        Authority.open(authority).issue_backend(folder / "backend" / "node" / "identity")

        async def is_renewed() -> bool:
            return (car.identity / "device.pem").read_bytes() != first

        await until(is_renewed, "the vehicle has another identity", timeout_s=60)
