"""The processes of a step: all that it started, including those that left its session or lost their parent.

They are found by an environment variable that names the step, by the sessions of these processes, and as their
descendants. A step that is a program of this package adopts its orphaned descendants (:func:`adopt_orphans`). Processes
in a namespace of their own are found too, in the machine's ``/proc``. The searching program and its session never
belong to a step, even if a package has restarted it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

VARIABLE = "SOTA_STEP"
DEAD = (b"Z", b"X")
PROCESSES = Path("/proc")
PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """A running process; ``started`` distinguishes it from an earlier one with the same id."""

    parent: int
    session: int
    started: int


class StepProcesses:
    """Finds and signals the processes of the step whose variable has the value ``step``."""

    def __init__(self, step: Path) -> None:
        self._mark = f"{VARIABLE}={step}".encode()
        self._sessions: set[int] = set()
        """Kept between calls: a process that cleared its environment stays in its session."""
        self._known: set[tuple[int, int]] = set()
        """Kept for processes that lost their parent: ids with start times."""
        self._terminated: set[int] = set()

    def find(self) -> list[int]:
        """Return the ids of the running processes."""
        running = _running()
        own = os.getsid(0)
        found = {pid for pid in running if self._is_marked(pid)}
        self._sessions |= {running[pid].session for pid in found}
        found |= {pid for pid, one in running.items() if one.session in self._sessions}
        found |= {pid for pid, one in running.items() if (pid, one.started) in self._known}
        found = {pid for pid in _with_descendants(found, running) if running[pid].session != own}
        self._known |= {(pid, running[pid].started) for pid in found}
        return sorted(found)

    def terminate(self) -> bool:
        """Terminate each process, once; report whether there were any."""
        found = self.find()
        for pid in set(found) - self._terminated:
            _signal(pid, signal.SIGTERM)
        self._terminated |= set(found)
        return bool(found)

    def kill(self) -> bool:
        """Kill each process; report whether there were any."""
        found = self.find()
        for pid in found:
            _signal(pid, signal.SIGKILL)
        return bool(found)

    def _is_marked(self, pid: int) -> bool:
        try:
            return self._mark in (PROCESSES / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return False


def adopt_orphans() -> None:
    """Make this process adopt its orphaned descendants, so that none leaves the step unseen."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _running() -> dict[int, Process]:
    """Return all running processes by id."""
    found = {}
    for entry in os.listdir(PROCESSES):  # noqa: PTH208 - a thousand path objects are slow
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # After the name, which may contain anything: state, parent, group, session …, 20th the start time.
                fields = (PROCESSES / entry / "stat").read_bytes().rpartition(b")")[2].split()
                if fields[0] not in DEAD:
                    found[int(entry)] = Process(int(fields[1]), int(fields[3]), int(fields[19]))
    return found


def _with_descendants(found: set[int], running: Mapping[int, Process]) -> set[int]:
    size = -1
    while size != len(found):
        size = len(found)
        found = found | {pid for pid, one in running.items() if one.parent in found}
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
