"""A vehicle in a workshop whose Debian packages are installed, broken and taken back: real dpkg, a root of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.boundaries.values import Command
from sota.slm.contract import Loss, Testbed
from tests.support import debs
from tests.support.machine import LACKS, why_no_confinement
from tests.support.slm_subjects import DebSubject

BREAK = 'echo "the display does not answer" >&2; exit 3'
FAIL_ALL = {script: f"echo {script} fails; exit 1" for script in ("prerm", "postinst", "postrm")}


class DebWorkshop:
    """One vehicle with dpkg in ``folder``. Packages are built with :func:`tests.support.debs.build`."""

    def __init__(self, folder: Path) -> None:
        why = why_no_confinement()
        if why is not None:
            pytest.skip(f"{LACKS}a simulated vehicle's packages cannot be confined ({why})")
        self.folder = folder
        self.subject = DebSubject(folder)
        self.root = self.subject.root
        self.database = self.root / "var/lib/dpkg"
        self.kept = folder / "testbed" / "kept"
        self.testbed = Testbed(folder, self.subject)

    def furnish(self, *packages: Path) -> None:
        """Install packages by dpkg alone, as a factory does."""
        debs.install(self.root, *packages)

    async def update(self, file: Path, *, lose_at: float = 0, loss: Loss = Loss.POWER) -> InstallReport:
        """Install a package as an update and return the report; for a loss see :meth:`Testbed.carry_out` for a loss."""
        self.subject.name, version = file.name.removesuffix(".deb").split("_")
        await self.testbed.offer(version, Command.INSTALL, file)
        return await self.testbed.carry_out(lose_at=lose_at, loss=loss)

    async def remove(self, name: str, version: str) -> InstallReport:
        """Remove a package by an update."""
        self.subject.name = name
        return await self.testbed.remove(version)

    def dpkg(self, *arguments: str) -> str:
        """Run dpkg by hand on the vehicle's root, as a mechanic does; returns what it prints."""
        forced = [f"--force-{what}" for what in ("not-root", "bad-path", "script-chrootless", "confold", "confdef")]
        command = ["dpkg", f"--root={self.root}", f"--log={self.root}/var/log/dpkg.log", *forced, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def states(self) -> dict[str, str]:
        """Read the package database itself: name to ``ii 1.0.0`` and the like, of everything that it knows."""
        answer = subprocess.run(
            ["dpkg-query", f"--admindir={self.database}", "-W", "-f=${Package}\t${db:Status-Abbrev} ${Version}\n"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return dict(line.replace("  ", " ").split("\t") for line in answer.stdout.splitlines())

    def kept_files(self) -> list[str]:
        """List the files that are kept for going back."""
        return sorted(file.name for file in self.kept.glob("*.deb"))

    def read(self, path: str) -> str | None:
        """Return a file's text, or None without such a file."""
        file = self.root / path.lstrip("/")
        return file.read_text() if file.exists() else None


def codes(report: InstallReport) -> list[tuple[str, int]]:
    """Return what a report says of each step."""
    return [(operation.id, operation.result_code) for operation in report.operations]
