"""Debian packages that dpkg would not let go: failing scripts, Essential and Protected, configuration that was left."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.boundaries.values import Reason
from tests.support import debs
from tests.support.deb_workshop import BREAK, FAIL_ALL, DebWorkshop, codes

pytestmark = pytest.mark.anyio

CONF = "/etc/ivi.conf"


@pytest.fixture
def workshop(tmp_path: Path) -> DebWorkshop:
    return DebWorkshop(tmp_path)


@pytest.mark.parametrize("field", ["Essential", "Protected"])
async def test_first_version_that_fails_goes_although_it_must_not_be_removed(
    field: str, workshop: DebWorkshop, tmp_path: Path
) -> None:
    report = await workshop.update(debs.build(tmp_path, "ivi", "1.0.0", postinst=BREAK, fields={field: "yes"}))
    assert codes(report) == [("install", 4), ("discard", 0), ("verify", 4)]
    assert workshop.states() == {}
    assert workshop.read("/opt/ivi/version") is None


async def test_essential_package_of_the_factory_is_not_removed_by_force(workshop: DebWorkshop, tmp_path: Path) -> None:
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0", fields={"Essential": "yes"}))
    report = await workshop.remove("ivi", "1.0.0")
    assert (report.status, workshop.states()) == ("failed", {"ivi": "ii 1.0.0"})


async def test_first_version_whose_every_script_fails_goes_and_its_repair_is_installed(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    report = await workshop.update(debs.build(tmp_path, "ivi", "1.0.0", scripts=FAIL_ALL))
    assert (report.status, workshop.states()) == ("failed", {})
    assert "replaced without them" in " ".join(operation.result_text for operation in report.operations)

    assert (await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))).status == "installed"


async def test_update_whose_every_script_fails_is_taken_back(workshop: DebWorkshop, tmp_path: Path) -> None:
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0"))
    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0", scripts=FAIL_ALL))
    assert (report.reason, workshop.states()) == (Reason.ROLLED_BACK, {"ivi": "ii 1.0.0"})
    assert (await workshop.update(debs.build(tmp_path, "ivi", "3.0.0"))).status == "installed"


async def test_package_that_was_stuck_before_is_repaired(workshop: DebWorkshop, tmp_path: Path) -> None:
    workshop.furnish(debs.build(tmp_path, "other", "1.0.0"))
    workshop.dpkg("--install", str(debs.build(tmp_path, "ivi", "1.0.0", scripts=FAIL_ALL)))
    assert workshop.states()["ivi"] == "iF 1.0.0"

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))

    assert (report.status, workshop.states()["ivi"]) == ("installed", "ii 2.0.0")


async def test_configuration_that_a_removed_package_had_left_survives_a_failed_installation(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0", files={CONF: "of 1.0.0\n"}, conffiles=[CONF]))
    (workshop.root / CONF.lstrip("/")).write_text("the owner's\n")
    workshop.dpkg("--remove", "ivi")
    files = {CONF: "of 2.0.0\n", "/etc/ivi.more": "more\n"}

    report = await workshop.update(
        debs.build(tmp_path, "ivi", "2.0.0", files=files, conffiles=[*files], postinst=BREAK)
    )

    assert (report.status, report.running_version) == ("failed", None)
    assert workshop.states()["ivi"].startswith("rc")
    assert (workshop.read(CONF), workshop.read("/etc/ivi.more")) == ("the owner's\n", None)
    assert workshop.read("/opt/ivi/version") is None


async def test_unchanged_configuration_that_a_removed_package_had_left_is_as_it_was(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0", files={CONF: "of 1.0.0\n"}, conffiles=[CONF]))
    workshop.dpkg("--remove", "ivi")
    second = debs.build(tmp_path, "ivi", "2.0.0", files={CONF: "of 2.0.0\n"}, conffiles=[CONF], postinst=BREAK)

    assert (await workshop.update(second)).status == "failed"

    assert workshop.read(CONF) == "of 1.0.0\n"


async def test_configuration_that_the_new_version_ships_as_a_plain_file_comes_back_as_it_was(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0", files={CONF: "of 1.0.0\n"}, conffiles=[CONF]))
    (workshop.root / CONF.lstrip("/")).write_text("the owner's\n")

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0", files={CONF: "of 2.0.0\n"}, postinst=BREAK))

    assert (report.reason, workshop.read(CONF)) == (Reason.ROLLED_BACK, "the owner's\n")


async def test_file_that_a_failed_first_version_had_diverted_is_in_its_place_again(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(debs.build(tmp_path, "other", "1.0.0", files={"/usr/sbin/tool": "other's\n"}))
    divert = "dpkg-divert --package ivi --add --rename --divert /usr/sbin/tool.real /usr/sbin/tool"
    scripts = {**FAIL_ALL, "preinst": divert}

    report = await workshop.update(
        debs.build(tmp_path, "ivi", "1.0.0", files={"/usr/sbin/tool": "ivi's\n"}, scripts=scripts)
    )

    assert (report.status, workshop.states()) == ("failed", {"other": "ii 1.0.0"})
    assert (workshop.read("/usr/sbin/tool"), workshop.read("/usr/sbin/tool.real")) == ("other's\n", None)
