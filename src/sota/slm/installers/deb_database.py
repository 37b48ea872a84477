"""dpkg's database of one vehicle: made where there is none, read, and never written here but by dpkg itself."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sota.kit.files.durable import shared_folder, write_atomic
from sota.slm.installers import QUERY_TIMEOUT_S, InstallerFailed, ask
from sota.slm.installers.deb_copy import Installed, copy_tree
from sota.slm.installers.deb_steps import LOCK_POLL_S, LOCKS
from sota.slm.installers.deb_survey import FORMAT, Package, parse

BUILD_TIMEOUT_S = 600.0
WAY_OUT = "A workshop must restore it, for example from status-old, /var/backups or a copy of the vehicle's disk."
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DebDatabase:
    """The database below a root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "var/lib/dpkg"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of dpkg's own programs."""
        return {
            "PATH": SEARCH_PATH,
            "LC_ALL": "C",
            "HOME": str(self.root),  # so that no .dpkg.cfg of the machine's user is read
            "DEBIAN_FRONTEND": "noninteractive",
        }

    def prepare(self) -> None:
        """Make an empty package database where there is none. One whose status file was lost is not empty."""
        if self.why_not_true():
            return
        for folder in ("info", "updates", "triggers"):
            shared_folder(self.folder / folder)
        shared_folder(self.root / "var/log")
        for file in ("status", "available"):
            if not (self.folder / file).exists():
                write_atomic(self.folder / file, b"")
                (self.folder / file).chmod(0o644)

    def why_not_true(self) -> str:
        """Return why dpkg's database cannot be true; nothing where it may be.

        dpkg takes a status file that is missing or empty for a vehicle without packages, and writes it so. Without the
        lists of files it takes packages for empty, and leaves their files behind.
        """
        status, info = self.folder / "status", self.folder / "info"
        lists = sorted(file.name.removesuffix(".list") for file in info.glob("*.list"))
        if status.exists() and status.stat().st_size > 0:
            lost = not lists and b" ok installed\n" in status.read_bytes()
            return f"dpkg's database is damaged: {info} has no list of files. {WAY_OUT}" if lost else ""
        if not lists or any((self.folder / "updates").glob("[0-9]*")):  # dpkg's first work, which was interrupted
            return ""
        what = "is empty" if status.exists() else "is missing"
        return (
            f"dpkg's database is damaged: {status} {what}, and {len(lists)} packages are in its folder info"
            f" ({', '.join(lists[:3])}, …). {WAY_OUT}"
        )

    async def packages(self, *names: str) -> dict[str, Package]:
        """Read all packages, or some, by their keys.

        Raises:
            InstallerFailed: the database cannot be read, or cannot be true.
        """
        if why := self.why_not_true():
            raise InstallerFailed(why)
        code, output, errors = await self.ask(
            "dpkg-query", f"--admindir={self.folder}", f"--showformat={FORMAT}", "--show", *names
        )
        if code != 0 and not (code == 1 and "no packages found" in errors):
            raise InstallerFailed(f"dpkg-query: {errors}")
        return parse(output)

    async def installed(self, name: str) -> Installed:
        """Read one package's paragraph and where its diverted files are.

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
        """Make a package file out of what is installed.

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
        """Wait until no dpkg or apt holds the database: one of ours that lost its shell, or a mechanic's.

        Raises:
            InstallerFailed: it is held for longer.
        """
        locks = [self.folder / name for name in LOCKS]
        try:
            async with asyncio.timeout(timeout_s):
                while not all(map(_is_free, locks)):  # noqa: ASYNC110 - a file's lock sends no event
                    await asyncio.sleep(LOCK_POLL_S)
        except TimeoutError:
            raise InstallerFailed(f"Another process holds dpkg's database for more than {timeout_s:g} s.") from None

    async def ask(self, *arguments: str, timeout_s: float = QUERY_TIMEOUT_S) -> tuple[int, str, str]:
        """Run one of dpkg's programs that changes nothing in the vehicle."""
        return await ask(*arguments, environment=self.environment, timeout_s=timeout_s)

    async def diversions(self) -> list[str]:
        """List all diversions, a line each.

        Raises:
            InstallerFailed: they cannot be read.
        """
        code, told, errors = await self.ask("dpkg-divert", f"--admindir={self.folder}", "--list")
        if code != 0:
            raise InstallerFailed(f"dpkg-divert: {errors}")
        return told.splitlines()

    async def _diverted(self, name: str, listed: Sequence[str]) -> dict[str, str]:
        """Return where other packages, or the vehicle's owner, had files of a package put instead."""
        divert = ("dpkg-divert", f"--admindir={self.folder}")
        told = await self.diversions()
        found = {}
        for path in listed if told else ():
            if not any(f"diversion of {path} to " in line for line in told):
                continue
            _, by, _ = await self.ask(*divert, "--listpackage", path)
            code, place, errors = await self.ask(*divert, "--truename", path)
            if code != 0:
                raise InstallerFailed(f"dpkg-divert: {errors}")
            if by.strip() != name.partition(":")[0]:  # what a package diverted itself, it still has there
                found[path] = place.rstrip("\n")
        return found


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
