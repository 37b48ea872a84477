"""What a machine leaves untested is said, once for each reason, and what never applies is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.machine import LACKS, left_untested

ROOT = Path(__file__).parents[3]
SKIPS = f"""
import pytest

@pytest.mark.parametrize("case", ["good", "removal"])
def test_rauc(case: str) -> None:
    pytest.skip(f"{{case}} of rauc: {LACKS}no loop device (Operation not permitted)")

def test_command() -> None:
    pytest.skip("removal of command: it cannot")
"""


def test_reasons_are_counted_and_what_never_applies_is_left_out() -> None:
    skips = [f"Skipped: a of rauc: {LACKS}no loop", f"Skipped: b of rauc: {LACKS}no loop", "Skipped: cannot remove"]
    assert left_untested([*skips, f"{LACKS}no disk"]) == ["2 tests: no loop", "1 test: no disk"]
    assert left_untested(["Skipped: cannot remove"]) == []


def test_summary_says_it_loudly(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPS)
    options = ("-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert "NOT TESTED ON THIS MACHINE" in done.stdout, done.stdout + done.stderr
    assert "2 tests: no loop device (Operation not permitted)" in done.stdout
