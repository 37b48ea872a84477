"""Programs killed in the middle of a transfer, of an installation and of a report, and started again.

Each time the update completes, no block whose acknowledgement Core had committed is sent again, and nothing is
installed or counted twice.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.databases import MariaDbServer
from tests.support.processes import kill_all_in
from tests.support.proxy import Direction
from tests.support.system import System, running_system
from tests.support.system_settings import BACKEND
from tests.support.thorough import sample, thorough
from tests.support.transfer_faults import COUNTING_POSTINST, SLOW, Transfer, begin_transfer
from tests.support.waiting import until

MIDDLE = 0.3


@pytest.fixture(scope="module")
async def shared_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running_system(tmp_path_factory.mktemp("kill"), settings=SLOW) as system:
        yield system


@pytest.fixture
async def system(shared_system: System) -> System:
    """One backend for all tests, each with a vehicle of its own; what a failed test left dead is started again."""
    for name in BACKEND:
        if not shared_system.programs[name].running:
            await shared_system.restart(name)
    return shared_system


async def _is_continued(transfer: Transfer, *programs: str) -> None:
    """Kill programs in the middle, start them again, and see that only the rest is sent."""
    await transfer.wait_until_share(MIDDLE)
    for program in programs:
        transfer.system.kill(program)
    committed = await transfer.committed()
    mark = transfer.system.programs["core"].mark()
    await transfer.system.restart(*programs)

    await transfer.wait_until_installed()

    sent = transfer.sent(since=mark)
    assert committed
    assert sent, "nothing was left to send: the kill came too late"
    assert not committed & set(sent)


async def test_core_killed_during_a_transfer_sends_only_the_rest(system: System, tmp_path: Path) -> None:
    await _is_continued(await begin_transfer(system, tmp_path), "core")


@thorough
@pytest.mark.slow
async def test_core_on_mariadb_killed_during_a_transfer_sends_only_the_rest(
    tmp_path: Path, mariadb_server: MariaDbServer
) -> None:
    async with running_system(tmp_path, server=mariadb_server.url, settings=SLOW) as system:
        await _is_continued(await begin_transfer(system, tmp_path), "core")


async def test_a_vehicle_killed_during_a_transfer_keeps_the_blocks_that_it_acknowledged(
    system: System, tmp_path: Path
) -> None:
    transfer = await begin_transfer(system, tmp_path)
    await _is_continued(transfer, transfer.vin)


async def test_the_backends_node_killed_during_a_transfer_loses_nothing(system: System, tmp_path: Path) -> None:
    await _is_continued(await begin_transfer(system, tmp_path), "node")


async def test_core_and_its_node_killed_together_during_a_transfer_send_only_the_rest(
    system: System, tmp_path: Path
) -> None:
    await _is_continued(await begin_transfer(system, tmp_path), "core", "node")


@pytest.mark.parametrize("part", sample(["node", "client", "slm"], 1))
async def test_a_vehicles_program_killed_during_a_transfer_loses_nothing(
    system: System, tmp_path: Path, part: str
) -> None:
    transfer = await begin_transfer(system, tmp_path, apart=True)
    await _is_continued(transfer, f"{transfer.vin}/{part}")


async def test_a_vehicle_killed_during_an_installation_installs_once(system: System, tmp_path: Path) -> None:
    transfer = await begin_transfer(system, tmp_path, blocks=1, postinst=COUNTING_POSTINST)
    await _installation_began(transfer)

    system.kill(transfer.vin)
    await system.restart(transfer.vin)

    await transfer.wait_until_installed()
    assert transfer.installations() == 1


@pytest.mark.parametrize("part", sample(["client", "slm"], 1))
async def test_a_vehicles_program_killed_during_an_installation_installs_once(
    system: System, tmp_path: Path, part: str
) -> None:
    transfer = await begin_transfer(system, tmp_path, blocks=1, postinst=COUNTING_POSTINST, apart=True)
    await _installation_began(transfer)

    system.kill(f"{transfer.vin}/{part}")
    await system.restart(f"{transfer.vin}/{part}")

    await transfer.wait_until_installed()
    assert transfer.installations() == 1


async def test_a_vehicle_that_loses_power_during_an_installation_repairs_it(system: System, tmp_path: Path) -> None:
    transfer = await begin_transfer(system, tmp_path, blocks=1, postinst=COUNTING_POSTINST)
    await _installation_began(transfer)

    system.kill(transfer.vin)
    kill_all_in(transfer.vehicle.data)  # dpkg and the package's own script too
    assert transfer.installations() == 0
    await system.restart(transfer.vin)

    await transfer.wait_until_installed()
    assert transfer.installations() == 1


async def test_core_killed_before_it_has_read_a_report_hears_it_again(system: System, tmp_path: Path) -> None:
    transfer = await begin_transfer(system, tmp_path, blocks=1, postinst=COUNTING_POSTINST)
    await _installation_began(transfer)

    system.programs["core"].signal(signal.SIGSTOP)
    await _vehicle_has_it(transfer)
    system.kill("core")
    await system.restart("core")

    await _is_counted_once(transfer)


async def test_a_report_whose_answer_is_lost_with_core_is_counted_once(system: System, tmp_path: Path) -> None:
    await system.proxy.start()
    transfer = await begin_transfer(system, tmp_path, blocks=1, postinst=COUNTING_POSTINST, through_proxy=True)
    await _installation_began(transfer)

    system.proxy.hold(Direction.DOWN)  # the report comes through, its answer does not
    await transfer.wait_until_installed()
    system.kill("core")
    await system.proxy.cut()
    mark = system.programs["core"].mark()
    await system.restart("core")

    async def look() -> bool:
        return "already_complete" in transfer.report_outcomes(since=mark)

    await until(look, "the vehicle reports again", latest=transfer.tail)
    await _is_counted_once(transfer)


async def _installation_began(transfer: Transfer) -> None:
    async def look() -> bool:
        return (transfer.vehicle.root / "begun").exists()

    await until(look, "the package's script runs", timeout_s=40, latest=transfer.tail)


async def _vehicle_has_it(transfer: Transfer) -> None:
    async def look() -> bool:
        return transfer.package.id.name in await asyncio.to_thread(transfer.vehicle.installed)

    await until(look, "the vehicle has installed it", interval_s=0.1)


async def _is_counted_once(transfer: Transfer) -> None:
    await transfer.wait_until_installed()
    assert transfer.installations() == 1
    completed = await transfer.system.web.completed_installs(transfer.request)
    assert [install.vin for install in completed.items] == [transfer.vin]
    counts = (await transfer.system.web.install_request(transfer.request)).counts
    assert (counts.installed, counts.failed) == (1, 0)
    assert transfer.report_outcomes().count("installed") == 1
    operations = await transfer.operations()
    assert operations
    assert len({operation.position for operation in operations}) == len(operations)
