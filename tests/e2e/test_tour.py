"""The README's tour, typed as it stands there: its commands run in one shell, and print what the README shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.document_commands import blocks, section
from tests.support.processes import free_ports

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 150
SHOWN = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANY_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def with_free_ports(script: str) -> str:
    """Put free ports in the place of the usual ones: this machine may run a SOTA of its own."""
    names = ("http", "https", "core", "resolver", "edge", "link", "operation")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    car = dict(zip(("edge", "client", "slm"), free_ports(3), strict=True))
    backend_options = " ".join(f"--{name}-port {port}" for name, port in ports.items())
    car_options = " ".join(f"--{name}-port {port}" for name, port in car.items())
    script = re.sub(r":8080\b", f":{ports['http']}", script).replace(":8081/", f":{ports['core']}/")
    script = script.replace("sota up ", f"sota up {backend_options} ")
    return re.sub(
        r"sota vehicle (\w+) ", rf"sota vehicle \1 {car_options} --backend tls://127.0.0.1:{ports['link']} ", script
    )


@pytest.mark.slow
def test_tour_prints_what_the_readme_shows(tmp_path: Path) -> None:
    tour = section((ROOT / "README.md").read_text(), "A tour in five minutes")
    script = "set -eu\n" + with_free_ports("\n".join(blocks(tour)))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    output = tmp_path / "output"
    with output.open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(TIMEOUT_S)
        finally:
            if process.poll() is None or process.returncode != 0:
                _end_session(process)
    printed = ANY_ID.sub("<id>", output.read_text())
    missing = [
        line for shown in SHOWN.findall(tour) for line in shown.splitlines() if ANY_ID.sub("<id>", line) not in printed
    ]
    assert (missing, "Traceback" in printed) == ([], False), printed


def _end_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    except ProcessLookupError:
        return
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
