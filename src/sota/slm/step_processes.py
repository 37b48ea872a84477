"""The processes of a step: all that it started, also those that left its session or lost their parent.

They are known by a variable of their environment that names the step, by the sessions of those that have it, and as
their descendants. A step whose program is ours keeps descendants whose parent has ended (:func:`adopt_orphans`). What a
step started in a process namespace of its own is found too: the machine's ``/proc`` has it. The program that looks, and
its own session, never belong to a step, although a package may have started it again.
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
    """A process that lives; ``started`` tells it from an earlier one with its id."""

    parent: int
    session: int
    started: int


class StepProcesses:
    """Finds and signals the processes of the step whose variable has the value ``step``."""

    def __init__(self, step: Path) -> None:
        self._mark = f"{VARIABLE}={step}".encode()
        self._sessions: set[int] = set()
        """Remembered from one look to the next: what cleared its environment stays in its session."""
        self._known: set[tuple[int, int]] = set()
        """The same for what lost its parent: ids, each with when it started."""
        self._told: set[int] = set()

    def find(self) -> list[int]:
        """Return the ids of those that live."""
        living = _living()
        own = os.getsid(0)
        found = {pid for pid in living if self._is_marked(pid)}
        self._sessions |= {living[pid].session for pid in found}
        found |= {pid for pid, one in living.items() if one.session in self._sessions}
        found |= {pid for pid, one in living.items() if (pid, one.started) in self._known}
        found = {pid for pid in _with_descendants(found, living) if living[pid].session != own}
        self._known |= {(pid, living[pid].started) for pid in found}
        return sorted(found)

    def terminate(self) -> bool:
        """Ask each to end, once; returns whether there were any."""
        found = self.find()
        for pid in set(found) - self._told:
            _signal(pid, signal.SIGTERM)
        self._told |= set(found)
        return bool(found)

    def kill(self) -> bool:
        """End each; returns whether there were any."""
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
    """Have each descendant of this process whose parent ends become its child: it cannot leave the step unseen."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _living() -> dict[int, Process]:
    """Return every process that lives, by its id."""
    found = {}
    for entry in os.listdir(PROCESSES):  # noqa: PTH208 - a path object for each of a thousand entries takes its time
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # After the name, which may hold anything: state, parent, group, session …, 20th when it started.
                fields = (PROCESSES / entry / "stat").read_bytes().rpartition(b")")[2].split()
                if fields[0] not in DEAD:
                    found[int(entry)] = Process(int(fields[1]), int(fields[3]), int(fields[19]))
    return found


def _with_descendants(found: set[int], living: Mapping[int, Process]) -> set[int]:
    size = -1
    while size != len(found):
        size = len(found)
        found = found | {pid for pid, one in living.items() if one.parent in found}
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
