"""The README's tour, typed as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.document_commands import runnable_blocks, section
from tests.support.typed_commands import type_commands

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_tour_prints_what_the_readme_shows(tmp_path: Path) -> None:
    tour = section((ROOT / "README.md").read_text(), "A tour in five minutes")
    type_commands(tour, "\n".join(runnable_blocks(tour)), tmp_path)
