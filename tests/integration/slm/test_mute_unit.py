"""A unit that falls silent after what was installed on it: the way back is taken, and the report says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from sota.boundaries.values import Command, Reason
from sota.slm import operation
from sota.slm.contract import Fault, Loss, Testbed
from tests.support import debs
from tests.support.images import build, install
from tests.support.slm_subjects import CommandSubject
from tests.support.vehicle import PlayedCore, notify, running_vehicle

QUERY = """
if grep -q mute "$1" 2>/dev/null; then echo "the unit is silent" >&2; exit 7; fi
cut -d " " -f 1 "$1" 2>/dev/null | head -n 1
"""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "PAUSE_S", 0.01)


class MuteSubject(CommandSubject):
    """A version that is unhealthy here keeps the unit from saying anything."""

    @property
    def health_check(self) -> tuple[str, ...]:
        return ()

    def options(self) -> dict[str, object]:
        options: dict[str, Any] = super().options()
        options["units"]["display"]["query"] = ["/bin/sh", "-c", QUERY, "sh", str(self.version_file)]
        return options

    def build(self, version: str, fault: Fault) -> Path:
        file = super().build(version, Fault.NONE)
        if fault is Fault.UNHEALTHY:
            file.write_text(f"{version} mute\n")
        return file


@pytest.fixture
def testbed(tmp_path: Path) -> Testbed:
    return Testbed(tmp_path, MuteSubject(tmp_path))


def codes(report: Any) -> list[tuple[str, int]]:
    return [(operation.id, operation.result_code) for operation in report.operations]


async def test_unit_that_falls_silent_gets_its_old_software_back(testbed: Testbed) -> None:
    await testbed.install("1.0.0")

    report = await testbed.install("2.0.0", Fault.UNHEALTHY)

    assert (report.status, report.reason, report.running_version) == ("failed", Reason.ROLLED_BACK, "1.0.0")
    assert codes(report) == [("install", 0), ("look", 18), ("restore", 0), ("verify", 5)]
    assert "the unit is silent" in report.operations[1].result_text
    assert "the installed version could not be read; 1.0.0 is there as before" in report.operations[-1].result_text
    assert testbed.subject.running() == "1.0.0"


async def test_first_software_that_silences_its_unit_is_removed(testbed: Testbed) -> None:
    report = await testbed.install("1.0.0", Fault.UNHEALTHY)

    assert (report.status, report.reason, report.running_version) == ("failed", Reason.VERIFICATION_FAILED, None)
    assert codes(report) == [("install", 0), ("look", 18), ("discard", 0), ("verify", 4)]
    assert testbed.subject.running() is None


@pytest.mark.parametrize("loss", Loss)
async def test_silence_is_survived_wherever_the_power_goes(testbed: Testbed, loss: Loss) -> None:
    await testbed.install("1.0.0")
    at, version = 1.0, 2
    while True:
        name = f"{version}.0.0"
        await testbed.offer(name, Command.INSTALL, testbed.subject.build(name, Fault.UNHEALTHY))
        report = await testbed.carry_out(lose_at=at, loss=loss)

        with testbed.judging("back"):
            assert (report.status, report.reason, report.running_version) == ("failed", Reason.ROLLED_BACK, "1.0.0")
        if not testbed.lost:
            break
        at, version = at + 1.5, version + 1
    assert version > 4


async def test_unit_that_says_nothing_at_all_is_not_told_to_have_no_software(testbed: Testbed) -> None:
    await testbed.install("1.0.0")
    assert isinstance(testbed.subject, MuteSubject)
    testbed.subject.version_file.write_text("mute\n")

    report = await testbed.install("2.0.0")

    assert (report.status, report.reason, report.running_version) == ("failed", Reason.INSTALL_FAILED, UNSET)
    assert codes(report)[-1] == ("verify", 18)
    assert "the unit is silent" in report.operations[-1].result_text
    assert b"running_version" not in msgspec.json.encode(report)


async def test_operation_whose_installer_cannot_be_asked_takes_its_image_back(tmp_path: Path) -> None:
    unit = {
        "packages": ["gateway"],
        "query": ["/bin/sh", "-c", "echo the bus is down >&2; exit 1"],
        "install": [sys.executable, "-c", "raise SystemExit('never')"],
    }
    options = {"command": {"units": {"gateway": unit}}}
    firmware = tmp_path / "gateway.bin"
    firmware.write_bytes(b"firmware")
    async with running_vehicle(tmp_path, slm_installers=("deb", "command"), slm_options=options) as vehicle:
        image = build(
            tmp_path,
            vehicle.key,
            "spring",
            "1.0.0",
            [
                install("ivi", "1.0.0", debs.build(tmp_path / "debs", "ivi", "1.0.0")),
                install("gateway", "2.0.0", firmware, installer="command"),
            ],
        )
        offer = vehicle.offer(1, "spring", "1.0.0", image, installer="image")
        core = PlayedCore(vehicle.node, offer)
        await vehicle.node.tell("notify", notify(offer))
        await core.run_until_reported(1)

        report = core.reports[1]
        told = {each["id"]: each["result_code"] for each in report["operations"]}
        assert (report["status"], report["reason"]) == ("failed", "rolled_back")
        assert told == {"ivi": 0, "gateway": 18, "undo:ivi": 0, "verify": 18}
        assert "the bus is down" in json.dumps(report)
        assert debs.installed(vehicle.root) == {}
