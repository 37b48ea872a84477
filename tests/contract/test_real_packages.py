"""Real Debian packages in a whole root: installed, broken at each maintainer script, updated, taken back, removed."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.boundaries.values import Command
from sota.slm.contract import Testbed
from tests.support.machine import LACKS, why_no_real_packages
from tests.support.real_root import BESIDE, PACKAGES, CannotMake, RealSubject, difference, look, make_root, rebuild
from tests.support.thorough import IS_THOROUGH

SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
KEPT = (
    "base-files",
    "cron",
    "gzip",
    "hostname",
    "libc-bin",
    "sed",
    "mawk",
    "passwd",
    "procps",
    "tzdata",
    "adduser",
    "ucf",
)
"""Essential, or others in the root depend on them: they cannot be removed."""

pytestmark = pytest.mark.skipif(not IS_THOROUGH, reason="a whole Debian is downloaded: make faults")


@pytest.fixture(scope="module")
def whole_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    why = why_no_real_packages()
    if why is not None:
        pytest.skip(f"{LACKS}real packages cannot be installed in a whole root ({why})")
    try:
        made = make_root(tmp_path_factory.mktemp("real"))
    except CannotMake as error:
        pytest.skip(f"{LACKS}real packages cannot be installed in a whole root ({error})")
    yield made
    subprocess.run(["rm", "-rf", made], check=True, timeout=300)


@dataclass
class Workshop:
    """One package with its vehicle, and its versions, each later than the one before."""

    folder: Path
    root: Path
    name: str
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.subject = RealSubject(self.folder / "subject", self.root, self.name)
        self.testbed = Testbed(self.folder, self.subject)  # type: ignore[arg-type]
        (self.deb,) = (self.root.parent / "debs").glob(f"{self.name}_*.deb")

    async def install(self, failing: str = "", *, unwell: bool = False) -> tuple[str, InstallReport]:
        """Have the next version installed; returns it with the report."""
        version = f"90000.{next(self.versions)}.0"
        if unwell:
            self.subject.unwell.touch()
        file = rebuild(self.deb, self.folder / "build", version, failing)
        await self.testbed.offer(version, Command.INSTALL, file, allow_downgrade=True)  # an epoch is above any of ours
        report = await self.testbed.carry_out()
        self.subject.unwell.unlink(missing_ok=True)
        self.check(report)
        return version, report

    async def remove(self) -> InstallReport:
        """Have the package removed."""
        await self.testbed.offer(self.subject.running() or "", Command.REMOVE, None)
        report = await self.testbed.carry_out()
        self.check(report)
        return report

    def repair(self, script: str) -> None:
        """Take a script away that fails."""
        for found in (self.root / "var/lib/dpkg/info").glob(f"{self.name}*.{script}"):
            found.unlink()

    def check(self, report: InstallReport) -> None:
        """Check that the report agrees with dpkg's database."""
        assert (report.running_version or None) == self.subject.running(), told(report)


def told(report: InstallReport) -> str:
    return "\n".join(f"[{each.id} {each.result_code}] {each.result_text}" for each in report.operations)


@pytest.fixture
def workshop(whole_root: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Workshop:
    return Workshop(tmp_path, whole_root, request.param)


@pytest.mark.parametrize("workshop", PACKAGES, indirect=True)
async def test_real_package_keeps_the_contract(workshop: Workshop) -> None:
    for failure in ({"failing": "preinst"}, {"failing": "postinst"}, {"unwell": True}):
        before = look(workshop.root)
        _, report = await workshop.install(**failure)
        assert str(report.status) == "failed", told(report)
        assert difference(before, look(workshop.root)) == [], f"{failure}: {told(report)}"

    first, report = await workshop.install()
    assert (str(report.status), workshop.subject.running()) == ("installed", first), told(report)

    for script in ("prerm", "postrm"):
        broken, report = await workshop.install(script)
        assert (str(report.status), workshop.subject.running()) == ("installed", broken), told(report)
        before = look(workshop.root)
        later, report = await workshop.install()
        if str(report.status) == "failed":  # it may refuse to be replaced; a workshop helps then
            assert difference(before, look(workshop.root)) == [], told(report)
            workshop.repair(script)
            later, report = await workshop.install()
        assert (str(report.status), workshop.subject.running()) == ("installed", later), told(report)

    before = look(workshop.root)
    _, report = await workshop.install(unwell=True)
    assert str(report.status) == "failed"
    assert difference(before, look(workshop.root)) == [], told(report)


@pytest.mark.parametrize("workshop", sorted(set(PACKAGES) - set(KEPT)), indirect=True)
async def test_real_package_is_removed_and_installed_again(workshop: Workshop) -> None:
    await workshop.install()  # whatever was tried with it before

    report = await workshop.remove()
    assert (str(report.status), workshop.subject.running()) == ("installed", None), told(report)
    for script in ("preinst", "postinst"):
        _, report = await workshop.install(script)
        assert (str(report.status), workshop.subject.running()) == ("failed", None), told(report)
    last, report = await workshop.install()
    assert (str(report.status), workshop.subject.running()) == ("installed", last), told(report)


@pytest.mark.parametrize("workshop", BESIDE, indirect=True)
async def test_what_a_real_package_replaces_is_there_again_after_its_failure(workshop: Workshop) -> None:
    before = look(workshop.root)

    _, report = await workshop.install("postinst")

    assert str(report.status) == "failed", told(report)
    assert difference(before, look(workshop.root)) == [], told(report)
