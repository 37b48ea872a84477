"""The data folder of a program: closed to other users, and used by one process at a time.

Rules kept here:

* a program opens no file in its folder before it has claimed the folder (:func:`claimed`);
* the claim is a kernel lock on ``.NAME.lock``, so it ends with the process, even by SIGKILL; the file itself stays
  and names its last holder;
* a folder that is open to other users is closed, with the program's own files in it;
* a folder with an interrupted restore is refused: its files may be of different moments (``sota restore``).

On NFS the lock holds between machines only where the mount has the server keep it (not with ``nolock`` or
``local_lock``): keep data folders on local disks.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sota.kit.errors import StartError
from sota.kit.files.durable import private_folder

RESTORING = ".restoring"
"""Marks a folder with an unfinished restore; its text names the backup."""

OWN = ("*.db", "*.db-*", "*.sqlite3", "*.sqlite3-*", "*.secret", "web-tls", "identity", "authority", "resolver-index*")
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Another start may succeed where the disk is full or fails for now.
PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Claim:
    """What a program claims: its folder, its name, and its own entries in the folder (patterns)."""

    folder: Path
    name: str
    own: tuple[str, ...] = OWN


@contextlib.contextmanager
def claimed(*claims: Claim, is_restore: bool = False) -> Iterator[None]:
    """Hold these folders; missing ones are created. ``is_restore`` may also claim a half-restored one.

    Raises:
        StartError: another process holds one (exit code 2), or one cannot be used.
    """
    with contextlib.ExitStack() as held:
        for claim in claims:
            held.callback(os.close, _claim(claim, is_restore=is_restore))
        yield


def _claim(claim: Claim, *, is_restore: bool) -> int:
    try:
        private_folder(claim.folder)
        _close_to_others(claim)
        descriptor = os.open(claim.folder / f".{claim.name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(claim.folder, error) from None
    try:
        if os.geteuid() == 0:  # a command run by root must not lock out the program's user
            owner = claim.folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        _lock(claim, descriptor)
        if not is_restore and (claim.folder / RESTORING).exists():
            raise StartError(f"{claim.folder}: a restore was interrupted here: run the same sota restore again")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(claim: Claim, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        raise StartError(f"{claim.folder} is in use by {holder}: end it first, or choose another folder") from None
    except OSError as error:
        raise _unusable(claim.folder, error) from None
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with contextlib.suppress(OSError):  # a full disk: the lock holds without the text
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"sota {claim.name}, process {os.getpid()}, since {since}".encode(), 0)


def _unusable(folder: Path, error: OSError) -> StartError:
    code = 1 if error.errno in PASSING else 2
    return StartError(f"{error.filename or folder}: cannot be used as a data folder: {error.strerror}", exit_code=code)


def _close_to_others(claim: Claim) -> None:
    mode = claim.folder.stat().st_mode
    if not mode & OTHERS:
        return
    if _is_shared(claim, mode):
        raise StartError(
            f"{claim.folder} is open to other users and holds other things: choose another folder, or chmod 700 it"
        )
    claim.folder.chmod(stat.S_IMODE(mode) & ~OTHERS)
    for pattern in claim.own:
        for path in claim.folder.glob(pattern):
            _close_all(path)


def _is_shared(claim: Claim, mode: int) -> bool:
    """Report whether the folder must stay open to others: / or /srv, a home, or one like /tmp."""
    folder = claim.folder.resolve()
    is_of_the_system = len(folder.parts) <= len(("/", "srv")) or folder == _home()
    is_ours = (folder / f".{claim.name}.lock").exists() or not any(folder.iterdir())
    return bool(mode & stat.S_ISVTX) or (is_of_the_system and not is_ours)


def _close_all(path: Path) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return
    if status.st_mode & OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
    if stat.S_ISDIR(status.st_mode):
        for inner in path.iterdir():
            _close_all(inner)


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:  # a service's user may have no home
        return None
