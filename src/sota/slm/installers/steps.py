"""What installers share whose steps are modules of this package, run as separate processes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from sota.slm.installers import Command, InstallerFailed

LOCK = ".lock"
LOCK_POLL_S = 0.1
CANNOT = 'echo "$1"; exit 1'


class Slot(msgspec.Struct, frozen=True):
    """The content of one of two slots."""

    version: str
    confirmed: bool


def run_module(module: str, *arguments: str) -> Command:
    """Return the command that runs a module of this package with this Python."""
    paths = os.environ.get("PYTHONPATH")
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **({"PYTHONPATH": paths} if paths else {})}
    return Command((sys.executable, "-P", "-m", module, *arguments), environment)


def refuse(text: str) -> Command:
    """Return a command that prints why a step is not possible, and fails."""
    return Command(("/bin/sh", "-c", CANNOT, "sh", text), {})


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock a folder for a step; yield the lock's descriptor."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


async def wait_for_lock(folder: Path, timeout_s: float) -> None:
    """Wait until no process has locked a folder: a step may have lost its shell and continue.

    Raises:
        InstallerFailed: it is locked for longer.
    """
    await wait_for_locks([folder / LOCK], timeout_s, f"Another process works in {folder}", fcntl.flock)


async def wait_for_locks(
    locks: Sequence[Path], timeout_s: float, problem: str, take: Callable[[int, int], object]
) -> None:
    """Wait until no process holds any of the locks, by ``fcntl.flock`` or ``fcntl.lockf``.

    Raises:
        InstallerFailed: one is held for longer; ``problem`` begins the message.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while not all(_is_free(lock, take) for lock in locks):  # noqa: ASYNC110 - a file lock sends no event
                await asyncio.sleep(LOCK_POLL_S)
    except TimeoutError:
        raise InstallerFailed(f"{problem} for more than {timeout_s:g} s.") from None


def _is_free(lock: Path, take: Callable[[int, int], object]) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        return try_lock(descriptor, take)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, take: Callable[[int, int], object]) -> bool:
    """Take a lock if no process holds it; report whether it was free."""
    try:
        take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
