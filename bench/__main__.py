"""``python -m bench [NAME …]``: measure, print a table, write ``bench/results/NAME.json``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import cast

from bench.processes import BenchmarkError
from bench.report import RESULTS, Measurement, show, write

# One file each, with one function ``measure``. The order is that of a run without a name.
BENCHMARKS = {
    "startup": "how long `sota up` takes until it is ready",
    "vehicle_memory": "how much memory an idle `sota vehicle` holds",
    "vehicle_install": "what a vehicle's installation takes on disk, and how soon it is ready",
    "queue": "vehicles a second that are queued, and how long others wait meanwhile (SCALE=50000 for fewer)",
    "api": "requests a second and answer times of the API at a million vehicles (SCALE=20000 for fewer)",
    "rvi": "messages a second across two nodes, beside a bare chain (SCALE=0.1 for fewer)",
    "transfer": "blocks a second from Core through a node to 500 vehicles, beside a bare chain (SCALE=50 for fewer)",
    "fleet": "vehicles a second that are updated, 5,000 in one process (SCALE=200 for fewer)",
    "connections": "memory and notification of 15,000 vehicles on one node (SCALE=1000 for fewer)",
    "resolver": "filters over a million vehicles, beside three databases (SCALE=50000 for fewer)",
}
# Only when named: they need a large machine.
LARGE = {
    "index_100m": "the Resolver's index at a hundred million vehicles (SCALE=2000000 for fewer)",
}


def find(name: str) -> Callable[[], Measurement]:
    """Return a benchmark's function; its module is imported only now."""
    return cast("Callable[[], Measurement]", importlib.import_module(f"bench.{name}").measure)


def warn_if_busy() -> None:
    """Warn when something else keeps the processors busy: times of such a run mean little."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores / 2:
        print(f"The machine is busy (load {load:.1f} on {cores} cores): do not keep its times.", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks that are named, or all; ends with 1 when one could not be measured."""
    listed = "\n".join(f"  {name:<16} {what}" for name, what in (BENCHMARKS | LARGE).items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"Measure the running system, on loopback.\n\nbenchmarks:\n{listed}",
        epilog="The same with make: make bench ONLY=startup",
    )
    # No argparse choices: they would refuse the empty list, which means all.
    parser.add_argument("names", nargs="*", metavar="name", help="which; all without a name, but for the last")
    names = parser.parse_args(arguments).names
    if unknown := [name for name in names if name not in BENCHMARKS | LARGE]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    warn_if_busy()
    failed = False
    for name in names or BENCHMARKS:
        try:
            measurement = find(name)()
        except BenchmarkError as error:
            print(f"bench {name}: {error}", file=sys.stderr)
            failed = True
            continue
        show(name, measurement)
        if measurement.kept:
            print(f"written: {write(name, measurement).relative_to(RESULTS.parents[1])}\n")
        else:
            print("a quick look only: not written\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
