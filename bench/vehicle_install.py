"""What a vehicle's installation takes on disk beyond Python, and how soon a vehicle of it is ready.

The wheel is built and installed, with what requirements/vehicle.lock names and nothing else, into a fresh virtual
environment, byte-compiled as pip does it. There `sota vehicle` is started and asked until it is ready. The baseline is
the same Python with nothing but asyncio and ssl.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.processes import free_ports, get, running, wait_until
from bench.report import Measurement
from sota.boundaries.authority import Authority

ROOT = Path(__file__).parents[1]
REPETITIONS = 5
LIMIT_MB, LIMIT_START_S = 60.0, 1.0
VIN = "WVWZZZ1KZBENCH001"
BARE = "import asyncio, ssl; asyncio.run(asyncio.sleep(0))"
INSTALL_S = 300


def measure() -> Measurement:
    """Install once, start several times; megabytes (10^6 bytes, in whole blocks of the disk) and median seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = install(folder)
        taken = used_mb(environment)
        data = folder / "vehicle"
        Authority.open(folder / "authority").issue_vehicle(VIN, data / "identity")
        (data / "keys").mkdir()
        starts = [_start_s(environment, folder, data) for _ in range(REPETITIONS)]
        bare = [_bare_s(environment / "bin" / "python") for _ in range(REPETITIONS)]
    figures = {
        "installed_mb": taken,
        "start_s": statistics.median(starts),
        "bare_python_start_s": statistics.median(bare),
    }
    ratios = {
        "limit_ratio": taken / LIMIT_MB,
        "start_limit_ratio": figures["start_s"] / LIMIT_START_S,
        "start_to_bare": figures["start_s"] / figures["bare_python_start_s"],
    }
    return Measurement(
        figures,
        ratios,
        (
            f"installed_mb: at most {LIMIT_MB:g} MB: {_kept(taken, LIMIT_MB)}",
            f"start_s: until ready, under {LIMIT_START_S:g} s: {_kept(figures['start_s'], LIMIT_START_S)}",
        ),
    )


def install(folder: Path) -> Path:
    """Build the wheel and install it as a vehicle has it; return the virtual environment."""
    uv, wheels, environment = str(Path(sys.executable).with_name("uv")), folder / "wheels", folder / "environment"
    python = str(environment / "bin" / "python")
    lock = str(ROOT / "requirements" / "vehicle.lock")
    into = (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python)
    _run(uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", str(wheels), ".")
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    _run(*into, "--require-hashes", "-r", lock)
    _run(*into, "--no-deps", *map(str, wheels.glob("*.whl")))
    return environment


def used_mb(folder: Path) -> float:
    """Add up what a folder takes on disk, in whole blocks; links count nothing, for Python is not counted."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_blocks * 512 for path in files) / 1e6


def _start_s(environment: Path, folder: Path, data: Path) -> float:
    absent, edge, client, slm, operation = free_ports(5)
    ports = ("--edge-port", str(edge), "--client-port", str(client), "--slm-port", str(slm))
    there = ("--backend", f"tls://127.0.0.1:{absent}", "--operation-port", str(operation), "--log-level", "warning")
    log = folder / "vehicle.log"
    began = time.monotonic()
    command = (str(environment / "bin" / "sota"), "vehicle", VIN, "--data", str(data), *ports, *there)
    with running(command, log) as process:
        wait_until("the vehicle is ready", lambda: get(operation, "/readyz")[0] == 200, process, log)
        return time.monotonic() - began


def _bare_s(python: Path) -> float:
    began = time.monotonic()
    subprocess.run((str(python), "-c", BARE), check=True, timeout=60)
    return time.monotonic() - began


def _run(*command: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(command, check=True, timeout=INSTALL_S, cwd=ROOT, env=environment)


def _kept(value: float, limit: float) -> str:
    return "kept" if value < limit else "NOT kept"
