"""The Software Loading Manager killed in the middle of an installation: nothing is installed twice, and the truth is
told.

The maintainer script of the package counts how often it ran, in the vehicle's own file system.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import debs
from tests.support.processes import ProgramProcess, kill_all_in, left_over
from tests.support.vehicle import PlayedCore, Vehicle, notify, vehicle_on_disk
from tests.support.vehicle_processes import as_process
from tests.support.waiting import until

SLOW = 'echo begun >> "$DPKG_ROOT/count"; sleep {seconds}; echo ended >> "$DPKG_ROOT/count"'


@pytest.fixture
async def vehicle(tmp_path: Path) -> AsyncIterator[Vehicle]:
    async with vehicle_on_disk(tmp_path) as prepared:
        yield prepared


@pytest.fixture
async def slm(vehicle: Vehicle) -> AsyncIterator[ProgramProcess]:
    process = as_process("slm", vehicle.slm_settings, vehicle.folder)
    process.start()
    await vehicle.start_client()
    yield process
    await process.stop()
    kill_all_in(vehicle.folder / "root")


async def begin(vehicle: Vehicle, file: Path, version: str = "1.0.0") -> asyncio.Task[PlayedCore]:
    """Have a package sent, and play Core on until its report is here."""
    offer = vehicle.offer(1, "ivi", version, file)
    core = PlayedCore(vehicle.node, offer)
    await vehicle.node.tell("notify", notify(offer))

    async def run() -> PlayedCore:
        await core.run_until_reported(1)
        return core

    return asyncio.create_task(run())


async def script_began(vehicle: Vehicle) -> None:
    async def look() -> bool:
        return (vehicle.root / "count").exists()

    await until(look, "the maintainer script to begin")


async def nothing_left(vehicle: Vehicle) -> None:
    async def look() -> bool:
        return not left_over(vehicle.root)

    await until(look, "the installer to end")


def counted(vehicle: Vehicle) -> list[str]:
    return (vehicle.root / "count").read_text().split()


def steps(report: dict[str, Any]) -> list[tuple[str, int]]:
    return [(step["id"], step["result_code"]) for step in report["operations"]]


async def test_installer_that_outlives_us_is_waited_for(vehicle: Vehicle, slm: ProgramProcess, tmp_path: Path) -> None:
    playing = await begin(vehicle, debs.build(tmp_path, "ivi", "1.0.0", postinst=SLOW.format(seconds=3)))
    await script_began(vehicle)

    slm.kill()
    slm.start()

    core = await playing
    assert counted(vehicle) == ["begun", "ended"]
    assert steps(core.reports[1]) == [("install", 0), ("verify", 0)]
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


async def test_installation_that_ended_while_we_were_away_is_not_repeated(
    vehicle: Vehicle, slm: ProgramProcess, tmp_path: Path
) -> None:
    playing = await begin(vehicle, debs.build(tmp_path, "ivi", "1.0.0", postinst=SLOW.format(seconds=1)))
    await script_began(vehicle)

    slm.kill()
    await nothing_left(vehicle)
    slm.start()

    core = await playing
    assert counted(vehicle) == ["begun", "ended"]
    assert steps(core.reports[1]) == [("install", 0), ("verify", 0)]


async def test_failure_while_we_were_away_is_rolled_back(vehicle: Vehicle, slm: ProgramProcess, tmp_path: Path) -> None:
    script = SLOW.format(seconds=1) + "; echo broken display >&2; exit 4"
    playing = await begin(vehicle, debs.build(tmp_path, "ivi", "1.0.0", postinst=script))
    await script_began(vehicle)

    slm.kill()
    await nothing_left(vehicle)
    slm.start()

    core = await playing
    assert counted(vehicle) == ["begun", "ended"]
    assert steps(core.reports[1]) == [("install", 4), ("discard", 0), ("verify", 4)]
    assert "broken display" in core.reports[1]["operations"][0]["result_text"]


async def test_package_left_half_configured_by_a_power_loss_is_repaired_once(
    vehicle: Vehicle, slm: ProgramProcess, tmp_path: Path
) -> None:
    playing = await begin(vehicle, debs.build(tmp_path, "ivi", "1.0.0", postinst=SLOW.format(seconds=2)))
    await script_began(vehicle)

    slm.kill()
    kill_all_in(vehicle.root)
    assert debs.installed(vehicle.root) == {}
    slm.start()

    core = await playing
    assert counted(vehicle) == ["begun", "begun", "ended"]
    assert steps(core.reports[1]) == [("install", 19), ("repair", 0), ("verify", 0)]
    assert core.reports[1]["status"] == "installed"
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


async def test_package_left_half_unpacked_by_a_power_loss_is_installed_again(
    vehicle: Vehicle, slm: ProgramProcess, tmp_path: Path
) -> None:
    file = debs.build(tmp_path, "ivi", "1.0.0", scripts={"preinst": SLOW.format(seconds=2)})
    playing = await begin(vehicle, file)
    await script_began(vehicle)

    slm.kill()
    kill_all_in(vehicle.root)
    slm.start()

    core = await playing
    assert counted(vehicle) == ["begun", "begun", "ended"]
    assert steps(core.reports[1]) == [("install", 19), ("reinstall", 0), ("verify", 0)]
    assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


async def test_end_by_sigterm_does_not_cancel_an_installation(
    vehicle: Vehicle, slm: ProgramProcess, tmp_path: Path
) -> None:
    playing = await begin(vehicle, debs.build(tmp_path, "ivi", "1.0.0", postinst=SLOW.format(seconds=1)))
    await script_began(vehicle)

    slm.signal(signal.SIGTERM)
    await slm.stop()
    assert counted(vehicle) == ["begun", "ended"]
    slm.start()

    core = await playing
    assert counted(vehicle) == ["begun", "ended"]
    assert steps(core.reports[1]) == [("install", 0), ("verify", 0)]


async def test_installer_that_hangs_is_ended(tmp_path: Path) -> None:
    async with vehicle_on_disk(tmp_path, slm_install_timeout_s=2.5) as vehicle:
        await vehicle.start_slm()
        await vehicle.start_client()

        core = await (await begin(vehicle, debs.build(tmp_path, "ivi", "1.0.0", postinst="sleep 60")))

        assert core.reports[1]["status"] == "failed"
        assert "it took more than 2.5 s" in core.reports[1]["operations"][0]["result_text"]
        assert debs.installed(vehicle.root) == {}
        await nothing_left(vehicle)
