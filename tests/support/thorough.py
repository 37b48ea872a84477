"""How much of a costly test is played: all of it by ``make faults``, a sample by ``make test``.

``SOTA_FAULT_SEED`` chooses another sample.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

import pytest

Item = TypeVar("Item")

IS_THOROUGH = os.environ.get("THOROUGH") == "1"
SEED = int(os.environ.get("SOTA_FAULT_SEED", "1"))

thorough = pytest.mark.skipif(not IS_THOROUGH, reason="make faults plays it; it takes minutes")


def sample(items: Sequence[Item], count: int, *, of: str = "") -> list[Item]:
    """Return all items where the run is thorough, or as many as ``count`` says; ``of`` tells samples apart."""
    return list(items) if IS_THOROUGH else random.Random(f"{SEED} {of}").sample(items, count)
