"""Two places for each archive and a link that says which one is in use; switched by one rename.

::

    <folder>/<name>/current      a link to a or b: what runs
    <folder>/<name>/a/  b/       the unpacked archives
    <folder>/<name>/a.json       what is in a: version, and whether it is confirmed; no such file: nothing that counts

Killed between any two lines here, what :func:`read` says is true, and the same command again comes to the same end.
This file is also the program that carries out the steps: ``python -m sota.slm.installers.archive_slots``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sota.kit.errors import SotaError
from sota.kit.files.durable import shared_folder, sync_folder, write_atomic
from sota.slm.installers.archive_files import Limits, unpack

SLOTS = ("a", "b")
NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL})
"""What reading a link says where there is none, or something else that is no link."""
MEMORY_BYTES = 1 << 30
"""For the process that unpacks: a dictionary of a hostile xz file fails there and nowhere else."""


class Slot(msgspec.Struct, frozen=True):
    """What one place holds."""

    version: str
    confirmed: bool


class Slots:
    """The two places of one package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._link = folder / "current"

    def current(self) -> str | None:
        """Return the place that is in use; None where none is.

        Raises:
            OSError: that cannot be read, which is not the same as that nothing is there.
        """
        try:
            target = os.readlink(self._link)  # noqa: PTH115 - the text itself, which need not be a path of ours
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return None
            raise
        return target if target in SLOTS else None

    def read(self, slot: str) -> Slot | None:
        """Return what a place holds; None where it holds nothing that counts.

        Raises:
            OSError: that cannot be read.
        """
        try:
            found = msgspec.json.decode((self.folder / f"{slot}.json").read_bytes(), type=Slot)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None
        return found if (self.folder / slot).is_dir() else None

    def install(self, file: Path, version: str, limits: Limits) -> None:
        """Unpack into the place that is not in use and switch to it, on trial.

        Raises:
            BadArchive: the file is not one that is unpacked here; what runs is untouched.
            OSError: the disk is full or fails; what runs is untouched.
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
            self._clear(slot)  # room is needed by others; a kill leaves it to the next step
            raise
        self._switch(slot)

    def confirm(self, version: str) -> None:
        """Say that what runs is there to stay.

        Raises:
            LookupError: another version runs.
        """
        used = self.current()
        found = self.read(used) if used else None
        if used is None or found is None or found.version != version:
            raise LookupError(f"{version} is not what runs")
        self._write(used, Slot(version, confirmed=True))

    def restore(self, version: str) -> None:
        """Switch back to the other place.

        Raises:
            LookupError: it does not hold this version, or that was never confirmed.
        """
        for slot in SLOTS:
            if self.read(slot) == Slot(version, confirmed=True):
                failed = self.current()
                self._switch(slot)
                if failed is not None and failed != slot:
                    self._clear(failed)
                return
        raise LookupError(f"{version} is in neither place")

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
        sync_folder(self.folder)  # what it said must not outlive what it spoke of
        shutil.rmtree(self.folder / slot, ignore_errors=True)

    def _switch(self, slot: str) -> None:
        new = self.folder / ".current.new"
        new.unlink(missing_ok=True)
        new.symlink_to(slot)
        new.rename(self._link)
        sync_folder(self.folder)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep everybody else from working in the folder of all archives."""
    shared_folder(folder)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def main(arguments: Sequence[str]) -> int:
    """Carry out one step; gives the exit code.

    ``look FILE BYTES FILES``, ``install FOLDER NAME VERSION FILE BYTES FILES``, ``confirm FOLDER NAME VERSION``,
    ``restore FOLDER NAME VERSION``, ``remove FOLDER NAME``.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    action, *rest = arguments
    try:
        if action == "look":
            unpack(Path(rest[0]), None, Limits(int(rest[1]), int(rest[2])))
            return 0
        folder = Path(rest[0])
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
