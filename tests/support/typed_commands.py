"""Types the commands of a document into one shell, with free ports, and compares the output with the page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.processes import free_ports

TIMEOUT_S = 170
SHOWN = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANY_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def with_free_ports(script: str) -> str:
    """Replace the usual ports by free ones: this machine may run a SOTA of its own."""
    names = ("http", "https", "core", "resolver", "edge", "link", "operation")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    car = dict(zip(("edge", "client", "slm"), free_ports(3), strict=True))
    backend_options = " ".join(f"--{name}-port {port}" for name, port in ports.items())
    car_options = " ".join(f"--{name}-port {port}" for name, port in car.items())
    script = re.sub(r":8080\b", f":{ports['http']}", script).replace(":8081/", f":{ports['core']}/")
    script = script.replace("sota up ", f"sota up {backend_options} ")
    script = script.replace(
        "sota fleet ", f"sota fleet --backend tls://127.0.0.1:{ports['link']} --core http://127.0.0.1:{ports['core']} "
    )
    return re.sub(
        r"sota vehicle (\w+) ", rf"sota vehicle \1 {car_options} --backend tls://127.0.0.1:{ports['link']} ", script
    )


def type_commands(shown: str, script: str, tmp_path: Path) -> None:
    """Run commands in a shell that ends at the first failure. Their output must have each line that the page shows."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    output = tmp_path / "output"
    with output.open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"set -eu\n{with_free_ports(script)}"],
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
        line for text in SHOWN.findall(shown) for line in text.splitlines() if ANY_ID.sub("<id>", line) not in printed
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
