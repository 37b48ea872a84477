"""How long ``sota up`` takes from its start until ``/readyz`` answers 200.

On a fresh data folder it makes three databases, the secrets between the programs, an authority, a certificate and the
first administrator; on an existing one it only checks them. The baseline is a bare uvicorn that says hello.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.backend import backend_command
from bench.processes import free_ports, get, running, wait_until
from bench.report import Measurement

REPETITIONS = 5
LIMIT_S = 4.0
BARE = """
import sys, uvicorn
async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
uvicorn.run(hello, port=int(sys.argv[1]), lifespan="off", log_config=None)
"""


def measure() -> Measurement:
    """Start each several times; medians in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        existing = folder / "existing"
        _backend_s(existing, folder)  # makes the existing folder, and warms the disk's cache for all that follows
        fresh = _median(lambda number: _backend_s(folder / f"fresh-{number}", folder))
        again = _median(lambda _number: _backend_s(existing, folder))
        bare = _median(lambda _number: _bare_s(folder))
    return Measurement(
        {"fresh_s": fresh, "existing_s": again, "bare_uvicorn_s": bare},
        {"limit_ratio": max(fresh, again) / LIMIT_S, "existing_to_bare": again / bare},
        (f"limit_ratio: the slower of the two against the limit of {LIMIT_S:g} s; below 1 keeps it.",),
    )


def _median(measured: Callable[[int], float]) -> float:
    return statistics.median(measured(number) for number in range(REPETITIONS))


def _backend_s(data: Path, folder: Path) -> float:
    backend = backend_command(data)
    return _seconds_until(backend.command, backend.operation_port, "/readyz", folder / "backend.log")


def _bare_s(folder: Path) -> float:
    (port,) = free_ports(1)
    return _seconds_until((sys.executable, "-c", BARE, str(port)), port, "/", folder / "bare.log")


def _seconds_until(command: Sequence[str], port: int, path: str, log: Path) -> float:
    started = time.perf_counter()
    with running(command, log) as process:
        wait_until(f"GET {path} answers 200", lambda: get(port, path)[0] == 200, process, log)
        return time.perf_counter() - started
