"""Update images and the power going before and after each write to the journal: the right end, nothing done twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sota.boundaries.b10_client_slm.messages import InstallReport
from sota.boundaries.values import Command
from sota.kit.package_signature import make_key_pair
from sota.slm.contract import Bay, Fault
from tests.support import debs
from tests.support.images import build, install
from tests.support.slm_subjects import DebSubject

STRIDE = 0.5 if os.environ.get("THOROUGH") == "1" else 2.5
MAX_WRITES = 80


class ImageBay(Bay):
    """A vehicle with dpkg that gets images of two packages; the second may break."""

    def __init__(self, folder: Path) -> None:
        self.debs = DebSubject(folder)
        super().__init__(folder, self.debs)
        self.key = make_key_pair(self.folder / "keys")

    async def send(self, version: str, *, broken: bool, lose_at: float = 0) -> InstallReport:
        folder = self.folder.parent / version
        script = f'echo "{version}" >> "$DPKG_ROOT/count"' + ("; exit 3" if broken else "")
        operations = [
            install("ivi", version, self.debs.build(version, Fault.NONE)),
            install("radio", version, debs.build(folder, "radio", version, postinst=script)),
        ]
        image = build(folder, self.key, "ivi", version, operations)
        await self.offer(version, Command.INSTALL, image, "image")
        return await self.carry_out(lose_at=lose_at)

    def times(self, version: str) -> int:
        return (self.debs.root / "count").read_text().split().count(version)


@pytest.fixture
async def bay(tmp_path: Path) -> Bay:
    bay = ImageBay(tmp_path)
    assert (await bay.send("1.0.0", broken=False)).status == "installed"
    return bay


async def test_image_is_installed_once_wherever_the_power_goes(bay: ImageBay) -> None:
    at, number = 1.0, 2
    while at < MAX_WRITES:
        version = f"{number}.0.0"
        report = await bay.send(version, broken=False, lose_at=at)

        codes = {each.id: each.result_code for each in report.operations}
        assert report.status == "installed", report
        assert set(codes) >= {"ivi", "radio", "verify"}
        assert debs.installed(bay.debs.root) == {"ivi": version, "radio": version}
        assert bay.times(version) <= 2  # once, or once more where the power went in the middle of it
        if not bay.lost:
            break
        at, number = at + STRIDE, number + 1
    assert not bay.lost


async def test_broken_image_is_taken_back_wherever_the_power_goes(bay: ImageBay) -> None:
    at, number = 1.0, 2
    while at < MAX_WRITES:
        report = await bay.send(f"{number}.0.0", broken=True, lose_at=at)

        assert (report.status, report.reason) == ("failed", "rolled_back"), report
        assert report.running_version == "1.0.0"
        assert debs.installed(bay.debs.root) == {"ivi": "1.0.0", "radio": "1.0.0"}
        if not bay.lost:
            break
        at, number = at + STRIDE, number + 1
    assert not bay.lost
