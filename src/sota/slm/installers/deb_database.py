"""dpkg's database of one vehicle: created if missing, and then only read; dpkg itself writes it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sota.kit.files.durable import shared_folder, write_atomic
from sota.slm.boot import ENVIRONMENT
from sota.slm.installers import QUERY_TIMEOUT_S, InstallerFailed, ask
from sota.slm.installers.deb_copy import Installed, copy_tree
from sota.slm.installers.deb_record import FORMAT, Package, parse
from sota.slm.installers.deb_steps import LOCKS
from sota.slm.installers.steps import wait_for_locks

BUILD_TIMEOUT_S = 600.0
WAY_OUT = "A workshop must restore it, for example from status-old, /var/backups or a copy of the vehicle's disk."


class DebDatabase:
    """The database below a root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "var/lib/dpkg"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of dpkg's own programs."""
        # With this home the machine's .dpkg.cfg is not read.
        return {**ENVIRONMENT, "HOME": str(self.root), "DEBIAN_FRONTEND": "noninteractive"}

    def prepare(self) -> None:
        """Create an empty package database if there is none. A database without its status file is not empty."""
        if self.why_damaged():
            return
        for folder in ("info", "updates", "triggers"):
            shared_folder(self.folder / folder)
        shared_folder(self.root / "var/log")
        for file in ("status", "available"):
            if not (self.folder / file).exists():
                write_atomic(self.folder / file, b"")
                (self.folder / file).chmod(0o644)

    def why_damaged(self) -> str:
        """Return why dpkg's database is damaged; empty if it is not.

        With a missing or empty status file dpkg assumes a vehicle without packages, and overwrites the file. Without
        lists of files it assumes empty packages, and leaves their files behind.
        """
        status, info = self.folder / "status", self.folder / "info"
        lists = sorted(file.name.removesuffix(".list") for file in info.glob("*.list"))
        if status.exists() and status.stat().st_size > 0:
            lost = not lists and b" ok installed\n" in status.read_bytes()
            return f"dpkg's database is damaged: {info} has no list of files. {WAY_OUT}" if lost else ""
        if not lists or any((self.folder / "updates").glob("[0-9]*")):  # dpkg was interrupted in its first run
            return ""
        what = "is empty" if status.exists() else "is missing"
        return (
            f"dpkg's database is damaged: {status} {what}, and {len(lists)} packages are in its folder info"
            f" ({', '.join(lists[:3])}, …). {WAY_OUT}"
        )

    async def packages(self, *names: str) -> dict[str, Package]:
        """Return all packages, or some, by their keys.

        Raises:
            InstallerFailed: the database cannot be read, or is damaged.
        """
        if why := self.why_damaged():
            raise InstallerFailed(why)
        code, output, errors = await self.ask(
            "dpkg-query", f"--admindir={self.folder}", f"--showformat={FORMAT}", "--show", *names
        )
        if code != 0 and not (code == 1 and "no packages found" in errors):
            raise InstallerFailed(f"dpkg-query: {errors}")
        return parse(output)

    async def installed(self, name: str) -> Installed:
        """Return one package's paragraph and its diverted files.

        Raises:
            InstallerFailed: the database does not have it.
            OSError: the list of its files cannot be read.
        """
        code, stanza, errors = await self.ask("dpkg-query", f"--admindir={self.folder}", "--status", name)
        if code != 0:
            raise InstallerFailed(f"dpkg-query: {errors}")
        found = Installed(self.root, self.folder, name, stanza)
        return replace(found, diversions=await self._diverted(name, found.listed))

    async def pack(self, name: str, file: Path) -> None:
        """Make a package file from the installed files.

        Raises:
            InstallerFailed: it cannot be made.
        """
        tree, new = file.with_name(f"{file.name}.tree"), file.with_name(f"{file.name}.part")
        owner = () if os.geteuid() == 0 else ("--root-owner-group",)
        build = ("dpkg-deb", *owner, "-Zgzip", "-z1", "--build", str(tree), str(new))
        try:
            await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
            await asyncio.to_thread(copy_tree, await self.installed(name), tree)
            code, _, errors = await self.ask(*build, timeout_s=BUILD_TIMEOUT_S)
            if code != 0:
                raise InstallerFailed(f"dpkg-deb: {errors}")
            new.replace(file)
        except OSError as error:
            raise InstallerFailed(f"{name} cannot be copied: {error}") from None
        finally:
            await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
            new.unlink(missing_ok=True)

    async def wait_until_free(self, timeout_s: float) -> None:
        """Wait until no dpkg or apt holds the database: a step that lost its shell, or a mechanic's command.

        Raises:
            InstallerFailed: it is held for longer.
        """
        locks = [self.folder / name for name in LOCKS]
        await wait_for_locks(locks, timeout_s, "Another process holds dpkg's database", fcntl.lockf)

    async def ask(self, *arguments: str, timeout_s: float = QUERY_TIMEOUT_S) -> tuple[int, str, str]:
        """Run one of dpkg's programs that changes nothing in the vehicle."""
        return await ask(*arguments, environment=self.environment, timeout_s=timeout_s)

    async def diversions(self) -> list[str]:
        """Return all diversions, a line each.

        Raises:
            InstallerFailed: they cannot be read.
        """
        code, listed, errors = await self.ask("dpkg-divert", f"--admindir={self.folder}", "--list")
        if code != 0:
            raise InstallerFailed(f"dpkg-divert: {errors}")
        return listed.splitlines()

    async def _diverted(self, name: str, listed: Sequence[str]) -> dict[str, str]:
        """Return where other packages, or the vehicle's owner, have diverted a package's files."""
        divert = ("dpkg-divert", f"--admindir={self.folder}")
        diversions = await self.diversions()
        found = {}
        for path in listed if diversions else ():
            if not any(f"diversion of {path} to " in line for line in diversions):
                continue
            _, by, _ = await self.ask(*divert, "--listpackage", path)
            code, place, errors = await self.ask(*divert, "--truename", path)
            if code != 0:
                raise InstallerFailed(f"dpkg-divert: {errors}")
            if by.strip() != name.partition(":")[0]:  # a package's own diversion leaves its file in place
                found[path] = place.rstrip("\n")
        return found
