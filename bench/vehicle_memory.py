"""How much memory an idle ``sota vehicle`` holds: node, SOTA Client and loading manager in one process.

It is a vehicle's own installation (``vehicle_install.py``): this checkout's environment has the backend's libraries, of
which uvloop alone takes 5 MB. Measured connected to a running backend, with an identity of its own from that backend's
authority, and with no backend to be found. The baseline is a bare Python that imports asyncio and ssl, which no vehicle
can do without.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.backend import backend_command
from bench.processes import SOTA, free_ports, get, running, settled_mb, wait_until
from bench.report import Measurement
from bench.vehicle_install import install

REPETITIONS = 3
LIMIT_MB = 45.0
VIN = "WVWZZZ1KZBENCH001"
BARE = "import asyncio, ssl; print('up', flush=True); asyncio.run(asyncio.sleep(600))"
CONNECTIONS = re.compile(rb'^sota_rvi_connections\{role="server"\} ([0-9.]+)$', re.MULTILINE)


def measure() -> Measurement:
    """Let each settle several times; medians of resident memory in MB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = install(folder) / "bin"
        backend, log = backend_command(folder / "backend"), folder / "backend.log"
        with running(backend.command, log) as process:
            wait_until("the backend is ready", lambda: get(backend.operation_port, "/readyz")[0] == 200, process, log)
            _enrol(folder)
            connected = [
                _connected_mb(programs, folder, backend.link_port, backend.operation_port) for _ in range(REPETITIONS)
            ]
        alone = [_alone_mb(programs, folder) for _ in range(REPETITIONS)]
        bare = [_bare_mb(programs, folder) for _ in range(REPETITIONS)]
    figures = {
        "connected_mb": statistics.median(connected),
        "not_connected_mb": statistics.median(alone),
        "bare_python_mb": statistics.median(bare),
    }
    larger = max(figures["connected_mb"], figures["not_connected_mb"])
    return Measurement(
        figures,
        {"limit_ratio": larger / LIMIT_MB, "connected_to_bare": figures["connected_mb"] / figures["bare_python_mb"]},
        (
            f"limit_ratio: the larger of the two against the limit of {LIMIT_MB:g} MB: "
            f"{'kept' if larger < LIMIT_MB else 'NOT kept'}",
        ),
    )


def _enrol(folder: Path) -> None:
    target = folder / "vehicle" / "identity"
    command = (*SOTA, "enrol", VIN, "--authority", str(folder / "backend" / "authority"), "--to", str(target))
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
    (folder / "vehicle" / "keys").mkdir()


def _connected_mb(programs: Path, folder: Path, link_port: int, backend_operation_port: int) -> float:
    # The backend is asked, so that a look at the vehicle's metrics adds nothing to what is measured.
    return _vehicle_mb(programs, folder, link_port, lambda: _connections(backend_operation_port) >= 1)


def _alone_mb(programs: Path, folder: Path) -> float:
    (absent,) = free_ports(1)
    return _vehicle_mb(programs, folder, absent, None)


def _vehicle_mb(programs: Path, folder: Path, link_port: int, connected: Callable[[], bool] | None) -> float:
    (operation_port,) = free_ports(1)
    log = folder / "vehicle.log"
    options = ("--backend", f"tls://127.0.0.1:{link_port}", "--operation-port", str(operation_port))
    command = (
        str(programs / "sota"),
        "vehicle",
        VIN,
        "--data",
        str(folder / "vehicle"),
        "--log-level",
        "warning",
        *options,
    )
    with running(command, log) as process:
        wait_until("the vehicle answers", lambda: get(operation_port, "/healthz")[0] == 200, process, log)
        if connected is not None:
            wait_until("the vehicle is connected", connected, process, log)
        return settled_mb(process.pid)


def _connections(operation_port: int) -> float:
    found = CONNECTIONS.search(get(operation_port, "/metrics")[1])
    return float(found[1]) if found else 0.0


def _bare_mb(programs: Path, folder: Path) -> float:
    log = folder / "bare.log"
    with running((str(programs / "python"), "-c", BARE), log) as process:
        wait_until("bare Python is up", lambda: b"up" in log.read_bytes(), process, log)
        return settled_mb(process.pid)
