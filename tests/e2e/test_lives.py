"""Real programs over the lives of a vehicle: what Core shows as installed is what dpkg has in the vehicle.

``make test`` plays one of them, chosen by ``SOTA_FAULT_SEED``; ``make faults`` plays all.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sota.boundaries.authority import Authority
from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle
from sota.boundaries.values import InstalledPackage, UpdateStatus
from tests.support.packages import DebFile
from tests.support.system import System, running_system
from tests.support.thorough import sample
from tests.support.vehicle_files import VehicleFiles
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
VIN, OTHER = "WVWZZZ1KZ7W000077", "WVWZZZ1KZ7W000078"
PLAYED = sample(("erased", "copied back", "another folder"), 1)


def story(name: str) -> pytest.MarkDecorator:
    """Mark a test as one of those of which a sample is played."""
    return pytest.mark.skipif(name not in PLAYED, reason="make faults plays it; it takes minutes")


async def install(system: System, package: DebFile, vin: str = VIN) -> None:
    request = await system.queue(package.id, f'vin_matches "{vin}"')
    await system.wait_for_status(request, vin, UpdateStatus.INSTALLED)


async def register_says(system: System, vin: str, installed: dict[str, str]) -> None:
    """Wait until Core's register agrees with the vehicle's own package database."""

    async def look() -> bool:
        packages: list[InstalledPackage] = (await system.web.vehicle(vin)).packages
        return {package.name: package.version for package in packages} == installed

    await until(look, f"the register says {installed}", timeout_s=60)


async def packages(system: System, folder: Path, *names: str) -> list[DebFile]:
    made = [DebFile.build(folder / "debs", name, "1.0.0") for name in names]
    for package in made:
        await system.upload(package)
    return made


@story("erased")
async def test_erased_and_newly_registered_vehicle_gets_what_is_shown_as_installed(tmp_path: Path) -> None:
    async with running_system(tmp_path / "system") as system:
        car = await system.add_vehicle(VIN)
        ivi, nav = await packages(system, tmp_path, "ivi", "nav")
        await install(system, ivi)
        await system.web.erase_vehicle(VIN)
        system.kill(VIN)
        await system.provision(ProvisionedVehicle(vin=VIN, components=[], packages=[]))
        enrol(system, VIN, car)
        await system.restart(VIN)

        await install(system, nav)

        assert car.installed() == {"ivi": "1.0.0", "nav": "1.0.0"}
        await register_says(system, VIN, car.installed())


@story("copied back")
async def test_database_copied_back_by_hand_makes_nothing_installed(tmp_path: Path) -> None:
    async with running_system(tmp_path / "system") as system:
        car = await system.add_vehicle(VIN)
        ivi, nav, hud = await packages(system, tmp_path, "ivi", "nav", "hud")
        await install(system, ivi)
        await system.programs["core"].stop()
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in system.data.glob("core.db*"):
            shutil.copy(file, copy)
        await system.restart("core")
        await install(system, nav)
        await system.programs["core"].stop()
        for file in system.data.glob("core.db*"):
            file.unlink()
        for file in copy.iterdir():
            shutil.copy(file, system.data)
        await system.restart("core")

        await install(system, hud)

        assert car.installed() == {"ivi": "1.0.0", "nav": "1.0.0", "hud": "1.0.0"}
        await register_says(system, VIN, car.installed())


@story("another folder")
async def test_folder_of_another_vehicle_makes_nothing_installed(tmp_path: Path) -> None:
    async with running_system(tmp_path / "system") as system:
        car = await system.add_vehicle(VIN)
        ivi, nav = await packages(system, tmp_path, "ivi", "nav")
        await install(system, ivi)
        await system.programs[VIN].stop()
        other = await system.add_vehicle(OTHER, start=False)
        shutil.rmtree(other.data)
        car.data.rename(other.data)
        enrol(system, OTHER, other)
        await system.restart(OTHER)

        await install(system, nav, OTHER)

        assert other.installed() == {"ivi": "1.0.0", "nav": "1.0.0"}
        await register_says(system, OTHER, other.installed())


def enrol(system: System, vin: str, files: VehicleFiles) -> None:
    """Issue the identity of a vehicle into its data folder."""
    shutil.rmtree(files.identity)
    Authority.open(system.data / "authority").issue_vehicle(vin, files.identity)
