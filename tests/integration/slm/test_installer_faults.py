"""What the vehicle's disk and its package database do to an update: each ends in a report with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sota.boundaries.values import Command, Reason
from sota.slm.contract import Fault, Testbed
from sota.slm.installers import Place
from sota.slm.installers.loading import load
from sota.slm.model import NOT_BEGUN, Finished, Found, Health, Job, ResultCode, Run, Step, StepRecord, decide
from tests.support import debs
from tests.support.deb_workshop import DebWorkshop
from tests.support.machine import LACKS, why_no_mount
from tests.support.slm_subjects import ArchiveSubject, DebSubject, SubjectOnDisk, small_disk

pytestmark = pytest.mark.anyio

HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m") as mounted:
        if mounted is None:
            pytest.skip(f"{LACKS}a disk cannot be mounted, to be made read-only ({why_no_mount()})")
        yield mounted


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a lock file of dpkg in another process, as apt does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.communicate()


def fill(disk: Path) -> None:
    """Fill a small disk: no bytes and no inodes are left."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))
    with contextlib.suppress(OSError):
        for number in range(30):
            (disk / f"filler-{number}").touch()


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize("kind", [DebSubject, ArchiveSubject], ids=lambda kind: kind.installer_name)
async def test_read_only_root_fails_the_update_with_a_reason(
    kind: type[SubjectOnDisk], tmp_path: Path, disk: Path
) -> None:
    subject = kind(tmp_path, disk=disk)
    testbed = Testbed(tmp_path, subject)
    assert (await testbed.install("1.0.0")).status == "installed"
    file = subject.build("2.0.0", Fault.NONE)
    remount(disk, "ro")
    try:
        await testbed.offer("2.0.0", Command.INSTALL, file)
        report = await testbed.carry_out()
    finally:
        remount(disk, "rw")

    assert (report.status, report.running_version) == ("failed", "1.0.0")
    assert report.reason in {Reason.INSTALL_FAILED, Reason.ROLLED_BACK}
    assert "ead-only" in " ".join(operation.result_text for operation in report.operations)
    assert (await testbed.install("3.0.0")).status == "installed"


@pytest.mark.parametrize("kind", [DebSubject, ArchiveSubject], ids=lambda kind: kind.installer_name)
async def test_root_that_was_read_only_at_the_start_takes_updates_later(
    kind: type[SubjectOnDisk], tmp_path: Path, disk: Path
) -> None:
    subject = kind(tmp_path, disk=disk)
    remount(disk, "ro")
    try:
        testbed = Testbed(tmp_path, subject)
        report = await testbed.install("1.0.0")
    finally:
        remount(disk, "rw")
    assert (report.status, report.operations[-1].result_code) == ("failed", ResultCode.INTERNAL_ERROR)
    assert "Read-only file system" in report.operations[-1].result_text
    assert (await testbed.install("1.0.0")).status == "installed"


@pytest.mark.parametrize("damage", ["missing", "empty"])
async def test_lost_status_file_of_dpkg_is_not_an_empty_vehicle(damage: str, tmp_path: Path) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0"), debs.build(tmp_path, "nav", "1.0.0"))
    status = workshop.database / "status"
    before = status.read_bytes()
    status.unlink()
    if damage == "empty":
        status.touch()

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))

    assert (report.status, report.operations[-1].result_code) == ("failed", ResultCode.INTERNAL_ERROR)
    assert "2 packages are in its folder info" in report.operations[-1].result_text
    assert not status.exists() or status.read_bytes() == b""
    assert workshop.read("/opt/ivi/version") == "1.0.0\n"
    status.write_bytes(before)
    assert (await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))).status == "installed"
    assert workshop.states() == {"ivi": "ii 2.0.0", "nav": "ii 1.0.0"}


async def test_lost_lists_of_dpkg_are_not_packages_without_files(tmp_path: Path) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0", files={"/opt/ivi/old": "old\n"}))
    (workshop.database / "info").rename(tmp_path / "info")

    report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))

    assert (report.status, report.operations[-1].result_code) == ("failed", ResultCode.INTERNAL_ERROR)
    assert "has no list of files" in report.operations[-1].result_text
    assert workshop.read("/opt/ivi/version") == "1.0.0\n"


