"""A vehicle's two programs, from Core's notification to dpkg and back, with real packages."""

from __future__ import annotations

from pathlib import Path

from tests.support import debs
from tests.support.vehicle import PlayedCore, Vehicle, notify, running_vehicle

COUNT = 'echo "$1 $DPKG_MAINTSCRIPT_PACKAGE" >> "$DPKG_ROOT/count"'


async def test_update_is_transferred_installed_and_reported(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path) as vehicle:
        file = debs.build(tmp_path, "ivi", "1.0.0", postinst=COUNT, payload_bytes=200_000)
        core = await play(vehicle, vehicle.offer(1, "ivi", "1.0.0", file))

        assert debs.installed(vehicle.root) == {"ivi": "1.0.0"}
        assert (vehicle.root / "count").read_text() == "configure ivi\n"
        report = core.reports[1]
        assert report["status"] == "installed"
        assert report["running_version"] == "1.0.0"
        assert report["outcome"] == {"status": 200, "message": "Installation of ivi/1.0.0 complete"}
        assert [step["id"] for step in report["operations"]] == ["install", "verify"]
        assert [step["result_code"] for step in report["operations"]] == [0, 0]
        assert core.blocks_sent == [(1, number) for number in range(1, 5)]


async def play(vehicle: Vehicle, *offers: object) -> PlayedCore:
    core = PlayedCore(vehicle.node, *offers)  # type: ignore[arg-type]
    await vehicle.node.tell("notify", notify(*offers))  # type: ignore[arg-type]
    await core.run_until_reported(*core.offers)
    return core
