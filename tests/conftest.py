"""What every test shares.

Async tests and fixtures need no mark: anyio runs them on asyncio. Property tests have two profiles: ``quick``,
repeatable, is what ``make test`` uses; ``fuzz`` searches for longer and anew each time (``make fuzz``).
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("fuzz", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that the programs use."""
    return "asyncio"
