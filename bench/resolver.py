"""The Resolver at a million vehicles, beside MariaDB, SQLite and DuckDB doing the same work in the same run.

F1 and F2 are the filters of ``resolver_data.py``; a repeat begins with the filter's text, and remembers nothing of the
one before. The engines take turns, and medians are given. Then comes the running program on MariaDB: how long it takes
to start from the database and from its snapshot, to stream what F2 finds with the dependencies of each vehicle, and to
answer previews while 2,000 changes a second come in, 100 at a time. At last ours alone at ten times as many vehicles.
Before all that, hostile regular expressions (``resolver_patterns.py``).

``SCALE=50000 make bench ONLY=resolver`` takes fewer vehicles, for a quick look.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.processes import BenchmarkError
from bench.report import Measurement
from bench.resolver_data import F1, F2, build_fleet
from bench.resolver_engines import Engine, duckdb_engine, mariadb_engine, seed, sqlite_engine
from bench.resolver_patterns import measure_patterns
from bench.resolver_program import measure_program
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.fleet import Fleet
from sota.resolver.index.planner import planning
from sota.resolver.index.query import selecting
from sota.resolver.language.parser import parse
from sota.resolver.language.regex import compile_regex
from tests.support.databases import running_mariadb
from tests.support.steps import finish

VEHICLES = 1_000_000
LARGER = 10
OURS_REPEATED, OTHERS_REPEATED = 15, 3
SERVER_OPTIONS = ("--innodb-buffer-pool-size=3G", "--innodb-log-file-size=1G")
LIMITS = {
    "f1_1m_ms": 20.0,
    "f2_1m_ms": 40.0,
    "f1_10m_ms": 300.0,
    "bytes_per_vehicle": 100.0,
    "streamed_188k_s": 1.0,
    "preview_p99_ms": 50.0,
    "cold_start_database_s": 15.0,
    "cold_start_snapshot_s": 2.0,
    "refusal_ms": 10.0,
    "redos_ratio": 3.0,
}
MARIADB_RATIO = 20.0


def measure() -> Measurement:
    """Make the fleet for every engine and measure.

    Raises:
        BenchmarkError: something did not start, or two engines found different vehicles.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    if vehicles < 1000:
        raise BenchmarkError("SCALE is a number of vehicles, 1000 or more")
    figures = measure_patterns()
    with tempfile.TemporaryDirectory() as name, running_mariadb(*SERVER_OPTIONS) as server:
        folder = Path(name)
        folder.chmod(0o755)
        print(f"seeding {vehicles:,} vehicles", flush=True)
        url = server.new_schema()
        with tempfile.TemporaryDirectory() as scratch:
            seed(server, url, folder / "resolver.db", Path(scratch), vehicles)
        with _engines(url, folder, vehicles) as others:
            figures |= _compare(vehicles, others)
        figures |= measure_program(url, folder, vehicles)
    if figures["streamed"] != figures["f2_vehicles"]:
        raise BenchmarkError(f"{figures['streamed']:g} vehicles were streamed, {figures['f2_vehicles']:g} found")
    figures |= _larger(vehicles * LARGER)
    ratios = {"f1_1m_vs_mariadb": figures["mariadb_f1_ms"] / figures["f1_1m_ms"]}
    ratios["f2_1m_vs_mariadb"] = figures["mariadb_f2_ms"] / figures["f2_1m_ms"]
    verdicts = [f"{name} at most {limit:g}: {_kept(figures[name] <= limit)}" for name, limit in LIMITS.items()]
    verdicts.append(
        f"f1_1m_vs_mariadb at least {MARIADB_RATIO:g}: {_kept(ratios['f1_1m_vs_mariadb'] >= MARIADB_RATIO)}"
    )
    notes = (f"{'; '.join(verdicts)}.", "f1_10m_ms and bytes_per_vehicle are of ten times as many vehicles.")
    return Measurement(figures, ratios, notes, kept=vehicles >= VEHICLES)


@contextlib.contextmanager
def _engines(url: str, folder: Path, vehicles: int) -> Iterator[list[Engine]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(mariadb_engine(url)),
            stack.enter_context(sqlite_engine(folder / "resolver.db")),
            stack.enter_context(duckdb_engine(vehicles)),
        ]


def _compare(vehicles: int, others: list[Engine]) -> dict[str, float]:
    fleet = build_fleet(vehicles)
    figures: dict[str, float] = {}
    for name, expression in (("f1", F1), ("f2", F2)):
        found = count(fleet, expression)
        figures[f"{name}_vehicles"] = found
        times: dict[str, list[float]] = {engine.name: [] for engine in others}
        ours: list[float] = []
        for _ in range(OTHERS_REPEATED):
            for engine in others:
                started = time.perf_counter()
                theirs = engine.count(name)
                times[engine.name].append((time.perf_counter() - started) * 1000)
                if theirs != found:
                    raise BenchmarkError(f"{name}: {engine.name} finds {theirs} vehicles, we find {found}")
            ours += [_timed(fleet, expression) for _ in range(OURS_REPEATED)]
        figures[f"{name}_1m_ms"] = statistics.median(ours)
        figures |= {f"{engine}_{name}_ms": statistics.median(measured) for engine, measured in times.items()}
    return figures


def _larger(vehicles: int) -> dict[str, float]:
    print(f"{vehicles:,} vehicles", flush=True)
    before = resident()
    fleet = build_fleet(vehicles)
    each = (resident() - before) / vehicles
    figures = {"bytes_per_vehicle": each}
    for name, expression in (("f1", F1), ("f2", F2)):
        figures[f"{name}_10m_ms"] = statistics.median(_timed(fleet, expression) for _ in range(OURS_REPEATED))
    return figures


def count(fleet: Fleet, expression: str) -> int:
    """Count as the index does, with an empty cache in the dictionary."""
    compile_regex.cache_clear()
    planned = finish(planning([parse(expression)], Dictionary(fleet.dictionary.texts)))
    return sum(len(finish(selecting(planned, shard, shard.vehicles))) for shard in fleet.shards.values())


def resident() -> int:
    """Return the memory that this process holds, in bytes, after free memory was returned to the system."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _timed(fleet: Fleet, expression: str) -> float:
    started = time.perf_counter()
    count(fleet, expression)
    return (time.perf_counter() - started) * 1000


def _kept(kept: bool) -> str:
    return "kept" if kept else "NOT kept"
