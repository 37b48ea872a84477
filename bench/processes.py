"""Starts what is measured as a child process on loopback, waits for it, reads its memory, and ends it. All bounded."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

READY_S = 60.0
STOP_S = 20.0
# Short against what is measured, long enough to leave the processor to the program that starts.
POLL_S = 0.01
SOTA = (sys.executable, "-m", "sota.cli")


class BenchmarkError(RuntimeError):
    """A program that is measured did not do what it should; the message holds the end of its log."""


def free_ports(count: int) -> list[int]:
    """Find free ports on loopback, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for as long as the block lasts; SIGTERM, then SIGKILL, at its end. Its output goes to ``log``."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SOTA_")}
    # Where Python may not keep what it compiled, each start compiles again, for a second: unlike in production.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)


def get(port: int, path: str) -> tuple[int, bytes]:
    """Ask a port on loopback; status 0 while nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def wait_until(what: str, condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until ``condition`` holds.

    Raises:
        BenchmarkError: the process ended, or a minute went by.
    """
    deadline = time.monotonic() + READY_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            ended = f"ended with {process.returncode}" if process.returncode is not None else "is too slow"
            raise BenchmarkError(f"{what}: the program {ended}\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(POLL_S)


def processor_s(pid: int) -> float:
    """Read how much processor time a process has used, all threads, in seconds."""
    # Fields 14 and 15 of the line; the name, field 2, may hold blanks and ends with the last parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main_thread_s(pid: int) -> float:
    """Read how much processor time a process's first thread has used, in seconds."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def resident_mb(pid: int) -> float:
    """Read a process's resident memory in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchmarkError(f"process {pid} has no memory left: it ended")


def peak_mb(pid: int) -> float:
    """Read the most resident memory that a process ever had, in MB (10^6 bytes); 0 when it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), 0.0)


def settled_mb(pid: int, *, quiet_s: float = 3.0, limit_s: float = 20.0) -> float:
    """Return the resident memory once it has changed by less than 1 % for ``quiet_s``, or after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    since, memory_mb = time.monotonic(), resident_mb(pid)
    while time.monotonic() < min(since + quiet_s, deadline):
        time.sleep(0.2)
        now_mb = resident_mb(pid)
        if abs(now_mb - memory_mb) > 0.01 * memory_mb:
            since, memory_mb = time.monotonic(), now_mb
    return resident_mb(pid)
