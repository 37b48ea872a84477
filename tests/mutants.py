"""Does a test notice when the table is wrong? ``python -m tests.mutants`` changes one status or message at a time.

Every declared status and every declared message of the rows of B1 to B6 and B13 is changed in turn, and the tests
marked with the changed row are run. The last line is ``N of M mutants caught``; it ends with 1 when one survives. Two
processes share the work, each with its own programs (``tests/support/mutants_plugin.py`` tells how).

Other arguments go to pytest. To look into a survivor::

    SOTA_MUTANT=WL-B1-4:vin_exists:status python -m pytest -p tests.support.mutants_plugin -n 0 tests/whitelist
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PARTS = 2
TIMEOUT_S = 1800


def hunt(arguments: Sequence[str]) -> tuple[list[dict[str, Any]], bool]:
    """Go through all mutants; return what became of each, and whether every process came to its end."""
    deadline = time.monotonic() + TIMEOUT_S
    with tempfile.TemporaryDirectory() as folder:
        targets = [Path(folder) / f"{part}.json" for part in range(1, PARTS + 1)]
        processes = [_start(part, target, arguments) for part, target in enumerate(targets, 1)]
        try:
            codes = [process.wait(max(1.0, deadline - time.monotonic())) for process in processes]
        finally:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
                    process.wait(60)
        results = [result for target in targets if target.exists() for result in json.loads(target.read_text())]
        # 5: pytest ran no test by its own loop, which is as it should be.
        return results, all(code in (0, 5) for code in codes) and all(target.exists() for target in targets)


def _start(part: int, target: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "whitelist", "-p", "tests.support.mutants_plugin"]
    environment = {**os.environ, "SOTA_MUTANTS": f"{part}/{PARTS}", "SOTA_MUTANTS_RESULT": str(target)}
    return subprocess.Popen([*command, *(arguments or ["tests/whitelist"])], cwd=ROOT, env=environment)


def main(arguments: Sequence[str]) -> int:
    """Hunt, and name the survivors."""
    results, is_whole = hunt(arguments)
    survivors = [result for result in results if result["caught_by"] is None]
    print()
    for result in survivors:
        print(f"{result['mutant']} survives {result['tests']} tests")
    for test in dict.fromkeys(test for result in results for test in result["broken"]):
        print(f"{test} fails with the right table too")
    if not is_whole:
        print("not every mutant was tried: a process ended early")
    print(f"{len(results) - len(survivors)} of {len(results)} mutants caught")
    return 1 if survivors or not is_whole or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