@pytest.mark.parametrize("is_begun", [True, False], ids=["the file", "its folder"])
async def test_full_disk_for_what_going_back_needs_refuses_the_update(is_begun: bool, tmp_path: Path) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0"))
    (tmp_path / "testbed").mkdir()
    with small_disk(workshop.kept, "64k,nr_inodes=20") as mounted:
        if mounted is None:
            pytest.skip(f"{LACKS}a small disk cannot be mounted, to be filled ({why_no_mount()})")
        if is_begun:
            (workshop.kept / "before").mkdir()
        fill(workshop.kept)
        report = await workshop.update(debs.build(tmp_path, "ivi", "2.0.0"))

    assert (report.status, report.operations[-1].result_code) == ("failed", ResultCode.DISK_FULL)
    assert workshop.states() == {"ivi": "ii 1.0.0"}


@pytest.mark.parametrize("lock", ["lock-frontend", "lock"])
async def test_update_waits_for_other_users_of_the_package_database(lock: str, tmp_path: Path) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.furnish(debs.build(tmp_path, "ivi", "1.0.0"))
    file = debs.build(tmp_path, "ivi", "2.0.0")
    with held(workshop.database / lock):
        update = asyncio.create_task(workshop.update(file))
        done, _ = await asyncio.wait([update], timeout=1.0)

    assert not done
    assert (await update).status == "installed"
    assert workshop.states() == {"ivi": "ii 2.0.0"}


async def started(workshop: DebWorkshop, file: Path, lock_timeout_s: float) -> asyncio.subprocess.Process:
    """Start the step that installs a first version, without anything around it."""
    installer = load("deb", Place(workshop.root, workshop.folder / "state", lock_timeout_s=lock_timeout_s))
    installer.prepare()
    job = Job("ivi", "1.0.0", Command.INSTALL, previous_version=None, can_restore=False)
    command = installer.command(Step.INSTALL, job, file, None)
    return await asyncio.create_subprocess_exec(
        *command.arguments, env=command.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


@pytest.mark.parametrize("lock", ["lock-frontend", "lock"])
async def test_step_that_meets_a_lock_waits_for_it(lock: str, tmp_path: Path) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.subject.installer().prepare()
    with held(workshop.database / lock):
        step = await started(workshop, debs.build(tmp_path, "ivi", "1.0.0"), 60)
        waiting = asyncio.create_task(step.communicate())
        done, _ = await asyncio.wait([waiting], timeout=1.0)

    assert not done
    await waiting
    assert (step.returncode, workshop.states()) == (0, {"ivi": "ii 1.0.0"})


async def test_step_that_meets_a_lock_for_too_long_touches_nothing_and_is_tried_again(tmp_path: Path) -> None:
    workshop = DebWorkshop(tmp_path)
    workshop.subject.installer().prepare()
    with held(workshop.database / "lock-frontend"):
        step = await started(workshop, debs.build(tmp_path, "ivi", "1.0.0"), 0.2)
        told, _ = await step.communicate()
    assert (step.returncode, workshop.states()) == (NOT_BEGUN, {})
    assert b"locked by another process" in told

    held_up = StepRecord(Step.INSTALL, NOT_BEGUN, told.decode())
    job = Job("ivi", "2.0.0", Command.INSTALL, previous_version="1.0.0", can_restore=True)
    before, broken = Found(Health.INSTALLED, "1.0.0"), Found(Health.UNCONFIGURED, "2.0.0")
    assert decide(job, [held_up], before) == Run(Step.REINSTALL)
    failed = [StepRecord(Step.INSTALL, 1), StepRecord(Step.RESTORE, NOT_BEGUN)]
    assert decide(job, failed, broken) == Run(Step.RESTORE)
    ended = decide(job, [held_up] * 6, before)
    assert isinstance(ended, Finished)
    assert ended.code is ResultCode.INTERNAL_ERROR
