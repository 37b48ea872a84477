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
from dataclasses import dataclass
from pathlib import Path

from bench.backend import backend_command
from bench.processes import free_ports, get, processor_s, running, wait_until
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


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds by the clock, and processor seconds, which a busy machine changes less."""

    clock_s: float
    processor_s: float


def measure() -> Measurement:
    """Start each several times; medians in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        existing = folder / "existing"
        _start_backend(existing, folder)  # makes the existing folder, and warms the disk's cache for all that follows
        fresh = _median(lambda number: _start_backend(folder / f"fresh-{number}", folder))
        again = _median(lambda _number: _start_backend(existing, folder))
        bare = _median(lambda _number: _start_bare(folder))
    figures = {"fresh_s": fresh.clock_s, "existing_s": again.clock_s, "bare_uvicorn_s": bare.clock_s}
    processor = {"fresh_processor_s": fresh.processor_s, "existing_processor_s": again.processor_s}
    slower_s = max(fresh.clock_s, again.clock_s)
    return Measurement(
        figures | processor,
        {"limit_ratio": slower_s / LIMIT_S, "existing_to_bare": again.clock_s / bare.clock_s},
        (f"limit_ratio: the slower of the two against the limit of {LIMIT_S:g} s; below 1 keeps it.",),
    )


def _median(measured: Callable[[int], Start]) -> Start:
    starts = [measured(number) for number in range(REPETITIONS)]
    clock_s = statistics.median(start.clock_s for start in starts)
    return Start(clock_s, statistics.median(start.processor_s for start in starts))


def _start_backend(data: Path, folder: Path) -> Start:
    backend = backend_command(data)
    return _start(backend.command, backend.operation_port, "/readyz", folder / "backend.log")


def _start_bare(folder: Path) -> Start:
    (port,) = free_ports(1)
    return _start((sys.executable, "-c", BARE, str(port)), port, "/", folder / "bare.log")


def _start(command: Sequence[str], port: int, path: str, log: Path) -> Start:
    started = time.perf_counter()
    with running(command, log) as process:
        wait_until(f"GET {path} answers 200", lambda: get(port, path)[0] == 200, process, log)
        return Start(time.perf_counter() - started, processor_s(process.pid))
