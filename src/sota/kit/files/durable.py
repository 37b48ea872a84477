"""Files that survive power loss: written aside, synced, renamed, and the folder synced too.

Every sync goes through here, so that a load generator with thousands of vehicles on one disk may omit them
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
Stamp = tuple[int, int, int]
_relaxed = False
_here = threading.local()


def relax() -> None:
    """Turn off syncs in this process: its writes may be lost with the power. Never for a real vehicle."""
    global _relaxed  # noqa: PLW0603 - a property of the whole process, set once when it starts
    _relaxed = True


def is_relaxed() -> bool:
    """Return whether this process omits syncs."""
    return _relaxed


def needs_sync() -> bool:
    """Return whether a sync has an effect now."""
    return not _relaxed and not getattr(_here, "is_synced", False)


@contextlib.contextmanager
def all_synced() -> Iterator[None]:
    """Omit syncs in this thread: the whole file system was synced just now (``fleet/syncfs.py``)."""
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
    """Make a file's content durable if its size has not changed."""
    if needs_sync():
        os.fdatasync(descriptor)


def sync_file(path: Path) -> None:
    """Make the content and size of a closed file durable."""
    if not needs_sync():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content``, so that readers see either the old file or the new one, even after a power cut.

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
    """Replace several files of a folder, all or none: readers call :func:`finish_replacing` first."""
    finish_replacing(folder)
    coming = folder / ".coming"
    coming.mkdir(mode=0o700, exist_ok=True)
    for left in coming.iterdir():  # of an interrupted attempt
        left.unlink()
    for name, content in files.items():
        write_atomic(coming / name, content, mode=mode)
    coming.replace(folder / READY)  # from here on they replace the old files, even after a power cut
    sync_folder(folder)
    finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """Finish an interrupted replacement of files; several programs may do so at the same time."""
    ready = folder / READY
    if not ready.is_dir():
        return
    for file in sorted(ready.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # another program was faster
            file.replace(folder / file.name)
    sync_folder(folder)
    with contextlib.suppress(FileNotFoundError):
        ready.rmdir()


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: a rename or a new file is not durable before."""
    sync_file(folder)


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner may enter, and missing parents; an existing one stays as it is.

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
    """Create a folder, and missing parents, that every user of the vehicle can read.

    The process's umask (``UMask=`` of its unit) is for its own files and must not hide a package's.
    """
    for folder in reversed((path, *path.parents)):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
    return path


def private_file(path: Path) -> None:
    """Create an empty file that only its owner may read; restrict our own file if it is open to others.

    SQLite gives its log the mode of the database, so this applies to both, whatever the umask.

    Raises:
        OSError: it is missing and cannot be created. A fault of an existing file shows when it is used.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return
    with contextlib.suppress(OSError):
        status = path.stat()
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            path.chmod(0o600)


def stamp_of(path: Path) -> Stamp | None:
    """Return what changes when a file is written or replaced; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def mode_in(folder: Path) -> int:
    """Return the mode for a file in this folder: readable by the group if the folder is, never by others."""
    return 0o600 | (folder.stat().st_mode & 0o040)
