"""The index alone at a hundred million vehicles, on two cores: needs some 10 GB of memory, and is run only when named.

``SCALE=2000000 make bench-100m`` takes fewer vehicles, for a quick look.
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from bench.processes import BenchmarkError
from bench.report import Measurement
from bench.resolver import resident
from bench.resolver_data import F1, F2, Part, dictionary, parts
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.fleet import Fleet
from sota.resolver.index.planner import plan_all
from sota.resolver.index.query import select
from sota.resolver.language.parser import parse

VEHICLES = 100_000_000
CORES = 2
REPEATED = 5
LIMIT_S = 3.0
NEEDED_BYTES = 12 << 30


def measure() -> Measurement:
    """Make the index in memory and ask it.

    Raises:
        BenchmarkError: the machine has too little memory.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if vehicles >= VEHICLES and memory < NEEDED_BYTES:
        raise BenchmarkError("a hundred million vehicles need 16 GB of memory; SCALE=2000000 takes fewer")
    before = resident()
    with ThreadPoolExecutor(CORES) as threads:
        started = time.perf_counter()
        shards = dict(enumerate(threads.map(lambda number: Part(number, vehicles).build(), parts(vehicles))))
        figures = {"build_s": time.perf_counter() - started, "bytes_per_vehicle": (resident() - before) / vehicles}
        fleet = Fleet(dictionary=dictionary(), shards=shards)
        for name, expression in (("f1", F1), ("f2", F2)):
            times = []
            for _ in range(REPEATED):
                started = time.perf_counter()
                figures[f"{name}_vehicles"] = _count(threads, fleet, expression)
                times.append(time.perf_counter() - started)
            figures[f"{name}_100m_s"] = statistics.median(times)
    kept = "kept" if figures["f1_100m_s"] <= LIMIT_S else "NOT kept"
    notes = (f"f1_100m_s at most {LIMIT_S:g} on {CORES} cores: {kept}.",)
    return Measurement(figures, notes=notes, kept=vehicles >= VEHICLES)


def _count(threads: ThreadPoolExecutor, fleet: Fleet, expression: str) -> int:
    planned = plan_all([parse(expression)], Dictionary(fleet.dictionary.texts))
    return sum(threads.map(lambda shard: len(select(planned, shard)), fleet.shards.values()))
