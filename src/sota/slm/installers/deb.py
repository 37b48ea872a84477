"""Debian packages, installed by ``dpkg`` into the vehicle's own root folder and package database.

With a root folder other than ``/`` nothing of the machine is changed and no root rights are needed: dpkg keeps its
database in ``<root>/var/lib/dpkg``, and runs confined (``confinement.py``) with its maintainer scripts. If the machine
cannot confine it, only packages without scripts are accepted, and only if no link leads them out of the root
(``deb_unconfined.py``). dpkg itself checks dependencies, against that database.

One package may change others: before its first step all are recorded (:meth:`DebInstaller.record`), with package files
of those that it may replace. After it they are compared, and a rollback restores all of them (``deb_steps.py``).

A package's Debian name and version must be exactly those of its upload.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec

from sota.boundaries.values import InstalledPackage
from sota.kit.files.durable import private_folder, sync_folder
from sota.slm.confinement import INSIDE, Confinement
from sota.slm.installers import BadPackage, Capability, Command, InstallerFailed, Place, Unsafe, ask
from sota.slm.installers.deb_database import BUILD_TIMEOUT_S, DebDatabase
from sota.slm.installers.deb_record import (
    Companion,
    KeptConffile,
    Package,
    Record,
    companion,
    compare,
    keep_conffiles,
    may_be_replaced,
    read_record,
    write_record,
)
from sota.slm.installers.deb_steps import Dpkg, Setup
from sota.slm.installers.deb_unconfined import why_not_unconfined, with_scripts
from sota.slm.installers.steps import refuse, run_module
from sota.slm.model import Found, Health, Job, OtherPackages, Step

HEALTH = {
    "not-installed": Health.ABSENT,
    "config-files": Health.ABSENT,
    "installed": Health.INSTALLED,
    "unpacked": Health.UNCONFIGURED,
    "half-configured": Health.UNCONFIGURED,
    "triggers-awaited": Health.UNCONFIGURED,
    "triggers-pending": Health.UNCONFIGURED,
    "half-installed": Health.BROKEN,
}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There are no options: the root folder is the vehicle's."""


def make(place: Place) -> DebInstaller:
    """Return the installer."""
    place.read_options(Options, DebInstaller.name)
    return DebInstaller(place.root, place.data, lock_timeout_s=place.lock_timeout_s)


