"""What installers share whose steps are a program of ours, run as a process of its own that outlives us."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from pathlib import Path

from sota.slm.installers import Command, InstallerFailed

LOCK_POLL_S = 0.1
CANNOT = 'echo "$1"; exit 1'


def run_module(module: str, *arguments: str) -> Command:
    """Give the command that runs a module of ours with this Python."""
    paths = os.environ.get("PYTHONPATH")
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **({"PYTHONPATH": paths} if paths else {})}
    return Command((sys.executable, "-P", "-m", module, *arguments), environment)


def refuse(text: str) -> Command:
    """Give a command that says why a step is not possible, and fails."""
    return Command(("/bin/sh", "-c", CANNOT, "sh", text), {})


async def wait_for_lock(lock: Path, timeout_s: float) -> None:
    """Wait until nobody holds a lock: a step of ours may have lost its shell, and go on.

    Raises:
        InstallerFailed: it is held for longer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while not _is_free(lock):  # noqa: ASYNC110 - a file's lock tells nobody
                await asyncio.sleep(LOCK_POLL_S)
    except TimeoutError:
        raise InstallerFailed(f"Another process works in {lock.parent} for more than {timeout_s:g} s.") from None


def _is_free(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
