"""B10-7 where a command of the vehicle reports the firmware of its control units."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.vehicle import vehicle_on_disk


@pytest.mark.whitelist("WL-B10-7", "listed", "failed")
async def test_firmware_is_what_the_vehicles_command_tells(tmp_path: Path) -> None:
    told = tmp_path / "firmware.json"
    async with vehicle_on_disk(tmp_path, slm_firmware_command=("cat", str(told))) as vehicle:
        await vehicle.start_slm()
        absent = await vehicle.call_slm("GET", "/v1/packages")
        told.write_text('[{"module": "gateway", "version": "4.2", "changed_at": "2026-01-31T08:00:00Z"}]')
        answer = await vehicle.call_slm("GET", "/v1/packages")

    assert (absent.status, json.loads(absent.body)["title"]) == (409, "Get All Packages failed")
    assert answer.status == 200
    firmware = json.loads(answer.body)["firmware"]
    assert firmware == [{"module": "gateway", "version": "4.2", "changed_at": "2026-01-31T08:00:00Z"}]
