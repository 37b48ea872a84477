"""Holds the programs against the whitelist, outcome by outcome: ``python -m tests.conformance``.

It runs the tests marked ``@pytest.mark.whitelist("WL-B2-4", "queued")``, joins their results with the table and writes
``docs/conformance.md``. Rules kept here:

* an outcome is proved when a test of it passes on both engines (or one that needs no database passes) and none fails;
* a skipped test proves nothing;
* a row without outcomes of its own (B8) is proved when a test of it passes;
* it ends with 1 when something is not proved, a test fails, a mark or an end in the source names no row of the table,
  or a route is bound past the table.

Other arguments go to pytest: ``make conformance ARGS="-n 0 -x"``.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.conformance_page import render
from tests.support.proofs import Record, check_ends, join, missing

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
TIMEOUT_S = 1800
STOP_S = 60


def run_tests(arguments: Sequence[str]) -> tuple[list[Record], int]:
    """Run the marked tests in a child process; return their records and pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "records.json"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-m", "whitelist", "--continue-on-collection-errors"),
            *("-p", "tests.support.conformance_plugin", f"--conformance-records={target}", *arguments),
        ]
        code = _run_bounded(command)
        raw = json.loads(target.read_text()) if target.exists() else []
    return [Record.read(entry) for entry in raw], code


def _run_bounded(command: list[str]) -> int:
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            return process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # pytest then ends its databases and programs itself
            try:
                return process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()


def main(arguments: Sequence[str]) -> int:
    """Run, join, write the page; the last line is ``N of M outcomes``."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description="Hold the programs against the whitelist."
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write the page")
    options, others = parser.parse_known_args(arguments)
    records, code = run_tests(others)
    conformance = join(records)
    wrong = conformance.wrong + check_ends() + missing(conformance)
    if code not in (0, 1, 5):
        wrong.append(f"pytest ended with {code}")
    options.page.write_text(render(conformance))
    counted = conformance.select(lambda proof: not proof.row.is_extension)
    print("\n".join(wrong))
    print(f"{sum(proof.holds for proof in counted)} of {len(counted)} outcomes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
