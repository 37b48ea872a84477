"""The main job, end to end, on both engines: real programs, real links, real packages, and the vehicles' own databases.

Five vehicles; the filter chooses three. One of them lacks the library that the new version needs, one connects late.
Then what must not be installed is not, and is told truthfully.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sota.boundaries.b2_web_core.messages import Update
from sota.boundaries.b3_web_resolver import rows
from sota.boundaries.b3_web_resolver.messages import Association, Filter, PackageToResolve
from sota.boundaries.package_signature import make_key_pair
from sota.boundaries.values import PackageId, Reason, UpdateStatus
from tests.support.packages import DebFile
from tests.support.system import System, running_system
from tests.support.vehicle_files import VehicleFiles

COMPLETE = "WVWZZZ1KZ7W000011"
LACKS_LIBRARY = "WVWZZZ1KZ7W000022"
LATE = "WVWZZZ1KZ7W000033"
NO_UNIT = "WVWZZZ1KZ7W000044"
OTHER_MAKE = "XW8ZZZ1KZ7W000055"
CHOSEN = {COMPLETE, LACKS_LIBRARY, LATE}
FILTER = 'vin_matches "^WVW" AND has_component "^TCU-"'
NAVIGATION_1 = {"navigation": "1.0.0"}
NAVIGATION_2 = {"navigation": "2.0.0", "libroute": "1.4.0"}
SAYS_WHY = "no room for the maps on this unit"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The running system with its five vehicles; ``late`` is not started."""

    system: System
    vehicles: dict[str, VehicleFiles]
    packages: Path

    def build(self, name: str, version: str, *, postinst: str = "") -> DebFile:
        """Make a package for one test."""
        return DebFile.build(self.packages, name, version, postinst=postinst)

    async def send(self, package: DebFile, vin: str) -> str:
        """Queue an uploaded package for one vehicle."""
        return await self.system.queue(package.id, f'vin_matches "^{vin}$"')

    async def core_says(self, vin: str) -> dict[str, str]:
        """Return what Core knows to be installed."""
        return {package.name: package.version for package in await self.system.web.packages_of(vin)}


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
async def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    server = request.getfixturevalue("mariadb_server").url if request.param == "mariadb" else None
    folder = tmp_path_factory.mktemp(f"main-job-{request.param}")
    packages = folder / "packages"
    packages.mkdir()
    library = DebFile.build(packages, "libroute", "1.4.0").file
    before = DebFile.build(packages, "navigation", "1.0.0").file
    async with running_system(folder, server=server) as system:
        factory = {
            COMPLETE: (["TCU-5G.2", "IVI-MIB3"], [library, before]),
            LACKS_LIBRARY: (["TCU-5G.2", "IVI-MIB3"], [before]),
            LATE: (["TCU-LTE.1"], [library, before]),
            NO_UNIT: (["IVI-MIB3"], [library, before]),
            OTHER_MAKE: (["TCU-5G.2"], [library, before]),
        }
        vehicles = {
            vin: await system.add_vehicle(vin, components=components, packages=installed, start=False)
            for vin, (components, installed) in factory.items()
        }
        await asyncio.gather(*(system.restart(vin) for vin in vehicles if vin != LATE))
        yield Fleet(system, vehicles, packages)


async def test_the_right_three_vehicles_get_the_update_and_what_it_needs(fleet: Fleet) -> None:
    system = fleet.system
    library = DebFile.build(fleet.packages, "libroute", "1.4.0")
    after = DebFile.build(fleet.packages, "navigation", "2.0.0", needs=(library.id,), payload_bytes=1_500_000)
    await system.upload(library)
    await system.upload(after)

    request = await system.queue(after.id, FILTER)

    chosen = await system.updates(request)
    assert set(chosen) == CHOSEN
    assert chosen[LACKS_LIBRARY].packages == [library.id, after.id]
    assert chosen[COMPLETE].packages == [after.id]
    for vin in (COMPLETE, LACKS_LIBRARY):
        await system.wait_for_status(request, vin, UpdateStatus.INSTALLED)
    assert not (await system.updates(request))[LATE].status.is_final
    assert fleet.vehicles[LATE].installed() == {**NAVIGATION_1, "libroute": "1.4.0"}

    await system.restart(LATE)
    await system.wait_for_status(request, LATE, UpdateStatus.INSTALLED)

    await _holds_everywhere(fleet, request, after.id)
    order = fleet.vehicles[LACKS_LIBRARY].history()
    assert order.index("libroute 1.4.0") < order.index("navigation 2.0.0")


