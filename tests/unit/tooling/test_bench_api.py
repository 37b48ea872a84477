"""The API benchmark's parts: what it asks for, and the generator that asks at a steady rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.api import SINGLE_READS, requests_of
from bench.api_load import Load, Request
from bench.api_seed import installed_of, update_id, vin
from bench.processes import BenchmarkError
from sota.boundaries.binding.call import AnyCall, Reply
from sota.boundaries.binding.routing import Route, Router
from sota.boundaries.interaction import Http, Program
from sota.boundaries.table import rows_for

STALL_S = 0.3


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/stall":
            time.sleep(STALL_S)
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


@contextmanager
def loaded(folder: Path) -> Iterator[Load]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Load(folder, server.server_port, "a token", [])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("program", [Program.SOTA_CORE, Program.WEB_SERVER])
def test_there_are_ten_calls_and_both_programs_have_each(program: Program) -> None:
    router, seen = Router(), set()
    for row in rows_for(program):
        if isinstance(row.way, Http) and (row.way.method, row.way.path) not in seen:
            seen.add((row.way.method, row.way.path))
            router.add(Route(row.way.method, row.way.path, unused, (row,)))
    calls = requests_of(1000)
    for requests in calls.values():
        router.find(requests[0].method, requests[0].path.partition("?")[0].encode())
    assert len(calls) == 10
    assert set(SINGLE_READS) < set(calls)


async def unused(_call: AnyCall) -> Reply:
    raise AssertionError("only looked up")


def test_seeded_rows_have_names_of_the_declared_forms() -> None:
    assert vin(1) == "BENCH000000000001"
    assert len(installed_of(20)) == 2
    assert str(update_id(1)) == "01938000-0000-7000-8000-000100000001"


def test_time_counts_from_when_a_request_was_due(tmp_path: Path) -> None:
    with loaded(tmp_path) as load:
        slow = load.p99_ms([Request("GET", "/stall"), *[Request("GET", "/")] * 9], 20, 0.5)
    assert slow >= STALL_S * 1000 * 0.9


def test_answer_that_is_no_success_ends_the_measurement(tmp_path: Path) -> None:
    with loaded(tmp_path) as load, pytest.raises(BenchmarkError, match=r"answered .* 404"):
        load.p99_ms([Request("GET", "/missing")], 50, 0.1)


def test_missing_generator_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchmarkError, match="scripts/setup --system wrk"):
        Load(tmp_path, 1, "", []).saturating([Request("GET", "/")], 1)
