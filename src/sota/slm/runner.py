"""Runs a step as a process that outlives us: our end, even by ``kill -9``, must not stop an installation half-way.

The command runs in a session of its own, writes its output to a file (a pipe would break with us), and a small shell
around it writes its exit code to another file as its last act. The shell holds a lock that was taken before it was
started and goes with it, so whoever comes later knows: locked, the step still runs; an exit code, it ended so;
neither, the power went in the middle and nobody knows how far it came. The command itself does not get the lock, so a
daemon that it leaves behind holds nothing up.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SHELL = """
echo $$ > "$SOTA_STEP.pid"
"$@" 9>&-
echo $? > "$SOTA_STEP.exit.new" && mv "$SOTA_STEP.exit.new" "$SOTA_STEP.exit"
"""
OUTPUT_FILE_LIMIT = 8 << 20
POLL_S = 0.01
POLL_MAX_S = 0.25
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended: ``exit_code`` None where nobody knows."""

    exit_code: int | None
    output: str


class Runner:
    """Runs steps whose files are in ``folder``, one key a step."""

    def __init__(self, folder: Path, *, timeout_s: float, output_limit: int) -> None:
        self._folder = folder
        self._timeout_s = timeout_s
        self._output_limit = output_limit
        self._children: dict[str, int] = {}

    def start(self, key: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the step's process. Call it once for a key; :meth:`wait` gives the end, now or after a restart."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.forget(key)
        lock = self._open_lock(key)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._children[key] = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", SHELL, "sh", *command],
                {**environment, "SOTA_STEP": str(self._folder / key)},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (
                        os.POSIX_SPAWN_OPEN,
                        1,
                        str(self._path(key, "out")),
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

    async def wait(self, key: str) -> Ended:
        """Wait until the step has ended. Over the time-out its whole session is ended, gently and then not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        pause = POLL_S
        stopping: signal.Signals | None = None
        while self.runs(key):
            self._bound_output(key)
            if loop.time() > deadline:
                stopping = signal.SIGTERM if stopping is None else signal.SIGKILL
                self._signal(key, stopping)
                deadline = loop.time() + GRACE_S
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_MAX_S)
        self._reap(key)
        exit_code, output = self._exit_code(key), self._read_output(key)
        if stopping is not None:
            return Ended(exit_code or 124, f"{output}\nstopped: it took more than {self._timeout_s:g} s")
        return Ended(exit_code, output)

    async def wait_for_lost(self) -> None:
        """Wait for each step that runs without the journal's knowing: the journal was damaged while it ran.

        Called where the journal has no open step, so that nothing is begun beside one that still works.
        """
        for key in sorted(path.name.removesuffix(".lock") for path in self._folder.glob("*.lock")):
            await self.wait(key)
            self.forget(key)

    def runs(self, key: str) -> bool:
        """Say whether the step's process is there, started by us or by our predecessor."""
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
        """Remove the step's files: the journal has what they said."""
        for kind in ("pid", "out", "exit", "lock"):
            self._path(key, kind).unlink(missing_ok=True)

    def _path(self, key: str, kind: str) -> Path:
        return self._folder / f"{key}.{kind}"

    def _open_lock(self, key: str) -> int:
        return os.open(self._path(key, "lock"), os.O_RDWR | os.O_CREAT, 0o600)

    def _reap(self, key: str) -> None:
        pid = self._children.pop(key, None)
        if pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)  # it let go of the lock, so it has ended

    def _exit_code(self, key: str) -> int | None:
        try:
            return int(self._path(key, "exit").read_text())
        except (OSError, ValueError):
            return None

    def _signal(self, key: str, number: signal.Signals) -> None:
        # Its lock is held, so the id in the file is that of a living process.
        with contextlib.suppress(OSError, ValueError):
            os.killpg(int(self._path(key, "pid").read_text()), number)

    def _bound_output(self, key: str) -> None:
        path = self._path(key, "out")
        with contextlib.suppress(OSError):
            if path.stat().st_size > OUTPUT_FILE_LIMIT:
                os.truncate(path, 0)  # it is opened for appending, so what follows starts at the front again

    def _read_output(self, key: str) -> str:
        try:
            with self._path(key, "out").open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - self._output_limit))
                content = file.read(self._output_limit)
        except OSError:
            return ""
        return printable(content, cut=size > self._output_limit)


def printable(content: bytes, *, cut: bool = False) -> str:
    """Give an installer's output as text that can travel and be shown: no control characters but line feed and tab."""
    text = content.decode(errors="replace")
    text = "".join(character for character in text if character.isprintable() or character in "\n\t").strip()
    return f"[…]\n{text}" if cut else text
