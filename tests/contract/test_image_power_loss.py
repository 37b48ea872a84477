"""Update images, and power or program lost before and after each write to the journal: the right end, nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.boundaries.package_signature import make_key_pair
from sota.boundaries.values import Command
from sota.slm.contract import Fault, Loss, Testbed
from tests.support import debs
from tests.support.images import build, install
from tests.support.installer_matrix import entries
from tests.support.matrix_table import Entry
from tests.support.slm_subjects import DebSubject
from tests.support.thorough import IS_THOROUGH

STRIDE = {Loss.POWER: 0.5 if IS_THOROUGH else 2.5, Loss.PROGRAM: 0.5 if IS_THOROUGH else 5.5}
MOST = {Loss.POWER: 2, Loss.PROGRAM: 1}
"""How often a package's script may have run: once more where the power went in the middle of it."""
MAX_WRITES = 80


class ImageBay(Testbed):
    """A vehicle with dpkg that gets images of two packages; the second may break."""

    def __init__(self, folder: Path) -> None:
        self.debs = DebSubject(folder)
        super().__init__(folder, self.debs)
        self.key = make_key_pair(self.folder / "keys")

    async def send(self, version: str, *, broken: bool, lose_at: float = 0, loss: Loss = Loss.POWER) -> InstallReport:
        folder = self.folder.parent / version
        script = f'echo "{version}" >> "$DPKG_ROOT/count"' + ("; exit 3" if broken else "")
        operations = [
            install("ivi", version, self.debs.build(version, Fault.NONE)),
            install("radio", version, debs.build(folder, "radio", version, postinst=script)),
        ]
        image = build(folder, self.key, "ivi", version, operations)
        await self.offer(version, Command.INSTALL, image, "image")
        return await self.carry_out(lose_at=lose_at, loss=loss)

    def times(self, version: str) -> int:
        return (self.debs.root / "count").read_text().split().count(version)


@pytest.fixture
async def testbed(tmp_path: Path, matrix: list[Entry]) -> AsyncIterator[ImageBay]:
    testbed = ImageBay(tmp_path)
    assert (await testbed.send("1.0.0", broken=False)).status == "installed"
    yield testbed
    matrix += entries("image", testbed)


@pytest.mark.parametrize("loss", Loss)
async def test_image_is_installed_once_wherever_it_is_interrupted(testbed: ImageBay, loss: Loss) -> None:
    at, number = 1.0, 2
    while at < MAX_WRITES:
        version = f"{number}.0.0"
        report = await testbed.send(version, broken=False, lose_at=at, loss=loss)

        with testbed.judging("forward"):
            assert report.status == "installed", report
            assert {each.id for each in report.operations} >= {"ivi", "radio", "verify"}
            assert debs.installed(testbed.debs.root) == {"ivi": version, "radio": version}
            assert testbed.times(version) <= MOST[loss]
        if not testbed.lost:
            break
        at, number = at + STRIDE[loss], number + 1
    assert not testbed.lost


@pytest.mark.parametrize("loss", Loss)
async def test_broken_image_is_taken_back_wherever_it_is_interrupted(testbed: ImageBay, loss: Loss) -> None:
    at, number = 1.0, 2
    while at < MAX_WRITES:
        report = await testbed.send(f"{number}.0.0", broken=True, lose_at=at, loss=loss)

        with testbed.judging("back"):
            assert (report.status, report.reason) == ("failed", "rolled_back"), report
            assert report.running_version == "1.0.0"
            assert debs.installed(testbed.debs.root) == {"ivi": "1.0.0", "radio": "1.0.0"}
        if not testbed.lost:
            break
        at, number = at + STRIDE[loss], number + 1
    assert not testbed.lost
