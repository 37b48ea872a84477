"""Carries out one step of a Debian package, as a separate process that runs dpkg as often as necessary.

Rules kept here:

* the step holds ``lock-frontend`` for all of its work, as apt does; while another process holds it nothing begins;
* a rollback restores the recorded state: the package, others that dpkg removed or took files from, configuration that
  was changed in the vehicle or left by a removed package;
* if the scripts of the failed version keep dpkg from replacing it, they are removed as the last resort;
* a package that the step installed is removed even if it is ``Essential`` or ``Protected``; an earlier one is not.

``python -m sota.slm.installers.deb_steps SETUP STEP``; SETUP is JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from sota.kit.files.durable import shared_folder, write_atomic
from sota.slm.installers.deb_copy import conffiles_of, info_file, locate
from sota.slm.installers.deb_record import FORMAT, Package, Record, diverted_since, is_lost, parse, read_record
from sota.slm.installers.steps import LOCK_POLL_S, try_lock
from sota.slm.model import NOT_BEGUN, Step
from sota.slm.step_processes import VARIABLE, adopt_orphans

LOCKS = ("lock-frontend", "lock")
"""A front end such as apt holds the first for all of its work, and the second while dpkg does not run."""
QUERY_TIMEOUT_S = 30.0
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
WHOLE_STATE = ("--force-depends", "--force-breaks", "--force-conflicts")
"""For restoring, in any order, packages that were installed together before."""
OWN = ("--force-remove-essential", "--force-remove-protected")


class Dpkg(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The command lines of dpkg and dpkg-divert without their own arguments; ``files`` are paths as dpkg sees them."""

    arguments: tuple[str, ...]
    divert: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, str]


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One package: ``file`` is what is installed or restored, ``before`` the folder of the record; empty if none."""

    dpkg: Dpkg
    root: str
    name: str
    version: str
    previous_version: str | None
    file: str
    before: str
    lock_timeout_s: float


class LockHeld(Exception):
    """Another process uses dpkg's database."""


