"""The index alone at a hundred million vehicles, on two cores: needs some 10 GB of memory, and is run only when named.

It looks first whether so much memory is free, and says how far it is while it makes the index: that takes minutes.

``SCALE=2000000 make bench-100m`` takes fewer vehicles, for a quick look.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.processes import BenchmarkError
from bench.report import Measurement
from bench.resolver import resident
from bench.resolver_data import F1, F2, Part, dictionary, parts
from sota.resolver.index.dictionary import Dictionary
from sota.resolver.index.fleet import Fleet, Shard
from sota.resolver.index.planner import planning
from sota.resolver.index.query import selecting
from sota.resolver.language.parser import parse
from tests.support.steps import finish

VEHICLES = 100_000_000
CORES = 2
REPEATED = 5
LIMIT_S = 3.0
# The index takes some 80 bytes a vehicle; making shards takes the rest, whatever their number.
BYTES_PER_VEHICLE, BYTES_BESIDES = 90, 1 << 30
MEMORY = Path("/proc/meminfo")
TOLD = 10


def measure() -> Measurement:
    """Make the index in memory and ask it.

    Raises:
        BenchmarkError: the machine has too little memory.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    _check_memory(vehicles)
    before = resident()
    with ThreadPoolExecutor(CORES) as threads:
        started = time.perf_counter()
        shards = dict(_build(threads, vehicles))
        figures = {"build_s": time.perf_counter() - started, "bytes_per_vehicle": (resident() - before) / vehicles}
        fleet = Fleet(dictionary=dictionary(), shards=shards)
        for name, expression in (("f1", F1), ("f2", F2)):
            times = []
            for _ in range(REPEATED):
                started = time.perf_counter()
                figures[f"{name}_vehicles"] = _count(threads, fleet, expression)
                times.append(time.perf_counter() - started)
                print(f"{name}: {times[-1]:.3f} s", flush=True)
            figures[f"{name}_100m_s"] = statistics.median(times)
    kept = "kept" if figures["f1_100m_s"] <= LIMIT_S else "NOT kept"
    notes = (f"f1_100m_s at most {LIMIT_S:g} on {CORES} cores: {kept}.",)
    return Measurement(figures, notes=notes, kept=vehicles >= VEHICLES)


def _check_memory(vehicles: int) -> None:
    """Print how much memory it takes and how much is free.

    Raises:
        BenchmarkError: it is too little; the machine would end this program, or others, in the middle.
    """
    needed = vehicles * BYTES_PER_VEHICLE + BYTES_BESIDES
    found = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    free = int(found["MemAvailable"].split()[0]) * 1024
    said = f"{vehicles:,} vehicles need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
    if free < needed:
        raise BenchmarkError(f"{said}: end other programs, or take fewer vehicles, such as SCALE=2000000")
    print(f"{said}.", flush=True)


def _build(threads: ThreadPoolExecutor, vehicles: int) -> Iterator[tuple[int, Shard]]:
    """Make the shards, and say now and then how many there are."""
    numbers = parts(vehicles)
    started = time.perf_counter()
    for number, shard in enumerate(threads.map(lambda number: Part(number, vehicles).build(), numbers)):
        yield number, shard
        if number % TOLD == TOLD - 1 or number == numbers[-1]:
            gigabytes, seconds = resident() / 1e9, time.perf_counter() - started
            print(f"{number + 1} of {len(numbers)} shards: {seconds:.0f} s, {gigabytes:.1f} GB", flush=True)


def _count(threads: ThreadPoolExecutor, fleet: Fleet, expression: str) -> int:
    planned = finish(planning([parse(expression)], Dictionary(fleet.dictionary.texts)))
    return sum(threads.map(lambda shard: len(finish(selecting(planned, shard, shard.vehicles))), fleet.shards.values()))
