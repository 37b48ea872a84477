"""A fleet: 5,000 vehicles in one process, one package of 1 MB each, from notification to ``installed`` in Core.

Everything is real but the installation: the backend's four programs as processes, on SQLite; the fleet (``sota fleet``)
with client and loading manager for each vehicle, a TLS connection each, blocks and journals on disk and synced, hash
and signature checked. The vehicles are connected before anything is queued. ``vehicles_per_s`` counts from the first
notification that a vehicle gets to the last report that Core confirms; ``mb_per_vehicle`` is the memory of all five
processes at its highest, shared by the vehicles.

``fleet_to_bytes`` compares the processor time of all five processes with that of the bytes alone, measured in the same
run (``fleet_bytes.py``): of a fleet that did nothing else it would be 1. The rates, and ``ratio_to_transfer``, which
compares the blocks of 100 kB a second with one round of ``make bench ONLY=transfer``, depend on what else the machine
does; they are shown, and decide nothing. ``fleet_loop_ms_per_vehicle`` is the part of the fleet's time in its one event
loop.

``SCALE=200 make bench ONLY=fleet`` takes fewer vehicles, for a quick look; its result is not kept.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import fleet_bytes, transfer
from bench.processes import BenchmarkError, main_thread_s, peak_mb, processor_s
from bench.report import Measurement
from tests.support.fleet import FleetProcess, RandomFile
from tests.support.system import System, running_system
from tests.support.system_settings import Settings

VEHICLES = 5_000
SIZE = 1_000_000
SEED = 1
# Of one measured run, 0.13: TLS, blocks and hashes alone are an eighth of the whole.
LIMIT_RATIO = 0.08
BYTES_VEHICLES = 500
PROFILE = "[installation]\nmean_s = 1.0\nspread = 0.5\n"
CONNECT_LIMIT_S, LIMIT_S = 600.0, 900.0
SETTINGS: dict[str, Settings] = {
    # As they are by default, and not in the haste of the tests; blocks as in the benchmark that it is compared with.
    "core": {
        "log_level": "error",
        "block_size": transfer.BLOCK_BYTES,
        "transfers": transfer.VEHICLES,
        "ack_timeout_s": 30.0,
        "notify_retry_s": 60.0,
        "node_check_s": 10.0,
        "dispatch_interval_s": 1.0,
    },
    **{name: {"log_level": "error"} for name in ("web", "resolver", "node")},
}


@dataclass(frozen=True, slots=True)
class Round:
    """What a fleet did: seconds, and each process's memory at its highest and processor time for each vehicle.

    ``loop_ms`` is that of the fleet's event loop alone.
    """

    vehicles: int
    seconds: float
    memory_mb: dict[str, float]
    processor_ms: dict[str, float]
    loop_ms: float

    @property
    def rate(self) -> float:
        """Vehicles a second."""
        return self.vehicles / self.seconds


def measure() -> Measurement:
    """Update a fleet once, and transfer alone once.

    Raises:
        BenchmarkError: a program did not start, or a vehicle was not updated in time.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = transfer.once(folder / "transfer", min(vehicles, transfer.VEHICLES))
        done = asyncio.run(_update(folder, vehicles))
        content = RandomFile.make("maps", "1.0.0", SIZE).content
        bytes_ms = fleet_bytes.ms_per_vehicle(folder, min(vehicles, BYTES_VEHICLES), content, transfer.BLOCK_BYTES)
    return _summary(done, alone, bytes_ms, kept=vehicles >= VEHICLES)


