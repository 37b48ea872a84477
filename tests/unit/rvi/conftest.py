"""An authority for all unit tests of the node: making keys takes time."""

from __future__ import annotations

import pytest

from sota.boundaries.authority import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.create()
