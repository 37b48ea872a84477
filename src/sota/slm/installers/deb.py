"""Debian packages, installed by ``dpkg`` into the vehicle's own root folder and package database.

With a root folder other than ``/`` nothing of the machine is touched and no root rights are needed: dpkg keeps its
database in ``<root>/var/lib/dpkg``, and runs confined (``confinement.py``) with all that maintainer scripts do. Where
the machine offers no confinement, only packages are taken that run nothing and that no link leads out of the root
(``deb_reach.py``). dpkg checks dependencies itself, against that database.

A package's Debian name and version must be exactly those that it was uploaded under.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from sota.boundaries.values import InstalledPackage
from sota.kit.durable import shared_folder, write_atomic
from sota.slm.confinement import INSIDE, Confinement
from sota.slm.installers import QUERY_TIMEOUT_S, BadPackage, Capability, Command, InstallerFailed, Place, Unsafe, ask
from sota.slm.installers.deb_copy import Installed, copy_tree
from sota.slm.installers.deb_reach import why_not_plain, with_scripts
from sota.slm.installers.steps import refuse
from sota.slm.model import Found, Health, Job, Step

BUILD_TIMEOUT_S = 600.0
LOCK_POLL_S = 0.1
LOCKS = ("lock-frontend", "lock")
"""A front end such as apt holds the first for all of its work, and the second only while dpkg does not run."""
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FORMAT = "${Package}\\t${Version}\\t${db:Status-Status}\\t${db:Status-Eflag}\\n"
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
    """There is nothing to be told: the root folder is the vehicle's."""


def make(place: Place) -> DebInstaller:
    """Make the installer."""
    place.read_options(Options, DebInstaller.name)
    return DebInstaller(place.root, place.data)


