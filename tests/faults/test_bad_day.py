"""A bad day for a fleet: cuts, flipped bits, and every program killed once; all is transferred, or truthfully failed.

The seed is fixed; ``SOTA_FAULT_SEED`` makes it another day. ``make test`` lives through a small one, ``make faults``
through one of 200 vehicles with 10 MB each.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bad_day import CUTS_A_VEHICLE, Day, Evening, is_true, live_through
from tests.support.thorough import SEED, thorough

SMALL = Day(vehicles=4, size=2_000_000, bytes_per_s=500_000, block_bytes=16_384, seed=SEED, timeout_s=120.0)
WHOLE = Day(vehicles=200, size=10_000_000, bytes_per_s=500_000, block_bytes=65_536, seed=SEED, timeout_s=900.0)
MAX_RATIO = 1.15


def check(evening: Evening, day: Day) -> None:
    print(evening)
    assert len(evening.updates) == day.vehicles
    assert evening.cuts == CUTS_A_VEHICLE * day.vehicles
    assert [vin for vin, update in evening.updates.items() if not is_true(update, evening.truths[vin])] == []
    assert evening.ratio <= MAX_RATIO


@pytest.mark.slow
async def test_a_small_bad_day(tmp_path: Path) -> None:
    check(await live_through(SMALL, tmp_path), SMALL)


@pytest.mark.slow
@thorough
async def test_a_bad_day_of_two_hundred_vehicles(tmp_path: Path) -> None:
    evening = await live_through(WHOLE, tmp_path)

    check(evening, WHOLE)
    assert evening.flips >= WHOLE.vehicles * WHOLE.size // 20_000_000
