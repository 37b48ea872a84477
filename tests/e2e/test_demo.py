"""The demo, as a user runs it: it ends by itself, and its table is the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import left_over

TIME_LIMIT_S = 90


@pytest.mark.slow
def test_the_demo_updates_the_right_three_vehicles_and_ends(tmp_path: Path) -> None:
    table_file = tmp_path / "table.json"

    result = subprocess.run(
        [sys.executable, "-m", "sota.cli", "demo", "--once", "--json", str(table_file)],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    rows = {row["vin"]: row for row in json.loads(table_file.read_text())["vehicles"]}
    assert len(rows) == 5
    updated = {vin for vin, row in rows.items() if row["status"] == "installed"}
    assert len(updated) == 3
    for vin, row in rows.items():
        assert row["agrees"], row
        assert row["core"] == row["after"]
        assert row["after"]["navigation"] == ("2.0.0" if vin in updated else "1.0.0")
        if vin not in updated:
            assert row["after"] == row["before"]
    (lacked,) = [row for row in rows.values() if "libroute" not in row["before"]]
    assert lacked["order"].index("libroute") < lacked["order"].index("navigation")
    assert left_over(tmp_path) == []
