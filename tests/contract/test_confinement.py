"""A simulated vehicle, whose root is a folder, cannot touch the machine that simulates it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.boundaries.values import Command, Reason
from sota.slm.contract import Fault, Testbed
from tests.support import debs
from tests.support.confined_as_user import CANNOT
from tests.support.hostile import REACHED, SCRIPTS, Witnesses
from tests.support.machine import LACKS, why_no_confinement
from tests.support.slm_subjects import ArchiveSubject, DebSubject

UNPRIVILEGED_UID = 65_534


@pytest.fixture
def witnesses(tmp_path: Path) -> Iterator[Witnesses]:
    with Witnesses(tmp_path / "witness") as made:
        yield made


@pytest.fixture
def confined() -> None:
    why = why_no_confinement()
    if why is not None:
        pytest.skip(f"{LACKS}a simulated vehicle's packages cannot be confined ({why})")


def told(*reports: InstallReport) -> str:
    return "\n".join(operation.result_text for report in reports for operation in report.operations)


async def change(
    testbed: Testbed, version: str, file: Path | None, command: Command = Command.INSTALL
) -> InstallReport:
    await testbed.offer(version, command, file)
    return await testbed.carry_out()


@pytest.mark.usefixtures("confined")
async def test_scripts_that_attack_the_machine_reach_nothing_outside(tmp_path: Path, witnesses: Witnesses) -> None:
    subject = DebSubject(tmp_path)
    testbed = Testbed(tmp_path, subject)
    build = witnesses.build

    reports = [
        await change(testbed, "1.0.0", build(tmp_path, "1.0.0", failing="postinst")),
        await change(testbed, "2.0.0", build(tmp_path, "2.0.0")),
        await change(testbed, "3.0.0", build(tmp_path, "3.0.0")),
        await change(testbed, "3.0.0", None, Command.REMOVE),
    ]

    text = told(*reports)
    assert [str(report.status) for report in reports] == ["failed", "installed", "installed", "installed"]
    assert [script for script in SCRIPTS if f"RAN {script}" not in text] == []
    assert "RAN postrm purge" in text
    assert text.count("RAN ") == text.count("TRIED the sockets")
    assert [line for line in text.splitlines() if line.startswith(REACHED)] == []
    assert witnesses.changes() == []
    devices = [
        path for path in subject.root.rglob("*") if stat.S_ISCHR(mode := path.lstat().st_mode) or stat.S_ISBLK(mode)
    ]
    assert devices == []


def test_script_that_an_ordinary_user_runs_confined_reaches_nothing_outside(witnesses: Witnesses) -> None:
    user = UNPRIVILEGED_UID if os.geteuid() == 0 else os.geteuid()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        script = folder / "script"
        script.write_text(
            f"{witnesses.attack}\necho inside > /etc/made && chown 5:5 /etc/made && chmod 600 /etc/made\n"
        )
        (folder / "root/etc").mkdir(parents=True)
        for path in (folder, folder / "root", folder / "root/etc", script):
            os.chown(path, user, user if os.geteuid() == 0 else -1)
        arguments = [str(user), str(folder / "root"), str(folder / "state"), str(script)]
        command = [sys.executable, "-m", "tests.support.confined_as_user", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

        if done.returncode == CANNOT:
            pytest.skip(f"{LACKS}an ordinary user's vehicle cannot be confined ({done.stdout.strip()})")
        made = folder / "root/etc/made"
        assert (done.returncode, made.read_text(), made.stat().st_uid) == (0, "inside\n", user), done.stdout
    assert "RAN" in done.stdout
    assert REACHED not in done.stdout
    assert witnesses.changes() == []


@pytest.mark.usefixtures("confined")
async def test_step_that_will_not_end_has_ended_with_all_its_processes_before_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sota.slm.contract.testbed.STEP_TIMEOUT_S", 3.0)
    monkeypatch.setattr("sota.slm.step_runner.GRACE_S", 0.3)
    subject = DebSubject(tmp_path)
    testbed = Testbed(tmp_path, subject)
    await testbed.install("1.0.0")
    stubborn = "trap '' TERM; echo begun; (setsid env -i sleep 61.4321 &) ; while :; do sleep 1; done"

    report = await change(testbed, "2.0.0", debs.build(tmp_path, "ivi", "2.0.0", postinst=stubborn))

    assert "begun" in told(report)
    assert "it took more than 3 s" in told(report)
    assert (str(report.status), subject.running()) == ("failed", "1.0.0")
    assert not runs("61.4321")


@pytest.mark.usefixtures("confined")
async def test_scripts_carry_the_mark_of_their_step(tmp_path: Path) -> None:
    file = debs.build(tmp_path, "ivi", "1.0.0", postinst='echo "of $SOTA_STEP"')
    report = await change(Testbed(tmp_path, DebSubject(tmp_path)), "1.0.0", file)
    assert f"of {tmp_path}/testbed/steps/1-1\n" in f"{told(report)}\n"


@pytest.mark.usefixtures("confined")
async def test_absolute_path_of_a_script_leads_into_the_vehicle(tmp_path: Path) -> None:
    subject = DebSubject(tmp_path)
    # Where the vehicle's own file is not at its absolute path, nothing is confined, and nothing may be written.
    script = "test -e /opt/ivi/version && mkdir -p /etc/ivi && echo here > /etc/ivi/made && chown 0:0 /etc/ivi/made"

    report = await change(Testbed(tmp_path, subject), "1.0.0", debs.build(tmp_path, "ivi", "1.0.0", postinst=script))

    assert str(report.status) == "installed", told(report)
    assert (subject.root / "etc/ivi/made").read_text() == "here\n"


@pytest.mark.usefixtures("confined")
async def test_link_of_a_package_leads_no_other_out_of_the_vehicle(tmp_path: Path) -> None:
    subject, outside = DebSubject(tmp_path), tmp_path / "outside"
    outside.mkdir()
    subject.name = "maps"
    testbed = Testbed(tmp_path, subject)

    await change(testbed, "1.0.0", link_to(outside, tmp_path))
    subject.name = "more"
    report = await change(testbed, "1.0.0", through_link(tmp_path))

    assert list(outside.iterdir()) == []
    assert str(report.status) == "failed"


@pytest.mark.parametrize("script", SCRIPTS)
async def test_package_with_scripts_is_refused_where_nothing_can_be_confined(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, witnesses: Witnesses
) -> None:
    without_bubblewrap(tmp_path / "programs", monkeypatch)
    subject = DebSubject(tmp_path)
    file = debs.build(tmp_path, "ivi", "1.0.0", scripts={script: witnesses.attack})

    report = await change(Testbed(tmp_path, subject), "1.0.0", file)

    assert report.reason is Reason.INSTALL_FAILED
    assert f"The package has maintainer scripts ({script})" in told(report)
    assert "apt install bubblewrap" in told(report)
    assert "RAN" not in told(report)
    assert debs.installed(subject.root) == {}
    assert witnesses.changes() == []


async def test_package_without_scripts_is_installed_where_nothing_can_be_confined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_bubblewrap(tmp_path / "programs", monkeypatch)
    subject = DebSubject(tmp_path)
    testbed = Testbed(tmp_path, subject)

    reports = [
        await change(testbed, f"{number}.0.0", debs.build(tmp_path, "ivi", f"{number}.0.0")) for number in (1, 2)
    ]
    assert subject.running() == "2.0.0"
    reports.append(await change(testbed, "2.0.0", None, Command.REMOVE))

    assert [str(report.status) for report in reports] == ["installed"] * 3, told(*reports)
    assert subject.running() is None


async def test_link_that_leads_out_is_refused_where_nothing_can_be_confined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_bubblewrap(tmp_path / "programs", monkeypatch)
    subject, outside = DebSubject(tmp_path), tmp_path / "outside"
    outside.mkdir()
    subject.name = "maps"
    testbed = Testbed(tmp_path, subject)

    await change(testbed, "1.0.0", link_to(outside, tmp_path))
    subject.name = "more"
    report = await change(testbed, "1.0.0", through_link(tmp_path))

    assert "A link leads /opt/maps" in told(report)
    assert list(outside.iterdir()) == []


@pytest.mark.usefixtures("confined")
async def test_scripts_of_what_is_installed_are_not_run_once_nothing_can_be_confined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = DebSubject(tmp_path)
    testbed = Testbed(tmp_path, subject)
    await testbed.install("1.0.0")

    without_bubblewrap(tmp_path / "programs", monkeypatch)
    removed, updated = await testbed.remove("1.0.0"), await testbed.install("2.0.0", Fault.NONE)

    assert "The maintainer scripts of ivi are not run on this machine" in told(removed)
    assert "maintainer scripts" in told(updated)
    assert subject.running() == "1.0.0"


@pytest.mark.usefixtures("confined")
@pytest.mark.parametrize("folder", ["var/lib/dpkg/info", "var/log"])
async def test_link_that_a_script_leaves_does_not_lead_us_out_of_the_vehicle(folder: str, tmp_path: Path) -> None:
    subject, outside = DebSubject(tmp_path), tmp_path / "outside"
    outside.mkdir()
    testbed = Testbed(tmp_path, subject)
    await testbed.install("1.0.0")
    shutil.move(subject.root / folder, outside / "moved")
    (subject.root / folder).symlink_to(outside / "moved")
    before = sorted(outside.rglob("*"))

    report = await testbed.install("2.0.0")

    assert f"/{folder} leads out of the vehicle's root" in told(report)
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("link", ["opt/archives", "opt/archives/ivi"])
async def test_link_does_not_lead_an_archive_out_of_the_vehicle(link: str, tmp_path: Path) -> None:
    subject, outside = ArchiveSubject(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (subject.root / link).parent.mkdir(parents=True)
    (subject.root / link).symlink_to(outside)

    report = await Testbed(tmp_path, subject).install("1.0.0")

    assert "leads out of the vehicle's root" in told(report)
    assert list(outside.iterdir()) == []


def runs(argument: str) -> bool:
    """Return whether some process of the machine has an argument."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if argument.encode() in file.read_bytes().split(b"\0"):
                return True
    return False


def without_bubblewrap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only programs that installing needs in the search path."""
    folder.mkdir()
    for program in ("dpkg", "dpkg-deb", "dpkg-query", "tar", "rm", "sh"):
        found = shutil.which(program)
        assert found is not None
        (folder / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))


def link_to(target: Path, folder: Path) -> Path:
    """Build a package that brings /opt/maps as a link to a folder."""
    return debs.build_tree(folder, "maps", "1.0.0", lambda tree: (tree / "opt/maps").symlink_to(target))


def through_link(folder: Path) -> Path:
    """Build a package with a file below /opt/maps."""
    return debs.build_tree(folder, "more", "1.0.0", lambda tree: debs.write(tree / "opt/maps/file", "outside\n"))