class DebInstaller:
    """dpkg with one root folder; ``state`` is this program's folder outside it, by default beside it."""

    name = "deb"
    capabilities = Capability.REMOVE | Capability.RESTORE | Capability.LIST

    def __init__(self, root: Path, state: Path | None = None, *, lock_timeout_s: float = 600.0) -> None:
        self.root = root.resolve()
        self._database = DebDatabase(self.root)
        self._confinement = Confinement(self.root, state or self.root.with_name(f"{self.root.name}.confinement"))
        self._lock_timeout_s = lock_timeout_s

    def prepare(self) -> None:
        """Create an empty package database if there is none."""
        if not self._confinement.misleading_link():
            self._database.prepare()

    async def install(self, file: Path) -> None:
        """Install a package at once, as a factory does, without journal and rollback.

        Raises:
            InstallerFailed: dpkg failed; with its output.
        """
        self.prepare()
        if why := self._database.why_damaged():
            raise InstallerFailed(why)
        await self._check_reach(file, "")
        dpkg = self._dpkg(file)
        command = (*dpkg.arguments, "--install", dpkg.files[str(file)])
        code, output, errors = await ask(*command, environment=dpkg.environment, timeout_s=BUILD_TIMEOUT_S)
        if code != 0:
            raise InstallerFailed(f"dpkg: {output}\n{errors}")

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Check that the file is a Debian package of this name and version."""
        code, output, errors = await self._database.ask(
            "dpkg-deb", "--showformat=${Package}\\t${Version}", "--show", str(file)
        )
        if code != 0:
            raise BadPackage(f"Not a Debian package: {errors}")
        found = output.split("\t")
        if found != [name, version]:
            raise BadPackage(f"The file is {' '.join(found)} and should be {name} {version}.")
        await self._check_reach(file, name)

    async def find(self, name: str) -> Found:
        """Return the state of one package in dpkg's database."""
        packages = (await self._database.packages(name)).values()
        return next((_found(package) for package in packages if package.name == name), Found(Health.ABSENT))

    async def list(self) -> list[InstalledPackage]:
        """Return all completely installed packages of dpkg's database."""
        return sorted(
            InstalledPackage(name=package.name, version=package.version)
            for package in (await self._database.packages()).values()
            if package.is_installed and package.version
        )

    async def is_newer(self, installed: str, wanted: str) -> bool | None:
        """Compare two versions by dpkg, with epochs and revisions."""
        code, _, errors = await self._database.ask("dpkg", "--compare-versions", installed, "gt", wanted)
        if code not in {0, 1}:
            raise InstallerFailed(f"dpkg: {errors}")
        return code == 0

    async def save(self, name: str, file: Path) -> None:
        """Make a package file from the installed files."""
        await self._database.pack(name, file)

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no dpkg or apt holds the database."""
        await self._database.wait_until_free(timeout_s)

    async def record(self, name: str, file: Path | None, folder: Path) -> None:
        """Record all packages; copy those that the file may replace, and configuration that must survive."""
        replaces = await self._replaces(file) if file is not None else ""
        packages = await self._database.packages()
        new = folder.with_name(f".{folder.name}.new")
        for old in (new, folder):
            await asyncio.to_thread(shutil.rmtree, old, ignore_errors=True)
        private_folder(new)
        companions: dict[str, Companion] = {}
        conffiles: list[KeptConffile] = []
        replaced = may_be_replaced(packages.values(), name, replaces)
        for package in [*replaced, *(each for each in packages.values() if each.name == name)]:
            installed = await self._database.installed(package.key)
            conffiles += keep_conffiles(installed, new, len(conffiles), only_changed=not package.is_absent)
            if package in replaced:
                companions[package.key] = companion(installed, f"{package.name}_{package.architecture}.deb")
                await self.save(package.key, new / companions[package.key].file)
        diversions = tuple(await self._database.diversions())
        await asyncio.to_thread(write_record, new, Record(packages, companions, tuple(conffiles), diversions))
        new.replace(folder)
        sync_folder(folder.parent)

    async def compare(self, name: str, folder: Path, later: Collection[str]) -> OtherPackages:
        """Compare all other packages with the record."""
        try:
            record = read_record(folder)
        except msgspec.MsgspecError as error:
            raise InstallerFailed(f"The record in {folder} cannot be read: {error}.") from None
        if record is None:
            return OtherPackages()
        now = await self._database.packages()
        return await asyncio.to_thread(compare, name, record, now, self._database.folder, later)

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Return the step's command: a module of this package, which runs dpkg as often as necessary."""
        before = job.before if job.before is not None and job.before.is_dir() else None
        package = {Step.INSTALL: file, Step.REINSTALL: file, Step.RESTORE: previous_file}.get(step)
        try:
            dpkg = self._dpkg(*(each for each in (package, before) if each is not None))
        except Unsafe as error:
            return refuse(error.detail)
        setup = Setup(
            dpkg=dpkg,
            root=str(self.root),
            name=job.name,
            version=job.version,
            previous_version=job.previous_version,
            file=str(package or ""),
            before=str(before or ""),
            lock_timeout_s=self._lock_timeout_s,
        )
        return run_module("sota.slm.installers.deb_steps", msgspec.json.encode(setup).decode(), str(step))

    def _dpkg(self, *files: Path) -> Dpkg:
        """Return dpkg's command lines, confined if the root is a folder of another machine.

        Raises:
            Unsafe: it must be confined, and the machine cannot do that.
        """
        # --force-confold: there is no one to ask, so a changed configuration file stays.
        common = ("--force-confdef", "--force-confold")
        environment, plain = self._database.environment, {str(file): str(file) for file in files}
        if not self._confinement.needed:
            return Dpkg(("dpkg", "--log=/var/log/dpkg.log", *common), ("dpkg-divert",), environment, plain)
        why = self._confinement.why_not()
        if why:
            if link := self._confinement.misleading_link():
                raise Unsafe(link)
            scripted = with_scripts(self._database.folder)
            if scripted:
                raise Unsafe(f"The maintainer scripts of {scripted[0]} are not run on this machine: {why}")
            divert = ("dpkg-divert", f"--root={self.root}")
            return Dpkg(("dpkg", *_beside(self.root), *common), divert, environment, plain)
        # A complete system's dpkg sees its own root; the machine's dpkg works on the root from outside.
        whole = self._confinement.is_whole
        options = ("--log=/var/log/dpkg.log",) if whole else _beside(INSIDE)
        return Dpkg(
            self._confinement.command(("dpkg", *options, *common), files),
            self._confinement.command(("dpkg-divert", *(() if whole else (f"--root={INSIDE}",)))),
            {**environment, "HOME": "/"},
            {str(file): self._confinement.file_inside(file) for file in files},
        )

    async def _check_reach(self, file: Path, name: str) -> None:
        """Check that installing the file changes the vehicle's root alone.

        Raises:
            Unsafe: it must be confined, and the machine cannot do that.
        """
        if not self._confinement.needed:
            return
        why = await asyncio.to_thread(self._confinement.why_not)
        if link := self._confinement.misleading_link():
            raise Unsafe(link)
        found = await asyncio.to_thread(why_not_unconfined, file, name, self.root, self._database.folder) if why else ""
        if found:
            raise Unsafe(
                f"{found}. The root of this vehicle is the folder {self.root}, and on its machine that is done only "
                f"confined: {why}"
            )

    async def _replaces(self, file: Path) -> str:
        code, output, errors = await self._database.ask("dpkg-deb", "--field", str(file), "Replaces")
        if code != 0:
            raise InstallerFailed(f"dpkg-deb: {errors}")
        return output.replace("\n", " ")


def _beside(root: Path) -> tuple[str, ...]:
    """Return the options of a dpkg that works on another root than its own."""
    forced = ("--force-not-root", "--force-bad-path", "--force-script-chrootless")
    return (f"--root={root}", f"--log={root}/var/log/dpkg.log", *forced)


def _found(package: Package) -> Found:
    health = HEALTH.get(package.status, Health.BROKEN)
    if package.flag != "ok" and health is not Health.ABSENT:  # reinstreq: dpkg itself marks it as broken
        health = Health.BROKEN
    return Found(health, None if health is Health.ABSENT else package.version or None)
