"""The README's tour, the tutorials and the pages that need a backend: their commands run in one shell each.

The output must have each line that the page shows.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.document_commands import runnable_blocks, section
from tests.support.processes import free_ports

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 150
SHOWN = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What a page needs that has only some commands for a backend: one that runs, and files that the page names.
BACKEND = """
sota up --data var/lib/sota --log-level warning --ready-file ready.json &
until [ -s ready.json ]; do sleep 1; done
export SOTA_URL=http://127.0.0.1:8080
export SOTA_TOKEN=$(python3 -c 'import json; print(json.load(open("ready.json"))["token"])')
"""
PACKAGE = """
sota keys new . --name release
mkdir -p ivi/DEBIAN
printf '%s\\n' 'Package: ivi' 'Version: 2.1.0' 'Architecture: all' 'Maintainer: T <t@localhost>' 'Description: x' \\
  > ivi/DEBIAN/control
dpkg-deb --root-owner-group --build ivi ivi.deb
sota ctl vehicles add WVWZZZ1KZ7T000001
"""
ADMIN = """
export SOTA_TOKEN=$(sota tokens new test --role admin --data var/lib/sota)
mkdir -p var/lib/sota/rvi-node
"""
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


def check(shown: str, script: str, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_tour_prints_what_the_readme_shows(tmp_path: Path) -> None:
    tour = section((ROOT / "README.md").read_text(), "A tour in five minutes")
    check(tour, "\n".join(runnable_blocks(tour)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first-update.md", "real-folder-and-fleet.md"])
def test_tutorial_prints_what_its_page_shows(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial" / name).read_text()
    check(page, "\n".join(runnable_blocks(page)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preparation"), [("roll-out-an-update.md", PACKAGE), ("manage-identities.md", ADMIN)])
def test_commands_of_a_page_work_on_a_running_backend(name: str, preparation: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / name).read_text().replace(" /var/lib/", " var/lib/")
    script = [BACKEND, preparation, *runnable_blocks(page), "kill %1", "wait"]
    check("", "\n".join(script), tmp_path)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    except ProcessLookupError:
        return
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