class DebInstaller:
    """dpkg with one root folder; ``state`` is a folder of ours outside it, beside it where none is given."""

    name = "deb"
    capabilities = Capability.REMOVE | Capability.RESTORE | Capability.LIST

    def __init__(self, root: Path, state: Path | None = None) -> None:
        self.root = root.resolve()
        self._database = self.root / "var/lib/dpkg"
        self._confinement = Confinement(self.root, state or self.root.with_name(f"{self.root.name}.confinement"))

    def prepare(self) -> None:
        """Make an empty package database where there is none. One whose status file was lost is not empty."""
        if self._confinement.misleading_link() or self._lost_status():
            return
        for folder in ("info", "updates", "triggers"):
            shared_folder(self._database / folder)
        shared_folder(self.root / "var/log")
        for file in ("status", "available"):
            if not (self._database / file).exists():
                write_atomic(self._database / file, b"", mode=0o644)

    def _lost_status(self) -> str:
        """Return why dpkg's status file cannot be true; nothing where it may be.

        dpkg takes a status file that is missing or empty for a vehicle without packages, and writes it so.
        """
        status = self._database / "status"
        if status.exists() and status.stat().st_size > 0:
            return ""
        lists = sorted(file.name.removesuffix(".list") for file in (self._database / "info").glob("*.list"))
        if not lists:
            return ""
        what = "is empty" if status.exists() else "is missing"
        return (
            f"dpkg's database is damaged: {status} {what}, and {len(lists)} packages are in its folder info"
            f" ({', '.join(lists[:3])}, …). A workshop must restore it, for example from status-old or /var/backups."
        )

    async def install(self, file: Path) -> None:
        """Install a package at once, as a factory does, without journal and without a way back.

        Raises:
            InstallerFailed: dpkg failed; with its output.
        """
        self.prepare()
        if lost := self._lost_status():
            raise InstallerFailed(lost)
        await self._check_reach(file, "")
        command = self._dpkg("--install", file=file)
        code, output, errors = await ask(*command.arguments, environment=command.environment, timeout_s=BUILD_TIMEOUT_S)
        if code != 0:
            raise InstallerFailed(f"dpkg: {output}\n{errors}")

    async def inspect(self, file: Path, name: str, version: str) -> None:
        """Check that the file is a Debian package of this name and version."""
        code, output, errors = await self._ask("dpkg-deb", "--showformat=${Package}\\t${Version}", "--show", str(file))
        if code != 0:
            raise BadPackage(f"Not a Debian package: {errors}")
        found = output.split("\t")
        if found != [name, version]:
            raise BadPackage(f"The file is {' '.join(found)} and should be {name} {version}.")
        await self._check_reach(file, name)

    async def find(self, name: str) -> Found:
        """Ask dpkg's database for one package."""
        return next((found for known, found in await self._query(name) if known == name), Found(Health.ABSENT))

    async def list(self) -> list[InstalledPackage]:
        """Ask dpkg's database for everything that is installed and whole."""
        return sorted(
            InstalledPackage(name=name, version=found.version)
            for name, found in await self._query()
            if found.health is Health.INSTALLED and found.version
        )

    async def is_newer(self, installed: str, wanted: str) -> bool | None:
        """Have dpkg compare two versions, with epochs and revisions."""
        code, _, errors = await self._ask("dpkg", "--compare-versions", installed, "gt", wanted)
        if code not in {0, 1}:
            raise InstallerFailed(f"dpkg: {errors}")
        return code == 0

    async def save(self, name: str, file: Path) -> None:
        """Make a package file out of what is installed."""
        code, stanza, errors = await self._ask("dpkg-query", f"--admindir={self._database}", "--status", name)
        if code != 0:
            raise InstallerFailed(f"dpkg-query: {errors}")
        tree, new = file.with_name(f"{file.name}.tree"), file.with_name(f"{file.name}.part")
        owner = () if os.geteuid() == 0 else ("--root-owner-group",)
        try:
            await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
            installed = Installed(self.root, self._database, name, stanza)
            diverted = replace(installed, diversions=await self._diversions(name, installed.listed))
            await asyncio.to_thread(copy_tree, diverted, tree)
            code, _, errors = await self._ask(
                "dpkg-deb", *owner, "-Zgzip", "-z1", "--build", str(tree), str(new), timeout_s=BUILD_TIMEOUT_S
            )
            if code != 0:
                raise InstallerFailed(f"dpkg-deb: {errors}")
            new.replace(file)
        except OSError as error:
            raise InstallerFailed(f"{name} cannot be copied: {error}") from None
        finally:
            await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
            new.unlink(missing_ok=True)

    async def _diversions(self, name: str, listed: Sequence[str]) -> dict[str, str]:
        """Return where other packages, or the vehicle's owner, had files of a package put instead."""
        divert = ("dpkg-divert", f"--admindir={self._database}")
        code, told, errors = await self._ask(*divert, "--list")
        if code != 0:
            raise InstallerFailed(f"dpkg-divert: {errors}")
        found = {}
        for path in listed if told else ():
            if f"diversion of {path} to " not in told:
                continue
            _, by, _ = await self._ask(*divert, "--listpackage", path)
            code, place, errors = await self._ask(*divert, "--truename", path)
            if code != 0:
                raise InstallerFailed(f"dpkg-divert: {errors}")
            if by.strip() != name.partition(":")[0]:  # what a package diverted itself, it still has there
                found[path] = place.rstrip("\n")
        return found

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no dpkg or apt holds the database: one of ours that lost its shell, or a mechanic's."""
        locks = [self._database / name for name in LOCKS]
        try:
            async with asyncio.timeout(timeout_s):
                while not all(map(_is_free, locks)):  # noqa: ASYNC110 - a file's lock sends no event
                    await asyncio.sleep(LOCK_POLL_S)
        except TimeoutError:
            raise InstallerFailed(f"Another process holds dpkg's database for more than {timeout_s:g} s.") from None

    def command(self, step: Step, job: Job, file: Path, previous_file: Path | None) -> Command:
        """Give dpkg's command line for a step."""
        match step:
            case Step.INSTALL | Step.REINSTALL:
                return self._dpkg("--install", file=file)
            case Step.RESTORE:
                return self._dpkg("--install", file=previous_file)
            case Step.REPAIR:
                return self._dpkg("--configure", job.name)
            case Step.DISCARD:
                return self._dpkg("--force-remove-reinstreq", "--purge", job.name)
            case _:
                return self._dpkg("--remove", job.name)

    def _dpkg(self, *arguments: str, file: Path | None = None) -> Command:
        """Return dpkg's command line: confined where the root is a folder of another machine."""
        # --force-confold: no one can be asked; a changed configuration file stays as the vehicle has it.
        common = ("--force-confdef", "--force-confold", *arguments)
        files = () if file is None else (file,)
        shown = tuple(map(str, files))
        if not self._confinement.needed:
            return Command(("dpkg", "--log=/var/log/dpkg.log", *common, *shown), self._environment())
        why = self._confinement.why_not()
        if why:
            if link := self._confinement.misleading_link():
                return refuse(link)
            scripted = with_scripts(self._database)
            if scripted:
                return refuse(f"The maintainer scripts of {scripted[0]} are not run on this machine: {why}")
            return Command(("dpkg", *_beside(self.root), *common, *shown), self._environment())
        # A whole system's dpkg sees its own root; the machine's dpkg works from beside it.
        options = ("--log=/var/log/dpkg.log",) if self._confinement.is_whole else _beside(INSIDE)
        shown = tuple(map(self._confinement.file_inside, files))
        confined = self._confinement.command(("dpkg", *options, *common, *shown), files)
        return Command(confined, {**self._environment(), "HOME": "/"})

    async def _check_reach(self, file: Path, name: str) -> None:
        """Check that installing the file touches the vehicle's root alone.

        Raises:
            Unsafe: the machine cannot confine it, and it needs to be.
        """
        if not self._confinement.needed:
            return
        why = await asyncio.to_thread(self._confinement.why_not)
        if link := self._confinement.misleading_link():
            raise Unsafe(link)
        found = await asyncio.to_thread(why_not_plain, file, name, self.root, self._database) if why else ""
        if found:
            raise Unsafe(
                f"{found}. The root of this vehicle is the folder {self.root}, and on its machine that is done only "
                f"confined: {why}"
            )

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": SEARCH_PATH,
            "LC_ALL": "C",
            "HOME": str(self.root),  # so that no .dpkg.cfg of the machine's user is read
            "DEBIAN_FRONTEND": "noninteractive",
        }

    async def _query(self, *names: str) -> Sequence[tuple[str, Found]]:
        if lost := self._lost_status():
            raise InstallerFailed(lost)
        code, output, errors = await self._ask(
            "dpkg-query", f"--admindir={self._database}", f"--showformat={FORMAT}", "--show", *names
        )
        if code != 0 and not (code == 1 and "no packages found" in errors):
            raise InstallerFailed(f"dpkg-query: {errors}")
        return [_read(line) for line in output.splitlines() if line.count("\t") == 3]

    async def _ask(self, *arguments: str, timeout_s: float = QUERY_TIMEOUT_S) -> tuple[int, str, str]:
        return await ask(*arguments, environment=self._environment(), timeout_s=timeout_s)


def _beside(root: Path) -> tuple[str, ...]:
    """Return the options of a dpkg that works on a root which is not its own."""
    forced = ("--force-not-root", "--force-bad-path", "--force-script-chrootless")
    return (f"--root={root}", f"--log={root}/var/log/dpkg.log", *forced)


def _read(line: str) -> tuple[str, Found]:
    name, version, status, flag = line.split("\t")
    health = HEALTH.get(status, Health.BROKEN)
    if flag != "ok" and health is not Health.ABSENT:  # reinstreq: dpkg itself says that it is broken
        health = Health.BROKEN
    return name, Found(health, None if health is Health.ABSENT else version or None)


def _is_free(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True
