"""``sota completion``: it prints; the start-up file of a shell is changed on request alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sota.cli", "completion", "bash", *arguments],
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_completion_is_printed_and_nothing_is_written(tmp_path: Path) -> None:
    printed = run(tmp_path)
    assert (printed.returncode, "complete " in printed.stdout) == (0, True)
    asked = run(tmp_path, "--install")
    assert (asked.returncode, "Say --yes" in asked.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_completion_is_installed_on_request(tmp_path: Path) -> None:
    installed = run(tmp_path, "--install", "--yes")
    assert (installed.returncode, "written" in installed.stdout) == (0, True)
    assert (tmp_path / ".bashrc").exists()
