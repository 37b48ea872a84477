"""How many vehicles one node holds: its memory for each, and how long it takes to notify them all.

15,000 vehicles connect to one ``sota rvi-node`` over mutual TLS, each with a credential of its own; one client process
plays them. ``kb_per_vehicle`` is what the node's resident memory grew by, for each, once all are connected and quiet.
``notify_all_s`` is the time from the first notification that Core's side hands to the node's edge to the last that has
arrived at a vehicle. The node's processor time is ``node_us_per_connection`` and ``node_us_per_notification``.

``SCALE=1000 make bench ONLY=connections`` takes fewer, for a quick look; its result is not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench.connections_sinks import make_tokens, vin
from bench.processes import SOTA, BenchmarkError, free_ports, get, processor_s, running, settled_mb, wait_until
from bench.report import Measurement
from sota.boundaries.authority import Authority
from sota.kit.http.client import HttpClient

VEHICLES = 15_000
CALLERS = 16
KB_LIMIT, NOTIFY_LIMIT_S = 80.0, 10.0
CONNECT_S, STALLED_S = 900.0, 120.0
SPARE_FILES = 500


def measure() -> Measurement:
    """Connect all, weigh the node, notify all.

    Raises:
        BenchmarkError: too few files may be open, or not all connected.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < vehicles + SPARE_FILES:
        raise BenchmarkError(f"{vehicles} connections need as many open files, and {hard} is the most (ulimit -Hn)")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        authority = Authority.open(folder / "authority")
        authority.issue_backend(folder / "identity")
        authority.issue(folder / "vehicles", "vehicles", receive=["genivi.org/vin/"], invoke=["genivi.org/backend/"])
        print(f"signing {vehicles:,} credentials", flush=True)
        make_tokens(folder / "vehicles", vehicles)
        edge, link, pid = _node(stack, folder)
        before_mb, before_s = settled_mb(pid), processor_s(pid)
        sinks = _Sinks(stack, folder, link, vehicles)
        began_at = sinks.line("began_at", 30)
        connected_s = sinks.connected(began_at) - began_at
        connected_us = (processor_s(pid) - before_s) * 1e6 / vehicles
        print(f"{vehicles:,} connected in {connected_s:.0f} s", flush=True)
        kb_each = (settled_mb(pid) - before_mb) * 1000 / vehicles
        before_s = processor_s(pid)
        began_at = uvloop.run(_notify(edge, vehicles))
        notify_s = sinks.line("received_at", 120) - began_at
        notify_us = (processor_s(pid) - before_s) * 1e6 / vehicles
    figures = {
        "kb_per_vehicle": kb_each,
        "notify_all_s": notify_s,
        "connect_all_s": connected_s,
        "node_us_per_connection": connected_us,
        "node_us_per_notification": notify_us,
        "vehicles": float(vehicles),
    }
    ratios = {"memory_to_limit": kb_each / KB_LIMIT, "notify_to_limit": notify_s / NOTIFY_LIMIT_S}
    notes = (
        f"kb_per_vehicle: limit {KB_LIMIT:g}, {'kept' if kb_each <= KB_LIMIT else 'NOT kept'}",
        f"notify_all_s: limit {NOTIFY_LIMIT_S:g}, {'kept' if notify_s <= NOTIFY_LIMIT_S else 'NOT kept'}",
    )
    return Measurement(figures, ratios, notes, kept=vehicles >= VEHICLES)


def _node(stack: contextlib.ExitStack, folder: Path) -> tuple[int, int, int]:
    edge, link, operation = free_ports(3)
    settings = {
        "identity": folder / "identity",
        "data": folder / "data",
        "edge_port": edge,
        "tls_port": link,
        "operation_port": operation,
        "log_level": "error",
    }
    log = folder / "node.log"
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    process = stack.enter_context(running((*SOTA, "rvi-node", *pairs), log))
    wait_until("the node is ready", lambda: get(operation, "/readyz")[0] == 200, process, log)
    return edge, link, process.pid


class _Sinks:
    """The process that plays the vehicles."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, port: int, count: int) -> None:
        command = (sys.executable, "-m", "bench.connections_sinks", str(port), str(folder / "vehicles"), str(count))
        self._log = folder / "vehicles.log"
        output = stack.enter_context(self._log.open("wb"))
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        stack.callback(self._stop)

    def line(self, key: str, timeout_s: float) -> float:
        """Wait until the process reports a value under this key."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self._process.poll() is None:
            if found := self._told(key):
                return found[0]
            time.sleep(0.05)
        raise self._silent(key)

    def connected(self, began_at: float) -> float:
        """Wait until all are connected, and print the progress; fail when there is none any more."""
        many, progress_at = 0, time.monotonic()
        while self._process.poll() is None:
            if found := self._told("connected_at"):
                return found[0]
            now = time.monotonic()
            if (reached := len(self._told("connected"))) > many:
                many, progress_at = reached, now
                print(f"{self._told('connected')[-1]:,.0f} connected after {now - began_at:.0f} s", flush=True)
            if now - progress_at > STALLED_S or now - began_at > CONNECT_S:
                break
            time.sleep(0.2)
        raise self._silent("connected_at")

    def _told(self, key: str) -> list[float]:
        lines = (line for line in self._log.read_text(errors="replace").splitlines() if line.startswith("{"))
        return [float(told[key]) for line in lines if line.endswith("}") and key in (told := json.loads(line))]

    def _silent(self, key: str) -> BenchmarkError:
        return BenchmarkError(f"the vehicles do not say {key}\n{self._log.read_text(errors='replace')[-2000:]}")

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait(20)


async def _notify(edge: int, vehicles: int) -> float:
    """Send a notification to each vehicle; return when the first was handed over."""
    client = HttpClient(f"http://127.0.0.1:{edge}", pool=CALLERS)
    numbers = iter(range(vehicles))
    ends_at = int(time.time()) + 3600

    async def call() -> None:
        for number in numbers:
            params = {
                "service_name": f"genivi.org/vin/{vin(number)}/sota/notify",
                "timeout": ends_at,
                "parameters": [{"update_id": "0190c5a8-0000-7000-8000-000000000001", "downloads": []}],
            }
            body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "message", "params": params}).encode()
            answer = await client.request("POST", "/", body=body, headers={"content-type": "application/json"})
            if b'"status":0' not in answer.body:
                raise BenchmarkError(f"the node refuses: {answer.body!r}")

    began_at = time.monotonic()
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    await client.close()
    return began_at
