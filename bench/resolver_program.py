"""The running Resolver on a filled database: its starts, a long answer, and previews while the fleet changes."""

from __future__ import annotations

import contextlib
import http.client
import random
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.processes import SOTA, BenchmarkError, free_ports, get, running, wait_until
from bench.resolver_data import F2, PACKAGES, Part, packages
from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program

TARGET = {"name": "target", "version": "1.0.0"}
# What the target needs; the first of them needs something, too.
NEEDED = {
    ("target", "1.0.0"): [("package-01", "1.2.0"), ("package-02", "2.0.0"), ("package-03", "1.4.0")],
    ("package-01", "2.4.1"): [("package-04", "1.1.0")],
    ("package-02", "2.4.1"): [],
    ("package-03", "2.4.1"): [],
    ("package-04", "2.4.1"): [],
}
STREAMS = 5
PREVIEW_S = 10.0
CHANGES_A_BATCH, BATCHES_A_SECOND = 100, 20
PREVIEWS = [
    r'vin_matches "^1HGC" AND has_component "^ECU-7"',
    r'has_component "^ECU-7.*" AND NOT has_package "ivi" "^1\.[0-3]\."',
    r'package_version "ivi" < "2.1.0" OR has_component "^ECU-3"',
    r'vin_matches "[0-4]$" AND has_package "package-1" "^2"',
]