async def _holds_everywhere(fleet: Fleet, request: str, package: PackageId) -> None:
    """Core, the Resolver and each vehicle's own package database agree."""
    for vin, vehicle in fleet.vehicles.items():
        expected = NAVIGATION_2 if vin in CHOSEN else {**NAVIGATION_1, "libroute": "1.4.0"}
        assert vehicle.installed() == expected, vin
        assert await fleet.core_says(vin) == expected, vin
    whole = await fleet.system.web.install_request(request)
    assert whole.status == "completed"
    assert whole.counts.installed == len(CHOSEN)
    completed = await fleet.system.web.completed_installs(request)
    assert sorted(install.vin for install in completed.items) == sorted(CHOSEN)
    with_package = await fleet.system.web.vehicles_with(package.name, package.version)
    assert sorted(with_package.items) == sorted(CHOSEN)
    await fleet.system.settle()
    assert await _resolver_chooses(fleet.system, 'has_package "^navigation$" "^2"') == CHOSEN


async def _resolver_chooses(system: System, expression: str) -> set[str]:
    probe = PackageId(name="probe", version="1.0.0")
    await system.resolver.new_package(PackageToResolve(name=probe.name, version=probe.version))
    resolver, path = system.resolver.caller, {"name": probe.name, "version": probe.version}
    await resolver.call(rows.NEW_FILTER, body=Filter(name="probe", expression=expression))
    await resolver.call(rows.NEW_ASSOCIATION, path, body=Association(filter="probe"))
    return {resolved.vin for resolved in await system.resolver.resolve(probe)}


async def test_a_package_that_fails_to_install_is_reported_with_the_installers_own_output(fleet: Fleet) -> None:
    system, vehicle = fleet.system, fleet.vehicles[COMPLETE]
    good = fleet.build("radio", "1.0.0")
    bad = fleet.build("radio", "2.0.0", postinst=f"echo '{SAYS_WHY}' >&2\nexit 7")
    await system.upload(good)
    await system.upload(bad)
    await system.wait_for_status(await fleet.send(good, COMPLETE), COMPLETE, UpdateStatus.INSTALLED)

    update = await system.wait_for_status(await fleet.send(bad, COMPLETE), COMPLETE, UpdateStatus.FAILED)

    assert update.reason in {Reason.INSTALL_FAILED, Reason.ROLLED_BACK}, update
    assert SAYS_WHY in (update.result_text or "")
    assert vehicle.installed()["radio"] == "1.0.0"
    await _core_agrees(fleet, COMPLETE)


async def test_a_package_that_fails_at_its_first_installation_leaves_the_vehicle_as_it_was(fleet: Fleet) -> None:
    system, vehicle = fleet.system, fleet.vehicles[COMPLETE]
    before = vehicle.installed()
    bad = fleet.build("camera", "1.0.0", postinst=f"echo '{SAYS_WHY}' >&2\nexit 7")
    await system.upload(bad)

    update = await system.wait_for_status(await fleet.send(bad, COMPLETE), COMPLETE, UpdateStatus.FAILED)

    assert SAYS_WHY in (update.result_text or "")
    assert vehicle.installed() == before
    await _core_agrees(fleet, COMPLETE)


async def test_a_package_signed_by_a_stranger_is_refused_by_the_vehicle(fleet: Fleet) -> None:
    package = fleet.build("forged", "1.0.0")
    await fleet.system.upload_as(package, package.signed_by(make_key_pair(fleet.packages, "stranger")))

    update = await _refused(fleet, package)

    assert "no trusted key" in (update.result_text or "").lower()


async def test_a_signature_for_another_version_is_refused_by_the_vehicle(fleet: Fleet) -> None:
    package = fleet.build("renamed", "2.0.0")
    other = fleet.build("renamed", "1.0.0")
    await fleet.system.upload_as(package, other.signed_by(fleet.system.signing_key))

    await _refused(fleet, package)


async def test_an_unsigned_package_is_refused_by_the_vehicle(fleet: Fleet) -> None:
    package = fleet.build("unsigned", "1.0.0")
    await fleet.system.upload_as(package, None)

    await _refused(fleet, package)


async def test_a_file_that_was_changed_in_the_repository_is_refused_by_the_vehicle(fleet: Fleet) -> None:
    package = fleet.build("changed", "1.0.0")
    before = set(_files(fleet.system.repository))
    await fleet.system.upload(package)
    (stored,) = set(_files(fleet.system.repository)) - before
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)

    await _refused(fleet, package)


async def _refused(fleet: Fleet, package: DebFile) -> Update:
    """The vehicle refuses the package, says why, and is as before."""
    vehicle = fleet.vehicles[NO_UNIT]
    before = vehicle.installed()

    update = await fleet.system.wait_for_status(await fleet.send(package, NO_UNIT), NO_UNIT, UpdateStatus.FAILED)

    assert update.reason == Reason.VERIFICATION_FAILED, update
    assert vehicle.installed() == before
    assert package.id.name not in vehicle.dpkg_log
    await _core_agrees(fleet, NO_UNIT)
    return update


async def _core_agrees(fleet: Fleet, vin: str) -> None:
    assert await fleet.core_says(vin) == fleet.vehicles[vin].installed()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
