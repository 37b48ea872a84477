"""What a Debian package does to others: what it replaced comes back when it fails, and what it breaks it fails for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sota.boundaries.values import Reason
from sota.slm.contract import Loss
from sota.slm.model import ResultCode
from tests.support import debs
from tests.support.deb_workshop import BREAK, DebWorkshop, codes
from tests.support.thorough import IS_THOROUGH

pytestmark = pytest.mark.anyio

RENAMES = {"Conflicts": "old", "Replaces": "old", "Provides": "old"}
CONF = "/etc/old.conf"
PLACES = [place / 2 for place in range(2, 16)] if IS_THOROUGH else (3.5, 5)
"""The writes to the journal before (n) or after (n.5) which the power goes, or the program alone."""


@pytest.fixture
def workshop(tmp_path: Path) -> DebWorkshop:
    return DebWorkshop(tmp_path)


async def test_package_that_was_renamed_away_comes_back_when_the_new_one_fails(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    files = {"/opt/shared/file": "old\n", CONF: "of the maker\n"}
    workshop.furnish(
        debs.build(tmp_path, "old", "1.0.0", files=files, conffiles=[CONF]),
        debs.build(tmp_path, "user", "1.0.0", depends="old"),
    )
    (workshop.root / CONF.lstrip("/")).write_text("the owner's\n")
    before = workshop.states()

    report = await workshop.update(
        debs.build(tmp_path, "ivi", "2.0.0", files={"/opt/shared/file": "new\n"}, postinst=BREAK, fields=RENAMES)
    )

    assert (report.status, codes(report)) == ("failed", [("install", 4), ("discard", 0), ("verify", 4)])
    assert workshop.states() == before
    assert (workshop.read("/opt/shared/file"), workshop.read(CONF)) == ("old\n", "the owner's\n")
    assert workshop.read("/opt/old/version") == "1.0.0\n"


async def test_update_that_takes_in_another_package_brings_both_back_when_it_fails(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(
        debs.build(tmp_path, "old", "1.0.0", files={"/opt/shared/file": "old\n"}),
        debs.build(tmp_path, "ivi", "1.0.0", fields={"Pre-Depends": "old"}),
    )
    before = workshop.states()

    report = await workshop.update(
        debs.build(tmp_path, "ivi", "2.0.0", files={"/opt/shared/file": "new\n"}, postinst=BREAK, fields=RENAMES)
    )

    assert (report.reason, report.running_version) == (Reason.ROLLED_BACK, "1.0.0")
    assert workshop.states() == before
    assert workshop.read("/opt/shared/file") == "old\n"


async def test_files_that_were_taken_over_are_given_back(workshop: DebWorkshop, tmp_path: Path) -> None:
    workshop.furnish(
        debs.build(tmp_path, "old", "1.0.0", files={"/opt/shared/file": "old\n"}),
        debs.build(tmp_path, "ivi", "1.0.0"),
    )
    replaces = {"Replaces": "old (<< 2.0.0)"}

    report = await workshop.update(
        debs.build(tmp_path, "ivi", "2.0.0", files={"/opt/shared/file": "new\n"}, postinst=BREAK, fields=replaces)
    )

    assert (report.reason, workshop.states()) == (Reason.ROLLED_BACK, {"old": "ii 1.0.0", "ivi": "ii 1.0.0"})
    assert workshop.read("/opt/shared/file") == "old\n"
    assert "/opt/shared/file" in workshop.dpkg("--listfiles", "old")


async def test_renamed_package_installs(workshop: DebWorkshop, tmp_path: Path) -> None:
    workshop.furnish(debs.build(tmp_path, "old", "1.0.0"), debs.build(tmp_path, "user", "1.0.0", depends="old"))
    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0", fields=RENAMES))
    assert report.status == "installed"
    assert {"ivi": "ii 2.0.0", "user": "ii 1.0.0"}.items() <= workshop.states().items()
    assert list(workshop.kept.glob("before/*")) == []


@pytest.mark.parametrize("loss", Loss)
async def test_way_back_of_a_renamed_package_survives_a_loss_at_each_write(
    loss: Loss, workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(debs.build(tmp_path, "old", "1.0.0"), debs.build(tmp_path, "user", "1.0.0", depends="old"))
    before = workshop.states()
    for number, lose_at in enumerate(PLACES, start=2):
        file = debs.build(tmp_path, "ivi", f"{number}.0.0", postinst=BREAK, fields=RENAMES)
        report = await workshop.update(file, lose_at=lose_at, loss=loss)
        assert (report.status, workshop.states()) == ("failed", before), (loss, lose_at)


TRIGGERS = {"postinst": '[ "$1" != triggered ] || [ ! -e "$DPKG_ROOT/opt/ivi/bad" ]'}


@pytest.mark.parametrize("kind", ["interest", "interest-noawait"])
async def test_update_whose_trigger_breaks_another_package_is_taken_back(
    kind: str, workshop: DebWorkshop, tmp_path: Path
) -> None:
    scripts = {**TRIGGERS, "triggers": f"{kind} /opt/ivi"}
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0"), debs.build(tmp_path, "cache", "1.0.0", scripts=scripts))
    before = workshop.states()

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0", files={"/opt/ivi/bad": "bad\n"}))

    assert (report.status, report.reason, report.running_version) == ("failed", Reason.ROLLED_BACK, "1.0.0")
    assert workshop.states() == before


async def test_update_after_which_another_packages_dependency_does_not_hold_is_taken_back(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    workshop.furnish(
        debs.build(tmp_path, "ivi", "1.0.0"), debs.build(tmp_path, "nav", "1.0.0", depends="ivi (<< 2.0.0)")
    )

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))

    assert (report.status, report.reason, report.running_version) == ("failed", Reason.ROLLED_BACK, "1.0.0")
    expected = [("install", 0), ("compare", ResultCode.DEPENDENCY_FAILURE), ("restore", 0)]
    assert codes(report) == [*expected, ("verify", ResultCode.DEPENDENCY_FAILURE)]
    assert "nav 1.0.0 needs ivi (<< 2.0.0)" in report.operations[1].result_text
    assert workshop.states() == {"ivi": "ii 1.0.0", "nav": "ii 1.0.0"}


async def test_removal_whose_trigger_breaks_another_package_is_taken_back(
    workshop: DebWorkshop, tmp_path: Path
) -> None:
    postinst = '[ "$1" != triggered ] || [ -e "$DPKG_ROOT/opt/ivi/version" ]'
    scripts = {"postinst": postinst, "triggers": "interest-noawait /opt/ivi"}
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0"), debs.build(tmp_path, "cache", "1.0.0", scripts=scripts))
    before = workshop.states()

    report = await workshop.remove("ivi", "1.0.0")

    assert (report.status, report.running_version, workshop.states()) == ("failed", "1.0.0", before)
