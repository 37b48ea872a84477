"""The matrix of all installers: where power or program were lost, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.installer_matrix import INSTALLER_COLUMNS
from tests.support.matrix_table import MATRICES, Entry, as_table


@pytest.fixture(scope="session")
def matrix(pytestconfig: pytest.Config) -> Iterator[list[Entry]]:
    """Takes what the tests find; printed when all are through."""
    found: list[Entry] = []
    yield found
    pytestconfig.stash.setdefault(MATRICES, []).append(as_table(found, INSTALLER_COLUMNS))
