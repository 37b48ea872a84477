"""``sota fleet`` against a whole backend: real links, real client and loading manager, simulated installations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.b2_web_core.messages import Update
from sota.boundaries.b2_web_core.queries import RequestVehicleQuery
from sota.boundaries.values import PackageId, UpdateStatus
from sota.fleet.enrolment import vins_of
from sota.fleet.profile import Faults, Profile, SeededOutcomes
from tests.support.fleet import FleetProcess, RandomFile
from tests.support.images import build, install
from tests.support.system import System, running_system
from tests.support.waiting import until

VEHICLES = 12
TIMEOUT_S = 60.0
SIZE = 300_000


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running_system(tmp_path_factory.mktemp("fleet")) as system:
        yield system


async def _updates(system: System, request: str) -> dict[str, Update]:
    page = await system.web.request_vehicles(request, RequestVehicleQuery(limit=100))
    return {update.vin: update for update in page.items}


async def _all_connected(fleet: FleetProcess) -> None:
    async def look() -> bool:
        assert fleet.running, fleet.tail()
        return f"{fleet.vehicles} connected" in fleet.log.read_text() if fleet.log.exists() else False

    await until(look, "all vehicles are connected", timeout_s=TIMEOUT_S, interval_s=0.1, latest=fleet.tail)


async def test_every_vehicle_is_updated_and_the_summary_says_so(system: System, tmp_path: Path) -> None:
    package = RandomFile.make("ivi", "1.0.0", SIZE)
    await package.upload(system)
    fleet = FleetProcess(system, tmp_path, VEHICLES, seed=1, profile="[installation]\nmean_s = 0.1", options=["--once"])
    fleet.start()
    await _all_connected(fleet)
    request = await system.queue(package.id, fleet.expression)

    code, summary = await fleet.run_once(TIMEOUT_S)

    assert code == 0, fleet.tail()
    assert (summary["installed"], summary["failed"], summary["unfinished"]) == (VEHICLES, 0, 0)
    assert summary["mb"] == pytest.approx(VEHICLES * SIZE / 1e6, rel=0.05)
    updates = await _updates(system, request)
    assert {update.status for update in updates.values()} == {UpdateStatus.INSTALLED}
    assert sorted(updates) == vins_of(VEHICLES, 1)
    known = await system.web.packages_of(vins_of(1, 1)[0])
    assert [(one.name, one.version) for one in known] == [("ivi", "1.0.0")]


async def test_update_image_that_the_fleets_key_signed_is_rehearsed(system: System, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(bytes(10_000))
    operations = [install(name, "3.0.0", tmp_path / "part") for name in ("library", "ivi")]
    image = build(tmp_path, system.signing_key, "spring", "3.0.0", operations)
    package = RandomFile(PackageId(name="spring", version="3.0.0"), image.read_bytes(), installer="image")
    await package.upload(system)
    fleet = FleetProcess(system, tmp_path, VEHICLES, seed=3, profile="[installation]\nmean_s = 0.1", options=["--once"])
    fleet.start()
    await _all_connected(fleet)
    await system.queue(package.id, fleet.expression)

    code, summary = await fleet.run_once(TIMEOUT_S)

    assert code == 0, fleet.tail()
    assert (summary["installed"], summary["failed"]) == (VEHICLES, 0)
    known = await system.web.packages_of(vins_of(1, 3)[0])
    assert ("spring", "3.0.0") in [(one.name, one.version) for one in known]


async def test_faults_of_the_profile_are_reported_truthfully_and_are_the_same_for_a_seed(
    system: System, tmp_path: Path
) -> None:
    seed, faults = 5, Faults(install_failure=0.3, corrupt_download=0.3)
    package = RandomFile.make("radio", "1.1.0", SIZE)
    await package.upload(system)
    profile = "[faults]\ninstall_failure = 0.3\ncorrupt_download = 0.3\n[installation]\nmean_s = 0.1"
    fleet = FleetProcess(
        system, tmp_path, VEHICLES, seed=seed, profile=profile, options=["--once", "--installed", "radio/1.0.0"]
    )
    fleet.start()
    await _all_connected(fleet)
    request = await system.queue(package.id, fleet.expression)

    code, summary = await fleet.run_once(TIMEOUT_S)

    expected = {}
    for vin in vins_of(VEHICLES, seed):
        outcomes = SeededOutcomes(Profile(faults=faults), seed, vin)
        corrupt, fails = outcomes.corrupts(package.id.text), outcomes.fails(package.id.text)
        expected[vin] = "verification_failed" if corrupt else "rolled_back" if fails else None
    updates = await _updates(system, request)
    assert {vin: update.reason and update.reason.value for vin, update in updates.items()} == expected
    assert code == 0, fleet.tail()
    assert summary["installed"] == sum(reason is None for reason in expected.values())
    assert {*expected.values()} == {None, "verification_failed", "rolled_back"}, "choose another seed"
    failed = next(vin for vin, reason in expected.items() if reason == "rolled_back")
    assert [one.version for one in await system.web.packages_of(failed)] == ["1.0.0"]
    assert "simulated: nothing was changed" in (updates[failed].result_text or "")


async def test_a_fleet_that_was_killed_goes_on_where_it_was(system: System, tmp_path: Path) -> None:
    package = RandomFile.make("maps", "2.0.0", 2_000_000)
    await package.upload(system)
    fleet = FleetProcess(
        system, tmp_path, 6, seed=9, profile="[installation]\nmean_s = 0.5", options=["--once", "--no-register"]
    )
    first = FleetProcess(system, tmp_path, 6, seed=9, profile="[installation]\nmean_s = 0.5")
    first.start()
    await _all_connected(first)
    request = await system.queue(package.id, fleet.expression)

    async def look() -> bool:
        updates = await _updates(system, request)
        return sum(update.acknowledged for update in updates.values()) > len(package.content)

    await until(look, "blocks arrive", latest=first.tail)
    first.kill()
    mark = system.programs["core"].mark()
    already = {vin: update.acknowledged for vin, update in (await _updates(system, request)).items()}
    fleet.start()

    async def installed() -> bool:
        updates = await _updates(system, request)
        return all(update.status is UpdateStatus.INSTALLED for update in updates.values())

    await until(installed, "all are installed", timeout_s=TIMEOUT_S, latest=fleet.tail)
    sent = len(system.logs("core", "block_sent", since=mark)) * 65_536
    assert sent <= 6 * len(package.content) - sum(already.values()) + 6 * 65_536
    await fleet.stop()


async def test_a_fleet_that_no_filter_matches_ends_by_its_time_out(system: System, tmp_path: Path) -> None:
    fleet = FleetProcess(system, tmp_path, 2, seed=11, options=["--once", "--timeout", "2"])
    fleet.start()

    code, summary = await fleet.run_once(TIMEOUT_S)

    assert code == 1
    assert (summary["unfinished"], summary["complete"]) == (2, False)
    assert "did not end as its profile says" in fleet.log.read_text()


async def test_what_a_fleet_cannot_be_is_said_in_one_line(system: System, tmp_path: Path) -> None:
    fleet = FleetProcess(system, tmp_path, 2, profile="[faults]\nfire = 1")
    fleet.start()

    async def look() -> bool:
        return not fleet.running

    await until(look, "it ends", timeout_s=TIMEOUT_S)
    assert "unknown field `fire`" in fleet.tail()
    assert "Traceback" not in fleet.log.read_text()
