"""A version that is older than what runs, or may be, is installed only where the request allows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.boundaries.values import Command
from sota.slm.contract import Testbed
from sota.slm.installers import Place
from sota.slm.installers.loading import load
from sota.slm.model import ResultCode
from sota.slm.versions import why_not_over
from tests.support import debs
from tests.support.deb_workshop import DebWorkshop, codes
from tests.support.slm_subjects import CommandSubject

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [("5.0.0-1", "1.0.0"), ("1:1.0.0", "9.0.0"), ("2.0.0+git20260101", "2.0.0"), ("2.0.0-1", "2.0.0")],
)
async def test_older_debian_version_is_refused_by_the_rules_of_dpkg(
    installed: str, wanted: str, tmp_path: Path
) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(debs.build(tmp_path, "ivi", installed))

    report = await workshop.update(debs.build(tmp_path, "ivi", wanted))

    assert codes(report) == [("verify", ResultCode.OLD_VERSION)]
    assert workshop.states() == {"ivi": f"ii {installed}"}


@pytest.mark.parametrize(("installed", "wanted"), [("2.0.0~rc1", "2.0.0"), ("1.0.0-9", "2.0.0")])
async def test_newer_debian_version_is_installed_by_the_rules_of_dpkg(
    installed: str, wanted: str, tmp_path: Path
) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(debs.build(tmp_path, "ivi", installed))
    assert (await workshop.update(debs.build(tmp_path, "ivi", wanted))).status == "installed"


@pytest.mark.parametrize("installed", ["unknown", "5.0.0-1", "1.0.0+git1"])
async def test_version_that_cannot_be_compared_is_not_replaced_unasked(installed: str, tmp_path: Path) -> None:
    subject = CommandSubject(tmp_path)
    subject.version_file.write_text(f"{installed}\n")
    testbed = Testbed(tmp_path, subject)
    file = tmp_path / "ivi.bin"
    file.write_text("1.0.0\n")
    await testbed.offer("1.0.0", Command.INSTALL, file)

    report = await testbed.carry_out()

    assert codes(report) == [("verify", ResultCode.OLD_VERSION)]
    assert subject.running() == installed


async def test_software_of_the_factory_is_the_oldest(tmp_path: Path) -> None:
    rauc = load("rauc", Place(tmp_path, tmp_path, {"factory_version": "factory"}))
    assert await why_not_over(rauc, "factory", "1.0.0") == ""
    assert "is unknown: a downgrade must be allowed" in await why_not_over(rauc, "another", "1.0.0")
