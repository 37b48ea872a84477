"""Core while its machine's clock is set: no vehicle counts as silent, and delayed work is not forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.core import running_core

pytestmark = pytest.mark.anyio
DAY_S = 86_400.0


class SetClock:
    """The machine's clock, set by so much."""

    def __init__(self, by_s: float) -> None:
        self._by = timedelta(seconds=by_s)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


@pytest.mark.parametrize("by_s", [3600.0, 30 * DAY_S])
async def test_a_clock_that_is_set_forward_makes_no_vehicle_silent(tmp_path: Path, by_s: float) -> None:
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path, silence_s=600.0) as core:
        offer = await core.offer(end_s=365 * DAY_S)
        dispatcher = core.program.dispatcher
        dispatcher.clock = SetClock(by_s)
        dispatcher._silence_at = dispatcher._regular_at = 0.0
        await dispatcher.look()
        assert (await offer.update())["status"] == "in_flight"


async def test_a_notification_that_a_later_clock_put_off_is_repeated(tmp_path: Path) -> None:
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path, notify_retry_s=3600.0) as core:
        offer = await core.offer()
        dispatcher = core.program.dispatcher
        dispatcher.clock = SetClock(-DAY_S)
        dispatcher._sweeps_at = dispatcher._regular_at = 0.0
        await dispatcher.look()
        assert (await core.edge.expect(offer.vehicle.vin, "notify", after=1)).body == offer.notified
