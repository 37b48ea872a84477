"""scripts/check-tree finds what it is for, and nothing in a tree that is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "check-tree"


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "around" / "checkout"
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True, timeout=60)
    return folder


def test_clean_tree_passes(tree: Path) -> None:
    (tree / "plain.py").write_text('ROOT = "var/vehicle/root/"\n')
    (tree / "dev.lock").write_text("uv==0.1 \\\n    --hash=sha256:00\n")
    result = run(tree)
    assert (result.returncode, result.stdout) == (0, "check-tree: 2 files, nothing wrong\n")


@pytest.mark.parametrize(
    ("name", "text", "finding"),
    [
        ("dev.lock", "--index-url https://packages.example/simple\n", "line 1: an address in a lock file"),
        (
            "package-lock.json",
            '{\n"resolved": "https://packages.example/a.tgz"}\n',
            "line 2: an address in a lock file",
        ),
        ("long.py", "x = 1\n" * 401, "401 lines: over 400"),
        ("big.json", "1" * (1 << 20) + "\n", "1048577 bytes: over 1048576"),
        ("home.md", "see /home/" + "a-user/notes\n", "line 1: a path of this machine"),
    ],
)
def test_finding_is_named(tree: Path, name: str, text: str, finding: str) -> None:
    (tree / name).write_text(text)
    result = run(tree)
    assert result.returncode == 1
    assert f"{name}: {finding}" in result.stdout


def test_path_of_the_folder_around_the_checkout_is_found(tree: Path) -> None:
    (tree / "notes.md").write_text(f"first\nlook into {tree.parent}/other\n")
    assert f"notes.md: line 2: a path of this machine: {tree.parent}/" in run(tree).stdout


def test_ignored_files_are_not_looked_at(tree: Path) -> None:
    (tree / ".gitignore").write_text("var/\n")
    (tree / "var").mkdir()
    (tree / "var" / "made.lock").write_text("https://packages.example/\n")
    assert run(tree).returncode == 0
