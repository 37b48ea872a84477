"""What ``make bench`` writes, and how it ends what it starts; the measurements themselves run in ``make bench``."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS, LARGE, find, main
from bench.processes import BenchmarkError, free_ports, get, resident_mb, running, wait_until
from bench.report import RESULTS, Measurement, as_document, machine, write


def test_result_has_the_agreed_shape(tmp_path: Path) -> None:
    measurement = Measurement({"fresh_s": 1.23456789}, {"limit_ratio": 0.3086419})
    document = json.loads(write("startup", measurement, tmp_path).read_text())
    assert list(document) == ["name", "at", "machine", "figures", "ratios"]
    assert (document["figures"], document["ratios"]) == ({"fresh_s": 1.235}, {"limit_ratio": 0.3086})


def test_time_is_utc_to_the_second() -> None:
    document = as_document("x", Measurement({}), datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    assert document["at"] == "2026-01-02T03:04:05+00:00"


def test_machine_is_described_without_its_name() -> None:
    described = machine()
    assert list(described) == ["cpu", "cores", "memory_mb", "kernel", "python"]
    assert socket.gethostname() not in json.dumps(described).split('"')
    assert "/" not in json.dumps(described)


@pytest.mark.parametrize("name", BENCHMARKS | LARGE)
def test_every_benchmark_can_be_found(name: str) -> None:
    assert callable(find(name))


def test_kept_results_are_of_benchmarks_that_exist() -> None:
    documents = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    assert [
        stem for stem, document in documents.items() if document["name"] != stem or stem not in BENCHMARKS | LARGE
    ] == []


def test_unknown_name_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    assert "no benchmark speed; there are startup, vehicle_memory" in capsys.readouterr().err


def test_ports_are_different() -> None:
    assert len(set(free_ports(7))) == 7


def test_process_runs_for_the_block_and_no_longer(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    log = tmp_path / "log"
    with running((sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)), log) as process:
        wait_until("it answers", lambda: get(port, "/")[0] == 200, process, log)
        assert resident_mb(process.pid) > 1
    assert process.returncode is not None
    assert get(port, "/") == (0, b"")


def test_program_that_ends_early_is_told_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = (sys.executable, "-c", "print('no such file'); raise SystemExit(3)")
    with running(command, log) as process, pytest.raises(BenchmarkError, match=r"(?s)ended with 3.*no such file"):
        wait_until("it answers", lambda: False, process, log)


def test_help_lists_the_benchmarks() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert all(name in shown.stdout for name in BENCHMARKS)