class Caller:
    """Calls the Resolver over one connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._token = token

    def send(self, method: str, path: str, body: Any, kind: str = "application/json") -> tuple[int, bytes]:
        """Send a request and read the whole answer."""
        answer = self._send(method, path, body, kind, "application/json")
        return answer.status, answer.read()

    def count_lines(self, path: str, body: Any) -> int:
        """Send, and count the lines of the answer while it arrives."""
        answer = self._send("POST", path, body, "application/json", "application/x-ndjson")
        lines = 0
        while part := answer.read(1 << 18):
            lines += part.count(b"\n")
        if answer.status != 200:
            raise BenchmarkError(f"{path} answers {answer.status}")
        return lines

    def _send(self, method: str, path: str, body: Any, kind: str, accept: str) -> http.client.HTTPResponse:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"authorization": f"Bearer {self._token}", "content-type": kind, "accept": accept}
        self._connection.request(method, f"/api/v1{path}", content, headers)
        return self._connection.getresponse()


def measure_program(url: str, folder: Path, vehicles: int) -> dict[str, float]:
    """Start the Resolver twice and measure its answers."""
    tokens = {
        program: issue(folder / "callers.toml", str(program)) for program in (Program.WEB_SERVER, Program.SOTA_CORE)
    }
    figures: dict[str, float] = {}
    with _resolver(folder / "sqlite", f"sqlite:///{folder / 'resolver.db'}", folder / "callers.toml") as (
        _port,
        seconds,
    ):
        figures["cold_start_sqlite_s"] = seconds
    with _resolver(folder / "mariadb", url, folder / "callers.toml") as (_port, seconds):
        figures["cold_start_database_s"] = seconds
        _wait_for_snapshot(folder / "mariadb")
    with _resolver(folder / "mariadb", url, folder / "callers.toml") as (port, seconds):
        figures["cold_start_snapshot_s"] = seconds
        web, core = (Caller(port, tokens[program]) for program in (Program.WEB_SERVER, Program.SOTA_CORE))
        figures |= _stream(web)
        figures["preview_p99_ms"] = _previews(web, core, vehicles)
    return figures


@contextlib.contextmanager
def _resolver(data: Path, url: str, credentials: Path) -> Iterator[tuple[int, float]]:
    """Run the Resolver; report how long it took until it was ready."""
    port, operation_port = free_ports(2)
    settings = {
        "port": port,
        "operation_port": operation_port,
        "data": data,
        "database": url,
        "credentials_file": credentials,
        "log_level": "warning",
    }
    options = (part for name, value in settings.items() for part in ("--set", f"{name}={value}"))
    log = data.with_suffix(".log")
    started = time.perf_counter()
    with running((*SOTA, "resolver", *options), log) as process:
        wait_until("ready", lambda: get(operation_port, "/readyz")[0] == 200, process, log)
        yield port, time.perf_counter() - started


def _wait_for_snapshot(data: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(data.glob("resolver-index/fleet.json")):
        if time.monotonic() > deadline:
            raise BenchmarkError("no snapshot was written")
        time.sleep(0.1)


def _stream(web: Caller) -> dict[str, float]:
    _expect(web.send("POST", "/filters", {"name": "f2", "expression": F2}))
    for (name, version), needs in NEEDED.items():
        dependencies = [{"name": needed, "version": minimum} for needed, minimum in needs]
        package = {"name": name, "version": version, "description": "", "vendor": "", "dependencies": dependencies}
        _expect(web.send("POST", "/packages", package))
    _expect(web.send("POST", "/packages/target/1.0.0/filters", {"filter": "f2"}))
    times = []
    lines = 0
    for _ in range(STREAMS):
        started = time.perf_counter()
        lines = web.count_lines("/resolve", {"package": TARGET})
        times.append(time.perf_counter() - started)
    return {"streamed": lines, "streamed_188k_s": statistics.median(times)}


def _previews(web: Caller, core: Caller, vehicles: int) -> float:
    """Ask for previews, one after the other, while another thread sends changes; return the 99th percentile."""
    changes = _Changes(core, vehicles)
    changes.start()
    times: list[float] = []
    ends = time.perf_counter() + PREVIEW_S
    try:
        while time.perf_counter() < ends:
            asked = PREVIEWS[len(times) % len(PREVIEWS)]
            started = time.perf_counter()
            _expect(web.send("POST", "/filters/preview", {"expression": asked}))
            times.append((time.perf_counter() - started) * 1000)
            time.sleep(0.02)  # an operator types
    finally:
        sent = changes.end()
    wanted = PREVIEW_S * CHANGES_A_BATCH * BATCHES_A_SECOND
    if sent < 0.9 * wanted:
        raise BenchmarkError(f"only {sent:g} of {wanted:g} changes were taken in")
    return statistics.quantiles(times, n=100)[98]


class _Changes(threading.Thread):
    """Sends changes in batches at a steady rate: a vehicle gets a package, another loses one that it got before."""

    def __init__(self, core: Caller, vehicles: int) -> None:
        super().__init__()
        self._core, self._random = core, random.Random(7)
        part = Part(0, min(vehicles, 200_000))
        self._vins = [row.tobytes().decode() for row in part.vins]
        self._pairs = list(packages().values())
        # What was added and will be removed: later than in its own batch, in which it would come to nothing.
        self._added: deque[tuple[str, dict[str, str]]] = deque()
        self._is_done = threading.Event()
        self._sent = 0
        self._error: BenchmarkError | None = None

    def run(self) -> None:
        next_at = time.perf_counter()
        while not self._is_done.is_set():
            lines = b"\n".join(msgspec.json.encode(self._fact()) for _ in range(CHANGES_A_BATCH))
            try:
                _expect(self._core.send("POST", "/facts", lines, "application/x-ndjson"))
            except (BenchmarkError, OSError, http.client.HTTPException) as error:
                self._error = BenchmarkError(f"changes are not taken in: {error}")
                return
            next_at += 1 / BATCHES_A_SECOND
            time.sleep(max(0.0, next_at - time.perf_counter()))

    def _fact(self) -> dict[str, Any]:
        self._sent += 1
        if self._sent % 2 and len(self._added) > 2 * CHANGES_A_BATCH:
            kind, (vin, package) = "package_removed", self._added.popleft()
        else:
            name, version = self._pairs[self._random.randrange(PACKAGES)]
            kind, vin, package = "package_added", self._random.choice(self._vins), {"name": name, "version": version}
            self._added.append((vin, package))
        return {"fact": kind, "id": f"bench-{self._sent}", "vin": vin, "package": package}

    def end(self) -> int:
        """Stop; return how many changes were sent.

        Raises:
            BenchmarkError: the changes were not applied.
        """
        self._is_done.set()
        self.join(60)
        if self._error is not None:
            raise self._error
        return self._sent


def _expect(answer: tuple[int, bytes]) -> None:
    if answer[0] != 200:
        raise BenchmarkError(f"the Resolver answers {answer[0]}: {answer[1][:300]!r}")
