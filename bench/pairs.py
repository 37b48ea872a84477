"""``python -m bench.pairs REVISION NAME``: measure an earlier revision and this tree in turns, and compare them.

The machine's speed drifts, and other programs share it. So the two are measured in pairs, one directly after the other
and each first in turn; a figure's ratio is taken inside each pair, and the median over the pairs is shown. A ratio
above 1 is better than before, whichever way the figure counts. Processor time and memory for each unit (``…_us``,
``…_us_per_…``, ``kb_per_…``) decide: below ``--limit`` the command ends with 1. Rates and times are shown beside them.

The earlier revision stands in a work tree of its own while it is measured, and uses this tree's installed libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.processes import BenchmarkError

HERE = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^│ (\w+) +│ +(-?[\d,.]+) +│$", re.MULTILINE)
SPENT = re.compile(r"(_us(_per_\w+)?|^kb_per_\w+)$")
TIME = re.compile(r"_all_s$")
RATE = re.compile(r"_(rps|per_s)(_\w+)?$")
# A benchmark's own rounds are one here: the pairs repeat it.
ONE_ROUND = "import bench.{name} as b; b.ROUNDS = 1; from bench.report import show; show({name!r}, b.measure())"
RUN_LIMIT_S = 3600
Figures = dict[str, float]


def main(arguments: Sequence[str]) -> int:
    """Compare; ends with 1 when processor time for a unit is worse than the limit allows."""
    parser = argparse.ArgumentParser(prog="python -m bench.pairs", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("revision", help="the earlier revision, as git names it")
    parser.add_argument("name", help="the benchmark; SCALE chooses its size as always")
    parser.add_argument("--pairs", type=int, default=5, help="how many pairs (5)")
    parser.add_argument("--limit", type=float, default=0.9, help="least ratio of processor time (0.9)")
    parser.add_argument("--same-benchmark", action="store_true", help="use this tree's bench/ for both")
    chosen = parser.parse_args(arguments)
    before: list[Figures] = []
    after: list[Figures] = []
    with earlier(chosen.revision) as tree:
        bench = HERE if chosen.same_benchmark else tree
        sides = [(before, tree, bench), (after, HERE, HERE)]
        for number in range(chosen.pairs):
            for found, source, harness in sides if number % 2 == 0 else reversed(sides):
                print(f"pair {number + 1} of {chosen.pairs}: {'before' if found is before else 'after'}", flush=True)
                found.append(run(chosen.name, source, harness))
    compared = compare(before, after)
    show(chosen.name, compared)
    return 1 if any(ratio < chosen.limit for name, (_, _, ratio) in compared.items() if SPENT.search(name)) else 0


@contextlib.contextmanager
def earlier(revision: str) -> Iterator[Path]:
    """Make a work tree of a revision, and remove it afterwards.

    Raises:
        BenchmarkError: there is no such revision.
    """
    git = ("git", "-C", str(HERE), "worktree")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        made = subprocess.run(
            [*git, "add", "--detach", str(tree), revision], check=False, capture_output=True, text=True, timeout=120
        )
        if made.returncode:
            raise BenchmarkError(made.stderr.strip())
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=False, capture_output=True, timeout=120)


def run(name: str, source: Path, harness: Path) -> Figures:
    """Measure the program in ``source`` with the benchmarks in ``harness``; returns the figures that it printed.

    Raises:
        BenchmarkError: it could not be measured.
    """
    environment = {**os.environ, "PYTHONPATH": f"{source / 'src'}:{harness}", "COLUMNS": "160"}
    done = subprocess.run(
        [sys.executable, "-c", ONE_ROUND.format(name=name)],
        check=False,
        cwd=harness,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
    )
    if done.returncode:
        raise BenchmarkError(f"{name} in {source}: {done.stderr.strip()[-2000:]}")
    return read(done.stdout)


def read(printed: str) -> Figures:
    """Read figures and ratios from the table that ``python -m bench`` prints."""
    return {name: float(value.replace(",", "")) for name, value in ROW.findall(printed)}


def compare(before: Sequence[Figures], after: Sequence[Figures]) -> dict[str, tuple[float, float, float]]:
    """Return for each figure that both have: median before, median after, and the median ratio, above 1 if better."""
    compared: dict[str, tuple[float, float, float]] = {}
    for name in after[0]:
        pairs = [(old[name], new[name]) for old, new in zip(before, after, strict=True) if name in old and name in new]
        is_less_better = bool(SPENT.search(name) or TIME.search(name))
        if not pairs or not (is_less_better or RATE.search(name)) or not all(all(pair) for pair in pairs):
            continue
        ratios = [old / new if is_less_better else new / old for old, new in pairs]
        olds, news = zip(*pairs, strict=True)
        compared[name] = (statistics.median(olds), statistics.median(news), statistics.median(ratios))
    return compared


def show(name: str, compared: dict[str, tuple[float, float, float]]) -> None:
    """Print the table."""
    table = Table("figure", "before", "after", "ratio", title=f"bench {name}, before and after", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for figure, (old, new, ratio) in compared.items():
        table.add_row(figure, f"{old:,.5g}", f"{new:,.5g}", f"{ratio:.3f}")
    Console().print(table)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BenchmarkError as error:
        sys.exit(f"bench.pairs: {error}")
