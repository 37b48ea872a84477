"""Two slots for each archive and a link to the active one, which is switched by one rename.

::

    <folder>/<name>/current      a link to a or b: what runs
    <folder>/<name>/a/  b/       the unpacked archives
    <folder>/<name>/a.json       version of a, and whether it is confirmed; without this file a is invalid

After a kill at any line :func:`read` returns the truth, and the same command leads to the same result. This module is
also the program that carries out the steps: ``python -m sota.slm.installers.archive_slots``.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sota.kit.errors import SotaError
from sota.kit.files.durable import shared_folder, sync_folder, write_atomic
from sota.slm.installers.archive_files import Limits, unpack
from sota.slm.installers.steps import Slot, locked

SLOTS = ("a", "b")
NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL})
"""Errors of reading a link that does not exist, or of something other than a link."""
MEMORY_BYTES = 1 << 30
"""Limit of the unpacking process, so that the dictionary of a hostile xz file fails there alone."""


class Slots:
    """The two slots of one package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._link = folder / "current"

    def current(self) -> str | None:
        """Return the active slot; None if there is none.

        Raises:
            OSError: the link cannot be read, which does not mean that there is none.
        """
        try:
            target = os.readlink(self._link)  # noqa: PTH115 - the text itself, which may be any path
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return None
            raise
        return target if target in SLOTS else None

    def read(self, slot: str) -> Slot | None:
        """Return the content of a slot; None if it is invalid.

        Raises:
            OSError: it cannot be read.
        """
        try:
            found = msgspec.json.decode((self.folder / f"{slot}.json").read_bytes(), type=Slot)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None
        return found if (self.folder / slot).is_dir() else None

    def install(self, file: Path, version: str, limits: Limits) -> None:
        """Unpack into the inactive slot and switch to it, on trial.

        Raises:
            BadArchive: the file is refused; the running version is unchanged.
            OSError: the disk is full or fails; the running version is unchanged.
        """
        shared_folder(self.folder)
        used = self.current()
        slot = SLOTS[1] if used == SLOTS[0] else SLOTS[0]
        self._clear(slot)
        try:
            shared_folder(self.folder / slot)
            unpack(file, self.folder / slot, limits)
            sync_folder(self.folder)
            self._write(slot, Slot(version, confirmed=False))
        except BaseException:
            self._clear(slot)  # free the disk; after a kill the next step does this
            raise
        self._switch(slot)

    def confirm(self, version: str) -> None:
        """Confirm the running version.

        Raises:
            LookupError: another version runs.
        """
        used = self.current()
        found = self.read(used) if used else None
        if used is None or found is None or found.version != version:
            raise LookupError(f"{version} is not what runs")
        self._write(used, Slot(version, confirmed=True))

    def restore(self, version: str) -> None:
        """Switch back to the other slot.

        Raises:
            LookupError: it does not have this version, or the version was never confirmed.
        """
        for slot in SLOTS:
            if self.read(slot) == Slot(version, confirmed=True):
                failed = self.current()
                self._switch(slot)
                if failed is not None and failed != slot:
                    self._clear(failed)
                return
        raise LookupError(f"{version} is in neither slot")

    def remove(self) -> None:
        """Remove everything."""
        if self.folder.is_dir():
            self._link.unlink(missing_ok=True)
            sync_folder(self.folder)
            for slot in SLOTS:
                self._clear(slot)
            shutil.rmtree(self.folder)
            sync_folder(self.folder.parent)

    def _write(self, slot: str, content: Slot) -> None:
        write_atomic(self.folder / f"{slot}.json", msgspec.json.encode(content), mode=0o644)

    def _clear(self, slot: str) -> None:
        (self.folder / f"{slot}.json").unlink(missing_ok=True)
        sync_folder(self.folder)  # the record must not outlive the files
        shutil.rmtree(self.folder / slot, ignore_errors=True)

    def _switch(self, slot: str) -> None:
        new = self.folder / ".current.new"
        new.unlink(missing_ok=True)
        new.symlink_to(slot)
        new.rename(self._link)
        sync_folder(self.folder)


def main(arguments: Sequence[str]) -> int:
    """Carry out one step and return the exit code.

    ``look FILE BYTES FILES``, ``install FOLDER NAME VERSION FILE BYTES FILES``, ``confirm FOLDER NAME VERSION``,
    ``restore FOLDER NAME VERSION``, ``remove FOLDER NAME``.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    action, *rest = arguments
    try:
        if action == "look":
            unpack(Path(rest[0]), None, Limits(int(rest[1]), int(rest[2])))
            return 0
        folder = shared_folder(Path(rest[0]))
        with locked(folder):
            _act(action, Slots(folder / rest[1]), rest[2:])
    except SotaError as error:
        print(error.detail, file=sys.stderr)
        return 3
    except (LookupError, OSError, MemoryError) as error:
        print(str(error) or type(error).__name__, file=sys.stderr)
        return 1
    return 0


def _act(action: str, slots: Slots, rest: Sequence[str]) -> None:
    if action == "install":
        version, file, max_bytes, max_files = rest
        slots.install(Path(file), version, Limits(int(max_bytes), int(max_files)))
    elif action == "confirm":
        slots.confirm(rest[0])
    elif action == "restore":
        slots.restore(rest[0])
    elif action == "remove":
        slots.remove()
    else:
        raise LookupError(f"there is no step {action}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
