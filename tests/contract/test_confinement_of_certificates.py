"""Debian's ca-certificates on a simulated vehicle: its scripts write, and at a purge remove, certificates."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from sota.boundaries.values import Command
from sota.slm.contract import Testbed
from tests.support import debs
from tests.support.machine import LACKS, why_no_confinement
from tests.support.real_root import rebuild
from tests.support.slm_subjects import DebSubject

CERTIFICATES = (Path("/etc/ca-certificates.conf"), Path("/etc/ssl/certs"))


@pytest.fixture
def certificates_deb(tmp_path: Path) -> Path:
    """The package as its registry has it now."""
    why = why_no_confinement()
    if why is not None:
        pytest.skip(f"{LACKS}a simulated vehicle's packages cannot be confined ({why})")
    folder = tmp_path / "download"
    folder.mkdir()
    folder.chmod(0o777)
    if shutil.which("apt-get") is None:
        pytest.skip(f"{LACKS}Debian's ca-certificates cannot be fetched (there is no apt-get)")
    command = ["apt-get", "-qq", "download", "ca-certificates"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=120)
    found = list(folder.glob("ca-certificates_*.deb"))
    if done.returncode != 0 or not found:
        pytest.skip(f"{LACKS}Debian's ca-certificates cannot be fetched ({done.stderr.strip().splitlines()[-1:]})")
    return found[0]


def state_of_host() -> str:
    found = hashlib.sha256()
    for place in CERTIFICATES:
        for path in sorted((place, *place.rglob("*"))):
            if path.is_symlink() or path.exists():
                state = path.lstat()
                found.update(f"{path} {state.st_ino} {state.st_mode} {state.st_mtime_ns} {state.st_size}\n".encode())
    return found.hexdigest()


async def install(testbed: Testbed, name: str, version: str, file: Path) -> str:
    testbed.subject.name = name
    await testbed.offer(version, Command.INSTALL, file)
    report = await testbed.carry_out()
    return "\n".join([str(report.status), *(operation.result_text for operation in report.operations)])


async def test_certificates_of_the_machine_outlive_those_of_a_simulated_vehicle(
    certificates_deb: Path, tmp_path: Path
) -> None:
    subject, witness = DebSubject(tmp_path), tmp_path / "witness"
    testbed = Testbed(tmp_path, subject)
    harmless = debs.build(tmp_path, "ivi", "1.0.0", postinst=f"! touch {witness}")
    # Nothing goes on that would not be confined: this package's scripts would act on the machine that runs the tests.
    assert (await install(testbed, "ivi", "1.0.0", harmless)).startswith("installed")
    assert not witness.exists()
    before = state_of_host()

    # First without what it depends on: it is discarded again, with all that its scripts do at a purge.
    discarded = await install(
        testbed, "ca-certificates", "1.0.0", rebuild(certificates_deb, tmp_path / "first", "1.0.0")
    )
    for name in ("openssl", "debconf"):
        await install(testbed, name, "9.0.0", debs.build(tmp_path, name, "9.0.0"))
    told = await install(testbed, "ca-certificates", "2.0.0", rebuild(certificates_deb, tmp_path / "second", "2.0.0"))
    await testbed.remove("2.0.0")

    assert discarded.startswith("failed")
    assert "depends on openssl" in discarded
    assert "Setting up ca-certificates" in told
    assert state_of_host() == before
    assert debs.installed(subject.root).get("ca-certificates") is None
