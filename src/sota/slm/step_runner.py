"""Runs a step as a process that outlives this program: even ``kill -9`` must not stop an installation half-way.

The command runs in its own session and writes its output to a file, because a pipe would break with this program. A
small shell around it finally writes the exit code to another file. The shell inherits a lock, which shows the state to
a later start of the program: locked, the step still runs; an exit code, it ended with that; neither, the power failed
and the result is unknown. The command itself does not inherit the lock, so a daemon that it leaves behind does not
keep the step open.

A step that timed out, or whose shell was killed, has ended only when all its processes have (``step_processes.py``): no
other step begins while it still works.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sota.kit.runtime.logging import get_logger
from sota.slm.step_output import LEFT, StepOutput, tend_left
from sota.slm.step_processes import VARIABLE, StepProcesses

SHELL = """
echo $$ > "$SOTA_STEP.pid"
"$@" 9>&-
echo $? > "$SOTA_STEP.exit.new" && mv "$SOTA_STEP.exit.new" "$SOTA_STEP.exit"
"""
POLL_S = 0.01
POLL_MAX_S = 0.25
GRACE_S = 10.0
TIMED_OUT = 124
STANDARD_ERROR = 2
WARN_AFTER_S = 60.0
TEND_S, TEND_NOTHING_S = 5.0, 60.0
KINDS = ("pid", "exit", "exit.new", "lock")


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended; ``exit_code`` is None if that is unknown."""

    exit_code: int | None
    output: str


class StepRunner:
    """Runs steps, each with a key; their files are in ``folder``."""

    def __init__(self, folder: Path, *, timeout_s: float, output_limit: int) -> None:
        self._folder = folder
        self._timeout_s = timeout_s
        self._output_limit = output_limit
        self._children: dict[str, int] = {}
        self._log = get_logger(program="slm")

    def start(self, key: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the step's process, once for a key; :meth:`wait` returns its end, now or after a restart."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.forget(key)
        lock = self._open_lock(key)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._children[key] = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", SHELL, "sh", *command],
                {**environment, VARIABLE: str(self._folder / key)},
                file_actions=[
                    *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inheritable()),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (
                        os.POSIX_SPAWN_OPEN,
                        1,
                        str(self._output(key).file),
                        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                        0o600,
                    ),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, lock, 9),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
            )
        finally:
            os.close(lock)

    async def wait(self, key: str) -> StepResult:
        """Wait until the step has ended. After the time-out all its processes are terminated, then killed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        pause = POLL_S
        processes = StepProcesses(self._folder / key)
        while self.runs(key) or self._lost_its_shell(key, processes):
            self._output(key).bound()
            if loop.time() > deadline:
                await self._end(key, processes)
                return self._ended(key, f"stopped: it took more than {self._timeout_s:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX_S)
        return self._ended(key)

    async def wait_for_lost(self) -> None:
        """Wait for each step that is missing in the journal, which was damaged while the step ran.

        Called when the journal has no open step, so that no step begins while another still works.
        """
        for key in sorted(path.name.removesuffix(".lock") for path in self._folder.glob("*.lock")):
            await self.wait(key)
            self.forget(key)

    def runs(self, key: str) -> bool:
        """Report whether the step's process runs, whether this program started it or an earlier one."""
        if not self._path(key, "lock").exists():
            return False
        lock = self._open_lock(key)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def forget(self, key: str) -> None:
        """Remove the step's files: the journal has their contents."""
        self._output(key).remove()
        for kind in KINDS:
            self._path(key, kind).unlink(missing_ok=True)

    def clear(self, opened: Collection[str]) -> None:
        """Remove the files of all steps that are not ``opened``."""
        keys = {path.name.partition(".")[0] for path in self._folder.glob("*") if path.suffix != f".{LEFT}"}
        for key in keys - set(opened):
            if not self.runs(key) and not self._lost_its_shell(key, StepProcesses(self._folder / key)):
                self.forget(key)

    async def tend(self) -> None:
        """Bound the output of daemons that ended steps left behind, until cancelled."""
        while True:
            remaining = await asyncio.to_thread(tend_left, self._folder)
            await asyncio.sleep(TEND_S if remaining else TEND_NOTHING_S)

    def _output(self, key: str) -> StepOutput:
        return StepOutput(self._folder, key)

    def _path(self, key: str, kind: str) -> Path:
        return self._folder / f"{key}.{kind}"

    def _open_lock(self, key: str) -> int:
        return os.open(self._path(key, "lock"), os.O_RDWR | os.O_CREAT, 0o600)

    def _lost_its_shell(self, key: str, processes: StepProcesses) -> bool:
        """Report whether the step's command still runs although its shell was killed."""
        was_cut = self._path(key, "lock").exists() and not self._path(key, "exit").exists()
        return was_cut and bool(processes.find())

    async def _end(self, key: str, processes: StepProcesses) -> None:
        """Terminate all processes of the step; return when none is left."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        act, warned = processes.terminate, False
        while act():
            self._output(key).bound()
            await asyncio.sleep(POLL_MAX_S)
            if loop.time() > begun + GRACE_S:
                act = processes.kill
            if loop.time() > begun + GRACE_S + WARN_AFTER_S and not warned:
                self._log.error("step_cannot_be_ended", step=key, processes=processes.find())
                warned = True

    def _ended(self, key: str, stopped: str = "") -> StepResult:
        """Return how the step ended; ``stopped`` is why this program stopped it."""
        pid = self._children.pop(key, None)
        if pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)  # it released the lock, so it has ended
        exit_code, output = self._exit_code(key), self._output(key).read(self._output_limit)
        return StepResult(exit_code or TIMED_OUT, f"{output}\n{stopped}") if stopped else StepResult(exit_code, output)

    def _exit_code(self, key: str) -> int | None:
        try:
            return int(self._path(key, "exit").read_text())
        except (OSError, ValueError):
            return None


def _inheritable() -> list[int]:
    """Return the inherited open files: a step must not get them, confined or not."""
    found = []
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # the folder itself
            if int(entry) > STANDARD_ERROR and os.get_inheritable(int(entry)):
                found.append(int(entry))
    return found
