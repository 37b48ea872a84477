"""Files that survive power loss: written aside, synced, renamed, and the folder synced too.

Every sync of ours goes through here, so that a load generator with thousands of vehicles on one disk may do without
(:func:`relax`), and a fault test knows where to end a process (``kit/runtime/faults.py``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from sota.kit.runtime import faults

READY = ".ready"
_relaxed = False
_here = threading.local()


def relax() -> None:
    """Sync nothing any more in this process: what it writes may be lost with the power. Never for a real vehicle."""
    global _relaxed  # noqa: PLW0603 - a property of the whole process, set once when it starts
    _relaxed = True


def is_relaxed() -> bool:
    """Say whether this process does without syncs."""
    return _relaxed


def needs_sync() -> bool:
    """Say whether a sync does anything now."""
    return not _relaxed and not getattr(_here, "is_synced", False)


@contextlib.contextmanager
def all_synced() -> Iterator[None]:
    """Sync nothing in this thread meanwhile: all of the file system was synced just now (``fleet/syncfs.py``)."""
    _here.is_synced = True
    try:
        yield
    finally:
        _here.is_synced = False


def sync(descriptor: int) -> None:
    """Make a file's content and size durable."""
    if needs_sync():
        os.fsync(descriptor)


def sync_content(descriptor: int) -> None:
    """Make a file's content durable, where its size has not changed."""
    if needs_sync():
        os.fdatasync(descriptor)


def sync_file(path: Path) -> None:
    """Make the content and size of a file durable that nobody has open."""
    if not needs_sync():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content`` so that a reader sees the old file or the new one, whenever the power goes.

    The file gets exactly this ``mode``, whatever the umask.
    """
    step = f"write {path.name}"
    faults.before(step)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            sync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    faults.after(step)


def replace_together(folder: Path, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
    """Replace several files of a folder, all or none: whoever reads them calls :func:`finish_replacing` first."""
    finish_replacing(folder)
    coming = folder / ".coming"
    coming.mkdir(mode=0o700, exist_ok=True)
    for left in coming.iterdir():  # an attempt that was interrupted
        left.unlink()
    for name, content in files.items():
        write_atomic(coming / name, content, mode=mode)
    coming.replace(folder / READY)  # from here on they replace the others, whenever the power goes
    sync_folder(folder)
    finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """Bring a replacement of files that was interrupted to its end; several programs may do so at once."""
    ready = folder / READY
    if not ready.is_dir():
        return
    for file in sorted(ready.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
            file.replace(folder / file.name)
    sync_folder(folder)
    with contextlib.suppress(FileNotFoundError):
        ready.rmdir()


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable (a rename or a new file is not, before this)."""
    sync_file(folder)


def private_folder(path: Path) -> Path:
    """Make a folder, and the parents that are missing, which only its owner may enter; one that exists stays as it is.

    Raises:
        NotADirectoryError: it is a file.
    """
    if not path.is_dir():
        if path.exists():
            raise NotADirectoryError(errno.ENOTDIR, "is a file and no folder", str(path))
        if path.parent != path:
            private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def shared_folder(path: Path) -> Path:
    """Make a folder, and its parents where there are none, that every user of the vehicle can read.

    The process's file mode mask (``UMask=`` of its unit) is about its own files and must not hide a package's.
    """
    for folder in reversed((path, *path.parents)):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
    return path


def private_file(path: Path) -> None:
    """Make an empty file that only its owner may read, where it is missing; close one of ours that is open to others.

    SQLite gives its log the rights of the database, so this holds for both, whatever the umask.

    Raises:
        OSError: it is missing and cannot be made. What is wrong with one that exists, its own use tells.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return
    with contextlib.suppress(OSError):
        status = path.stat()
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            path.chmod(0o600)


def mode_in(folder: Path) -> int:
    """Return the mode of a file in this folder: the group may read it where it may read the folder, others never."""
    return 0o600 | (folder.stat().st_mode & 0o040)