class Steps:
    """The steps of one package."""

    def __init__(self, setup: Setup, record: Record | None) -> None:
        self._setup = setup
        self._file = setup.dpkg.files.get(setup.file, "")
        self._record = record or Record({})
        self._is_recorded = record is not None
        self._root = Path(setup.root)
        self._database = self._root / "var/lib/dpkg"

    def carry_out(self, step: Step) -> int:
        """Carry out a step and return its exit code."""
        code = self._act(step)
        self._restore_selections()
        return code

    def _act(self, step: Step) -> int:
        if step in {Step.INSTALL, Step.REINSTALL}:
            return self._install()
        if step is Step.REPAIR:
            return self._configure([self._setup.name])
        if step is Step.RESTORE:
            return self._restore()
        if step is Step.DISCARD:
            return self._discard()
        if step is Step.REMOVE:
            return self._dpkg("--remove", self._setup.name)
        print(f"dpkg has no command to {step} {self._setup.name}", file=sys.stderr)
        return 1

    def _install(self) -> int:
        code = self._dpkg("--install", self._file)
        was, found = self._record.target(self._setup.name), self._target()
        stuck = was is not None and not was.is_absent and not was.is_installed
        if code != 0 and was and found and stuck and found.version == was.version and not found.is_installed:
            self._remove_scripts(found)
            return self._dpkg("--install", self._file)
        return code

    def _restore(self) -> int:
        code = self._dpkg("--install", self._file, *self._lost())
        found = self._target()
        if not self._is_as_before():
            if found is not None and found.version == self._setup.version != self._setup.previous_version:
                self._remove_scripts(found)
            code = self._dpkg(*WHOLE_STATE, "--install", self._file, *self._lost())
        if self._is_as_before():
            self._remove_diversions()
        self._configure([])
        self._restore_configuration()
        return 0 if self._is_as_before() else code or 1

    def _discard(self) -> int:
        was, lost = self._record.target(self._setup.name), self._lost()
        own = self._is_recorded and (was is None or was.is_absent)
        forced = ("--force-remove-reinstreq", *(OWN if own else ()), *(("--force-depends",) if lost else ()))
        remove = (*forced, "--purge" if was is None else "--remove", self._setup.name)
        code = 0 if self._is_gone() else self._dpkg(*remove)
        found = self._target()
        if found is not None and not self._is_gone():
            self._remove_scripts(found)
            code = self._dpkg(*remove)
        if self._is_gone():
            self._remove_diversions()
        if lost and self._dpkg("--install", *lost) != 0:
            code = self._dpkg(*WHOLE_STATE, "--install", *self._lost())
        self._configure([])
        self._restore_configuration()
        return 0 if self._is_gone() and not self._lost() else code or 1

    def _configure(self, names: Sequence[str]) -> int:
        """Configure the named packages, and those that were installed before and need it now."""
        now = self._packages()
        waiting = [package for package in now.values() if package.is_unconfigured]
        was = self._record.packages
        keys = [each.key for each in waiting if each.name in names or (each.key in was and was[each.key].is_installed)]
        return self._dpkg("--configure", *keys) if keys else 0

    def _lost(self) -> list[str]:
        """Return the package files of the other packages that have changed."""
        now = self._packages()
        lost = [key for key in self._record.companions if is_lost(self._record, key, now, self._database)]
        before = self._setup.dpkg.files.get(self._setup.before, "")
        return [f"{before}/{self._record.companions[key].file}" for key in lost]

    def _is_as_before(self) -> bool:
        now = self._packages()
        found = next((package for package in now.values() if package.name == self._setup.name), None)
        if found is None or not found.is_installed or found.version != self._setup.previous_version:
            return False
        others = (key for key, was in self._record.packages.items() if was.name != self._setup.name)
        return not any(is_lost(self._record, key, now, self._database) for key in others)

    def _is_gone(self) -> bool:
        found = self._target()
        return found is None or found.is_absent

    def _remove_scripts(self, package: Package) -> None:
        print(f"the scripts of {package.name} {package.version} fail: it is replaced without them", flush=True)
        for script in SCRIPTS:
            info_file(self._database, package.key, script).unlink(missing_ok=True)

    def _remove_diversions(self) -> None:
        """Remove the package's diversions that its own scripts have left."""
        if self._is_recorded:
            listed = self._query("dpkg-divert", "--list").splitlines()
            for path in diverted_since(self._record.diversions, listed, self._setup.name):
                self._run(*self._setup.dpkg.divert, "--package", self._setup.name, "--remove", "--rename", path)

    def _restore_configuration(self) -> None:
        """Restore each recorded configuration file, and remove new ones of a package that was removed before."""
        was = self._record.target(self._setup.name)
        if was is not None and was.status == "config-files":
            known = {conffile.path for conffile in self._record.conffiles}
            for conffile in conffiles_of(self._query("dpkg-query", "--status", self._setup.name)):
                if conffile.path not in known:
                    locate(self._root, conffile.path).unlink(missing_ok=True)
        for kept in self._record.conffiles:
            place = locate(self._root, kept.path, follow=True)
            content = (Path(self._setup.before) / kept.copy).read_bytes()
            if not place.is_file() or place.read_bytes() != content:
                shared_folder(place.parent)
                write_atomic(place, content, mode=kept.mode)
                place.chmod(kept.mode)
                if os.geteuid() == 0:
                    os.chown(place, kept.uid, kept.gid)

    def _restore_selections(self) -> None:
        """Restore the selections of installed packages: dpkg records a removal even if it then refuses it."""
        now, was = self._packages(), self._record.packages
        wanted = [
            f"{key} {was[key].want}\n"
            for key, package in now.items()
            if key in was and package.is_installed and was[key].is_installed and package.want != was[key].want
        ]
        if wanted:  # here dpkg changes its database only, and runs no script
            command = ["dpkg", f"--admindir={self._database}", "--set-selections"]
            environment = {**self._setup.dpkg.environment, "DPKG_FRONTEND_LOCKED": "1"}
            selections = "".join(wanted).encode()
            subprocess.run(command, env=environment, input=selections, timeout=QUERY_TIMEOUT_S, check=False)

    def _target(self) -> Package | None:
        return next((each for each in self._packages().values() if each.name == self._setup.name), None)

    def _packages(self) -> dict[str, Package]:
        return parse(self._query("dpkg-query", f"--showformat={FORMAT}", "--show"))

    def _query(self, program: str, *arguments: str) -> str:
        command = [program, f"--admindir={self._database}", *arguments]
        environment = self._setup.dpkg.environment
        done = subprocess.run(command, env=environment, capture_output=True, timeout=QUERY_TIMEOUT_S, check=False)
        errors = done.stderr.decode(errors="replace")
        if done.returncode != 0 and "no packages found" not in errors and "is not installed" not in errors:
            raise OSError(f"{program}: {errors}")
        return done.stdout.decode(errors="surrogateescape")

    def _dpkg(self, *arguments: str) -> int:
        return self._run(*self._setup.dpkg.arguments, *arguments)

    def _run(self, *command: str) -> int:
        environment = {**self._setup.dpkg.environment, "DPKG_FRONTEND_LOCKED": "1"}  # by us
        if VARIABLE in os.environ:  # so that dpkg and its children are found if this process is killed
            environment[VARIABLE] = os.environ[VARIABLE]
        # The step's own time-out, a setting of the vehicle, ends this process and dpkg together.
        return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


@contextlib.contextmanager
def front_end_lock(database: Path, timeout_s: float) -> Iterator[None]:
    """Hold dpkg's front-end lock, and wait until no dpkg runs.

    Raises:
        LockHeld: another process holds a lock for longer than ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    descriptors = []
    try:
        for name in LOCKS:
            descriptor = os.open(database / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            descriptors.append(descriptor)
            while not try_lock(descriptor, fcntl.lockf):
                if time.monotonic() > deadline:
                    raise LockHeld(f"dpkg's database was locked by another process for more than {timeout_s:g} s")
                time.sleep(LOCK_POLL_S)
        os.close(descriptors.pop())  # dpkg takes this lock itself
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def main(arguments: Sequence[str]) -> int:
    """Carry out the step that the arguments name, and return its exit code."""
    adopt_orphans()
    try:
        setup = msgspec.json.decode(arguments[0], type=Setup)
        with front_end_lock(Path(setup.root) / "var/lib/dpkg", setup.lock_timeout_s):
            record = read_record(Path(setup.before)) if setup.before else None
            return Steps(setup, record).carry_out(Step(arguments[1]))
    except LockHeld as error:
        print(str(error), file=sys.stderr)
        return NOT_BEGUN
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        print(str(error), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
