"""What the documents point to is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")
PLACE = re.compile(r"`((?:src|tests|docs|scripts|requirements|bench|deploy|console)/[\w./-]+)`")


def documents() -> Iterator[tuple[Path, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        if (ROOT / name).is_file():
            yield ROOT / name, (ROOT / name).read_text()


def test_links_lead_somewhere() -> None:
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path, text in documents()
        for target in LINK.findall(text)
        if not (path.parent / target).exists()
    ]
    assert dead == []


def test_named_files_and_folders_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {place}"
        for path, text in documents()
        for place in PLACE.findall(text)
        if not (ROOT / place).exists()
    ]
    assert missing == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    assert [path.name for path in sorted(folder.glob("0*.md")) if f"({path.name})" not in index] == []
