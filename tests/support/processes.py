"""Programs as child processes, started as the commands that a user types, and always ended.

Each has a log file of JSON lines (its standard error), which a restarted process goes on with; ``mark`` and
``events(since=…)`` tell what was logged after a certain moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

STOP_TIMEOUT_S = 20.0
# Below the range from which outgoing connections take theirs: a killed program finds its port free again.
PORTS = range(15_000, 30_000)
# Tests at the same time have ports of their own: one that is given may be listened on only later, or again.
WORKERS = 8
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
_given: set[int] = set()
# Ends a program when the tests' process is gone, even by SIGKILL. setpriv is part of every Debian.
END_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


def free_ports(count: int) -> list[int]:
    """Find free ports that no other test of this run gets."""
    found: list[int] = []
    for port in random.sample(PORTS, k=len(PORTS)):
        if port in _given or port % WORKERS != WORKER:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            _given.update(found)
            return found
    raise AssertionError(f"no {count} free ports")


class ProgramProcess:
    """One program; it can be started again after it was killed."""

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.log = name, log
        self._arguments = list(arguments)
        self.environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; says nothing about whether it is ready."""
        assert not self.running, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*END_WITH_PARENT, sys.executable, "-m", "sota.cli", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP freezes the program, SIGCONT continues it."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, by SIGKILL, as a crash or a loss of power would; its children live on."""
        assert self.running, f"{self.name} does not run: {self.tail()}"
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=STOP_TIMEOUT_S)

    async def stop(self) -> None:
        """Ask it to end, by SIGTERM. One that we killed has ended already.

        Raises:
            AssertionError: it did not end, ended with an error, or had ended by itself before.
        """
        if self._process is None or self._process.poll() == -signal.SIGKILL:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end on SIGTERM: {self.tail()}") from None
        assert code == 0, f"{self.name} ended with {code}: {self.tail()}"

    def mark(self) -> int:
        """Return the position of the log's end, for ``events(since=…)``."""
        return self.log.stat().st_size if self.log.exists() else 0

    def events(self, name: str | None = None, *, since: int = 0) -> list[dict[str, Any]]:
        """Return the logged events, all or those of one name, without a line that a kill has torn."""
        found = []
        with self.log.open("rb") as log:
            log.seek(since)
            for line in log.read().splitlines():
                try:
                    event = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    continue
                if isinstance(event, dict) and name in (None, event.get("event")):
                    found.append(event)
        return found

    def tail(self, lines: int = 15) -> str:
        """Return the end of the log, for the message of a failing test."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def left_over(folder: Path) -> list[str]:
    """List the processes that still work in a folder: the command lines in which it stands."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if str(folder) in command:
                    found.append(f"{entry.name} {command}")
    return found


def kill_all_in(folder: Path) -> None:
    """End every process that works in a folder at once, whichever program started it: what a loss of power does."""
    for text in left_over(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(text.split()[0]), signal.SIGKILL)
