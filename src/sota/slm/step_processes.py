"""The processes of a step: all that it started, also those that left its session or lost their parent.

They are known by a variable of their environment that names the step, and by the sessions of those that have it. What a
step started in a process namespace of its own is found too: the machine's ``/proc`` has it. The program that looks, and
its own session, never belong to a step, although a package may have started it again.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

VARIABLE = "SOTA_STEP"
DEAD = (b"Z", b"X")
PROCESSES = Path("/proc")


class StepProcesses:
    """Finds and signals the processes of the step whose variable has the value ``step``."""

    def __init__(self, step: Path) -> None:
        self._mark = f"{VARIABLE}={step}".encode()
        self._sessions: set[int] = set()
        """Remembered from one look to the next: what cleared its environment stays in its session."""
        self._told: set[int] = set()

    def find(self) -> list[int]:
        """Return the ids of those that live."""
        sessions = dict(_sessions())
        marked = {pid for pid in sessions if self._is_marked(pid)}
        self._sessions |= {sessions[pid] for pid in marked}
        own = os.getsid(0)
        return [pid for pid, at in sessions.items() if at != own and (pid in marked or at in self._sessions)]

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


def _sessions() -> list[tuple[int, int]]:
    """Return id and session of every process that lives."""
    found = []
    for entry in os.listdir(PROCESSES):  # noqa: PTH208 - a path object for each of a thousand entries takes its time
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # After the name, which may hold anything: state, parent, group, session.
                fields = (PROCESSES / entry / "stat").read_bytes().rpartition(b")")[2].split()
                if fields[0] not in DEAD:
                    found.append((int(entry), int(fields[3])))
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