def _summary(done: Round, alone: transfer.Transferred, bytes_ms: float, *, kept: bool) -> Measurement:
    blocks = SIZE / transfer.BLOCK_BYTES
    blocks_per_s = done.rate * blocks
    figures = {
        "vehicles_per_s": done.rate,
        "mb_per_vehicle": sum(done.memory_mb.values()) / done.vehicles,
        "blocks_per_s": blocks_per_s,
        "transfer_blocks_per_s": alone.rate,
        "transfer_ms_per_vehicle": blocks * (alone.core_us + alone.node_us + alone.sink_us) / 1000,
        "bytes_ms_per_vehicle": bytes_ms,
        "fleet_loop_ms_per_vehicle": done.loop_ms,
        **{f"{name}_ms_per_vehicle": value for name, value in done.processor_ms.items()},
        **{f"{name}_mb": value for name, value in done.memory_mb.items()},
    }
    ratios = {
        "fleet_to_bytes": bytes_ms / sum(done.processor_ms.values()),
        "ratio_to_transfer": blocks_per_s / alone.rate,
    }
    word = "kept" if ratios["fleet_to_bytes"] >= LIMIT_RATIO else "NOT kept"
    notes = (
        f"fleet_to_bytes at least {LIMIT_RATIO:g}: {word}.",
        "ms_per_vehicle: processor time of each program for one vehicle, from the queueing to the last report.",
    )
    return Measurement(figures, ratios, notes, kept)


async def _update(folder: Path, vehicles: int) -> Round:
    async with running_system(folder, settings=SETTINGS) as system:
        package = RandomFile.make("maps", "1.0.0", SIZE)
        await package.upload(system)
        options = ("--once", "--timeout", f"{CONNECT_LIMIT_S + LIMIT_S:g}")
        fleet = FleetProcess(system, folder, vehicles, seed=SEED, profile=PROFILE, options=options)
        system.programs["fleet"] = fleet
        try:
            fleet.start()
            await _connected(fleet)
            return await _run(system, fleet, package)
        finally:
            if fleet.running:
                await fleet.stop()
            del system.programs["fleet"]


async def _run(system: System, fleet: FleetProcess, package: RandomFile) -> Round:
    before = {name: processor_s(program.pid) for name, program in system.programs.items()}
    loop_before = loop_s = main_thread_s(fleet.pid)
    await system.queue(package.id, fleet.expression)
    deadline = time.monotonic() + LIMIT_S
    shown = ""
    spent, memory = dict[str, float](), dict[str, float]()
    while fleet.running:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the fleet was not updated in {LIMIT_S:g} s\n{fleet.tail(5)}")
        shown = _show(fleet, shown)
        is_over = fleet.has_summary  # what comes then is the fleet's own end
        for name, program in system.programs.items():
            if program.running and not is_over:
                spent[name] = processor_s(program.pid)
                memory[name] = max(memory.get(name, 0.0), peak_mb(program.pid))
        loop_s = loop_s if is_over or not fleet.running else main_thread_s(fleet.pid)
        await asyncio.sleep(0.2)
    if not fleet.has_summary:
        raise BenchmarkError(f"the fleet ended without its summary\n{fleet.tail()}")
    summary = fleet.summary()
    if summary["installed"] != fleet.vehicles:
        raise BenchmarkError(f"not every vehicle was updated\n{summary}\n{fleet.tail(5)}")
    processor_ms = {name: (value - before[name]) * 1000 / fleet.vehicles for name, value in spent.items()}
    loop_ms = (loop_s - loop_before) * 1000 / fleet.vehicles
    return Round(fleet.vehicles, summary["seconds"], memory, processor_ms, loop_ms)


async def _connected(fleet: FleetProcess) -> None:
    deadline = time.monotonic() + CONNECT_LIMIT_S
    shown = ""
    while not (fleet.log.exists() and f"{fleet.vehicles} connected" in fleet.log.read_text()):
        if not fleet.running or time.monotonic() > deadline:
            raise BenchmarkError(f"the fleet did not connect\n{fleet.tail(5)}")
        shown = _show(fleet, shown)
        await asyncio.sleep(0.5)


def _show(fleet: FleetProcess, shown: str) -> str:
    """Pass the fleet's own line of progress on where it is a new one; return what was shown last."""
    line = fleet.tail(1)
    if line and line != shown:
        print(line, file=sys.stderr, flush=True)
    return line
