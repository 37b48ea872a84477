"""A vehicle's two programs, from Core's notification to dpkg and back, with real packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sota.boundaries.package_signature import make_key_pair
from sota.slm.installers.deb import DebInstaller
from tests.support import debs
from tests.support.vehicle import VIN, Offer, PlayedCore, Vehicle, notify, running_vehicle

COUNT = 'echo "$DPKG_MAINTSCRIPT_PACKAGE" >> "$DPKG_ROOT/count"'
BREAK = 'echo "the display does not answer" >&2; exit 3'


async def play(vehicle: Vehicle, *offers: Offer) -> dict[int, Any]:
    """Offer an update and give the reports of its downloads."""
    core = PlayedCore(vehicle.node, *offers)
    await vehicle.node.tell("notify", notify(*offers))
    await core.run_until_reported(*core.offers)
    return core.reports


async def furnish(vehicle: Vehicle, *packages: Path) -> None:
    """Install what the vehicle left the factory with; these files are kept nowhere."""
    for package in packages:
        await DebInstaller(vehicle.root).install(package)


def steps(report: dict[str, Any]) -> list[tuple[str, int]]:
    return [(step["id"], step["result_code"]) for step in report["operations"]]


async def test_update_is_transferred_installed_and_reported(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        file = debs.build(tmp_path, "ivi", "1.0.0", postinst=COUNT, payload_bytes=200_000)
        core = PlayedCore(vehicle.node, offer := vehicle.offer(1, "ivi", "1.0.0", file))
        await vehicle.node.tell("notify", notify(offer))
        await core.run_until_reported(1)

        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}
        assert (vehicle.root / "count").read_text() == "ivi\n"
        assert core.reports[1]["status"] == "installed"
        assert core.reports[1]["running_version"] == "1.0.0"
        assert core.reports[1]["outcome"] == {"status": 200, "message": "Installation of ivi/1.0.0 complete"}
        assert steps(core.reports[1]) == [("install", 0), ("verify", 0)]
        assert core.blocks_sent == [(1, number) for number in range(1, 5)]


async def test_prerequisite_is_installed_before_what_needs_it(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        library = debs.build(tmp_path, "libnav", "1.1.0", postinst=COUNT)
        application = debs.build(tmp_path, "ivi", "2.0.0", depends="libnav (>= 1.1.0)", postinst=COUNT)
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.0.0"))

        reports = await play(
            vehicle, vehicle.offer(1, "libnav", "1.1.0", library), vehicle.offer(2, "ivi", "2.0.0", application)
        )

        assert [reports[index]["status"] for index in (1, 2)] == ["installed", "installed"]
        assert debs.installed(vehicle.root) == {"ivi": "2.0.0", "libnav": "1.1.0"}
        assert (vehicle.root / "count").read_text() == "libnav\nivi\n"


async def test_failed_upgrade_brings_the_old_version_back_and_says_so(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.0.0", payload_bytes=5_000))

        reports = await play(
            vehicle, vehicle.offer(1, "ivi", "2.0.0", debs.build(tmp_path, "ivi", "2.0.0", postinst=BREAK))
        )

        report = reports[1]
        assert (report["status"], report["reason"]) == ("failed", "rolled_back")
        assert report["running_version"] == "1.0.0"
        assert steps(report) == [("install", 5), ("restore", 0), ("verify", 5)]
        assert "the display does not answer" in report["operations"][0]["result_text"]
        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}
        assert (vehicle.root / "opt/ivi/version").read_text() == "1.0.0\n"
        assert (vehicle.root / "opt/ivi/payload").read_bytes() == debs.noise("ivi/1.0.0", 5_000)


async def test_version_that_was_installed_by_an_update_comes_back_from_its_kept_file(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        first = debs.build(tmp_path, "ivi", "1.0.0")
        await play(vehicle, vehicle.offer(1, "ivi", "1.0.0", first))
        kept = vehicle.slm_settings.data / "kept" / "ivi_1.0.0.deb"
        assert kept.read_bytes() == first.read_bytes()

        reports = await play(
            vehicle, vehicle.offer(2, "ivi", "2.0.0", debs.build(tmp_path, "ivi", "2.0.0", postinst=BREAK))
        )

        assert reports[2]["reason"] == "rolled_back"
        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


async def test_failed_first_installation_leaves_nothing(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        reports = await play(
            vehicle, vehicle.offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0", postinst=BREAK))
        )

        report = reports[1]
        assert (report["status"], report["reason"]) == ("failed", "install_failed")
        assert report["running_version"] is None
        assert steps(report) == [("install", 4), ("discard", 0), ("verify", 4)]
        assert not (vehicle.root / "opt/ivi/version").exists()


async def test_failed_prerequisite_fails_what_depends_on_it(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        library = debs.build(tmp_path, "libnav", "1.1.0", postinst=BREAK)
        application = debs.build(tmp_path, "ivi", "2.0.0", depends="libnav (>= 1.1.0)")

        reports = await play(
            vehicle, vehicle.offer(1, "libnav", "1.1.0", library), vehicle.offer(2, "ivi", "2.0.0", application)
        )

        assert reports[1]["reason"] == "install_failed"
        assert (reports[2]["status"], reports[2]["reason"]) == ("failed", "dependency")
        assert steps(reports[2]) == [("verify", 2)]
        assert debs.installed(vehicle.root) == {}


async def test_dependency_that_was_not_sent_is_found_by_dpkg(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.0.0"))

        file = debs.build(tmp_path, "ivi", "2.0.0", depends="libnav (>= 1.1.0)")
        reports = await play(vehicle, vehicle.offer(1, "ivi", "2.0.0", file))

        assert steps(reports[1])[0] == ("install", 2)
        assert "libnav" in reports[1]["operations"][0]["result_text"]
        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}


async def test_packages_that_need_one_another_are_replaced_by_one_update(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(
            vehicle,
            debs.build(tmp_path, "ivi", "1.0.0"),
            debs.build(tmp_path, "nav", "1.0.0", depends="ivi (<< 2.0.0)"),
        )
        library = debs.build(tmp_path, "ivi", "2.0.0")
        application = debs.build(tmp_path, "nav", "2.0.0", depends="ivi (>= 2.0.0)")

        reports = await play(
            vehicle, vehicle.offer(1, "ivi", "2.0.0", library), vehicle.offer(2, "nav", "2.0.0", application)
        )

        assert [reports[index]["status"] for index in (1, 2)] == ["installed", "installed"]
        assert debs.installed(vehicle.root) == {"ivi": "2.0.0", "nav": "2.0.0"}


async def test_package_is_removed(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.0.0"))

        reports = await play(vehicle, Offer(1, "ivi", "1.0.0", b"", command="remove"))

        assert reports[1]["status"] == "installed"
        assert reports[1]["running_version"] is None
        assert steps(reports[1]) == [("remove", 0), ("verify", 0)]
        assert debs.installed(vehicle.root) == {}


async def test_package_that_another_needs_is_not_removed(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(
            vehicle,
            debs.build(tmp_path, "libnav", "1.1.0"),
            debs.build(tmp_path, "ivi", "2.0.0", depends="libnav (>= 1.1.0)"),
        )

        reports = await play(vehicle, Offer(1, "libnav", "1.1.0", b"", command="remove"))

        assert (reports[1]["status"], reports[1]["running_version"]) == ("failed", "1.1.0")
        assert steps(reports[1])[0] == ("remove", 2)
        assert debs.installed(vehicle.root) == {"ivi": "2.0.0", "libnav": "1.1.0"}


async def test_older_version_is_refused(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.10.0"))

        reports = await play(vehicle, vehicle.offer(1, "ivi", "1.9.0", debs.build(tmp_path, "ivi", "1.9.0")))

        assert steps(reports[1]) == [("verify", 17)]
        assert debs.installed(vehicle.root) == {"ivi": "1.10.0"}


async def test_older_version_is_installed_where_the_request_allows_it(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.10.0"))
        older = vehicle.offer(1, "ivi", "1.9.0", debs.build(tmp_path, "ivi", "1.9.0"))
        older.changes = {"allow_downgrade": True}

        reports = await play(vehicle, older)

        assert reports[1]["status"] == "installed"
        assert debs.installed(vehicle.root) == {"ivi": "1.9.0"}


async def test_package_for_which_the_loading_manager_has_no_room_fails(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path, slm_quota_bytes=1_000) as vehicle:
        reports = await play(vehicle, vehicle.offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0")))

        assert (reports[1]["status"], steps(reports[1])) == ("failed", [("verify", 15)])


async def test_file_of_another_package_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        other = debs.build(tmp_path, "radio", "1.0.0", postinst=COUNT)

        reports = await play(vehicle, vehicle.offer(1, "ivi", "1.0.0", other))

        assert (reports[1]["reason"], steps(reports[1])) == ("verification_failed", [("verify", 3)])
        assert debs.installed(vehicle.root) == {}


async def test_package_for_another_processor_leaves_the_old_one_running(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.0.0"))
        foreign = debs.build(tmp_path, "ivi", "2.0.0", Architecture="m68k", postinst=COUNT)

        reports = await play(vehicle, vehicle.offer(1, "ivi", "2.0.0", foreign))

        report = reports[1]
        assert (report["status"], report["reason"], report["running_version"]) == ("failed", "rolled_back", "1.0.0")
        assert steps(report) == [("install", 5), ("verify", 5)]
        assert "package architecture (m68k) does not match system" in report["operations"][0]["result_text"]
        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}
        assert not (vehicle.root / "count").exists()


async def test_package_that_a_stranger_signed_leaves_the_old_one_running(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.0.0"))
        offer = vehicle.offer(1, "ivi", "2.0.0", debs.build(tmp_path, "ivi", "2.0.0", postinst=COUNT))

        reports = await play(vehicle, offer.signed(make_key_pair(tmp_path / "stranger")))

        assert (reports[1]["status"], reports[1]["reason"]) == ("failed", "verification_failed")
        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}
        assert not (vehicle.root / "count").exists()


async def test_what_is_installed_already_is_not_installed_again(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        file = debs.build(tmp_path, "ivi", "1.0.0", postinst=COUNT)
        await furnish(vehicle, file)

        reports = await play(vehicle, vehicle.offer(1, "ivi", "1.0.0", file))

        assert (reports[1]["status"], steps(reports[1])) == ("installed", [("verify", 1)])
        assert (vehicle.root / "count").read_text() == "ivi\n"


async def test_installed_packages_are_told_to_core(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        await furnish(vehicle, debs.build(tmp_path, "ivi", "1.0.0"), debs.build(tmp_path, "radio", "3.0-2+b1"))

        await vehicle.node.tell("getpackages", None)

        told = await vehicle.node.heard("packages")
        assert told["vin"] == VIN
        assert told["packages"] == [{"name": "ivi", "version": "1.0.0"}, {"name": "radio", "version": "3.0-2+b1"}]


async def test_update_that_needs_consent_waits_and_lets_others_pass(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        asking = notify(
            vehicle.offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0")), request_confirmation=True
        )
        await vehicle.node.tell("notify", asking)

        reports = await play(vehicle, vehicle.offer(2, "radio", "1.0.0", debs.build(tmp_path, "radio", "1.0.0")))

        assert reports[2]["status"] == "installed"
        found = await vehicle.call_slm("GET", f"/v1/updates/{asking['update_id']}")
        assert json.loads(found.body)["status"] == "pending"
        assert debs.installed(vehicle.root) == {"radio": "1.0.0"}
