"""The tutorials, typed as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.document_commands import runnable_blocks
from tests.support.typed_commands import type_commands

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first-update.md", "real-folder-and-fleet.md"])
def test_tutorial_prints_what_its_page_shows(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial" / name).read_text()
    type_commands(page, "\n".join(runnable_blocks(page)), tmp_path)
