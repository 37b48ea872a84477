"""A vehicle whose clock is wrong by decades gets its update, is renewed and keeps its connection, end to end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sota.boundaries.values import UpdateStatus
from tests.support.packages import DebFile
from tests.support.system import running_system
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
VINS = {1970: "WVWZZZ1KZ7W001970", 2050: "WVWZZZ1KZ7W002050"}
# Python looks for this module at its start. OpenSSL's own clock stays right: what it does with a certificate that is
# over, or not valid yet, is held by tests/integration/rvi/test_identity_changes.py.
SHIFT = """
import datetime, os, time
offset = float(os.environ["WRONG_BY_S"])
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + offset
time.time_ns = lambda: real_ns() + int(offset * 1e9)
from sota.kit.runtime.clock import SystemClock
open(os.environ["CLOCK_SEEN"], "w").write(str(time.time()))
SystemClock.now = lambda self: datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
"""


@pytest.mark.slow
async def test_vehicles_with_wrong_clocks_are_updated_like_all_others(tmp_path: Path) -> None:
    (tmp_path / "shift").mkdir()
    (tmp_path / "shift" / "sitecustomize.py").write_text(SHIFT)
    before = DebFile.build(tmp_path, "navigation", "1.0.0").file
    async with running_system(tmp_path / "system") as system:
        for year, vin in VINS.items():
            wrong_by = (year - 1970) * 365.25 * 86_400 + 100_000 - time.time()
            source = str(Path(__file__).parents[2] / "src")
            shifted = {"WRONG_BY_S": str(wrong_by), "PYTHONPATH": f"{tmp_path / 'shift'}:{source}"}
            shifted["CLOCK_SEEN"] = str(tmp_path / vin)
            await system.add_vehicle(vin, packages=[before], start=False)
            system.programs[vin].environment |= shifted
            await system.restart(vin)
        package = DebFile.build(tmp_path, "navigation", "2.0.0")
        await system.upload(package)
        request = await system.queue(package.id, 'vin_matches "^WVWZZZ1KZ7W00"')
        for year, vin in VINS.items():
            await system.wait_for_status(request, vin, UpdateStatus.INSTALLED)
            assert time.gmtime(float((tmp_path / vin).read_text())).tm_year == year

        async def connected() -> bool:
            return all([(await system.web.vehicle(vin)).connected for vin in VINS.values()])

        await until(connected, "both are connected")
