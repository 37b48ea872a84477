"""Backups of packages: the file of the version that runs, so that it can be restored.

A file gets its name only when it is complete and on the disk. One that was being made when the power failed is not a
backup and is made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import shutil
from pathlib import Path

from sota.boundaries.values import PackageId
from sota.kit.files.durable import private_folder, sync, sync_folder
from sota.kit.runtime.logging import get_logger
from sota.slm.installers import BadPackage, Capability, Installer, InstallerFailed
from sota.slm.journal import Journal
from sota.slm.model import Health

BEFORE = "before"


class Backups:
    """Finds the backups, makes a missing one, and removes those that are no longer needed."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._log = get_logger(program="slm")

    def prepare(self) -> None:
        """Create the folder, and remove what an interrupted copy left."""
        for left in private_folder(self._folder).glob(".*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    async def secure(
        self, download_index: int, operation: str, installer: Installer, package: PackageId, previous: str | None
    ) -> Path | None:
        """Return the backup of ``previous``, made now if there is none; None if it cannot be restored.

        A backup is made only before the first step of the operation: later, another version may be installed.
        """
        if previous is None or Capability.RESTORE not in installer.capabilities:
            return None
        file = self._file(package.name, previous, installer.name)
        if file is None:
            return None
        history, opened = await self._journal.steps(download_index, operation)
        if history or opened:
            return file if file.exists() else None
        if file.exists() and await self._is_whole(installer, file, package.name, previous):
            return file
        new = file.with_name(f".{file.name}.new")
        try:
            await installer.save(package.name, new)
            await asyncio.to_thread(_put, new, file)
        except (InstallerFailed, OSError) as error:
            self._log.warning("previous_version_not_saved", package=package.name, detail=str(error))
            return None
        finally:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
        return file

    async def _is_whole(self, installer: Installer, file: Path, name: str, version: str) -> bool:
        """Report whether a backup can be restored; one that the disk has damaged is removed and made again."""
        try:
            await installer.inspect(file, name, version)
        except BadPackage as error:
            self._log.error("backup_damaged", file=str(file), detail=error.detail, hint="it is made again")
            await asyncio.to_thread(file.unlink, missing_ok=True)
            return False
        return True

    async def record_folder(self, download_index: int, operation: str) -> Path:
        """Return the folder in which an installer records what was installed before an operation.

        Folders of ended downloads, left by a loss of power, are removed.

        Raises:
            InstallerFailed: the disk does not allow it.
        """
        try:
            folder = private_folder(self._folder / BEFORE)
        except OSError as error:
            raise InstallerFailed(f"What a rollback needs cannot be stored: {error}.") from error
        for other in folder.iterdir():
            index = other.name.lstrip(".").partition("-")[0]
            entry = await self._journal.download(int(index)) if index.isdecimal() else None
            if entry is None or entry.state.is_final:
                await asyncio.to_thread(shutil.rmtree, other, ignore_errors=True)
        return folder / f"{download_index}-{operation or 'package'}"

    def forget(self, download_index: int) -> None:
        """Remove the records of a download that has ended."""
        for folder in (self._folder / BEFORE).glob(f"{download_index}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, package: PackageId, installer: str, file: Path) -> None:
        """Keep the file of the version that runs now as the only backup of its package.

        If the disk does not allow that, the package stays installed: a backup is made when it is needed.
        """
        kept = self._file(package.name, package.version, installer)
        if kept is None:
            return
        try:
            if file.exists():
                file.replace(kept)
                sync_folder(self._folder)
            for other in self._of(package.name, installer):
                if other != kept:
                    other.unlink(missing_ok=True)
        except OSError as error:
            self._log.warning("installed_version_not_kept", package=package.text, detail=str(error))

    async def remove_unused(self, installer: Installer) -> None:
        """Remove the backups of packages that are no longer installed, whatever removed them."""
        files = list(self._folder.glob(f"*_*.{installer.name}"))
        try:
            listed = {package.name for package in await installer.list()} if files else set()
            for file in files:
                name = file.name.rpartition("_")[0]
                if name not in listed and (await installer.find(name)).health is Health.ABSENT:
                    file.unlink(missing_ok=True)
        except (InstallerFailed, OSError) as error:
            self._log.warning("unused_backups_not_removed", installer=installer.name, detail=str(error))

    def _of(self, name: str, installer: str) -> list[Path]:
        """Return the backups of one package."""
        files = self._folder.glob(f"{glob.escape(name)}_*.{installer}")
        return [file for file in files if file.name.rpartition("_")[0] == name]

    def _file(self, name: str, version: str, installer: str) -> Path | None:
        # A version may contain anything; only one that can be a file's name has a backup.
        file = f"{name}_{version}.{installer}"
        return self._folder / file if "/" not in file and len(file) < 250 else None


def _put(new: Path, file: Path) -> None:
    with new.open("rb") as content:
        sync(content.fileno())
    new.replace(file)
    sync_folder(file.parent)
