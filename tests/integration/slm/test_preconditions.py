"""Preconditions in a vehicle: a false or unknown one delays the update, and the report has the values."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sota.slm.preconditions import Needed, VehicleState, evaluate
from tests.support import debs
from tests.support.vehicle import PlayedCore, Vehicle, notify, running_vehicle
from tests.support.waiting import until

UPDATE = "0190f000-0000-7000-8000-000000000002"
QUICK = {"slm_precondition_retry_s": 0.1}


def tell(state: Path, **values: Any) -> None:
    state.write_text(json.dumps(values))


async def status(vehicle: Vehicle) -> dict[str, Any]:
    answer = await vehicle.call_slm("GET", f"/v1/updates/{UPDATE}")
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def begin(vehicle: Vehicle, folder: Path) -> tuple[PlayedCore, asyncio.Task[None]]:
    offer = vehicle.offer(1, "ivi", "1.0.0", debs.build(folder, "ivi", "1.0.0"))
    core = PlayedCore(vehicle.node, offer)
    await vehicle.node.tell("notify", notify(offer, update_id=UPDATE))
    return core, asyncio.create_task(core.run_until_reported(1))


async def waits(vehicle: Vehicle, text: str) -> None:
    async def is_waiting() -> bool:
        found = await status(vehicle)
        return found.get("waiting_for") == "preconditions" and text in found.get("preconditions", "")

    await until(is_waiting, f"the update to wait because {text}")


async def test_installation_waits_until_the_vehicle_is_parked_and_charged(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    tell(state, state_of_charge=20, parked=False)
    async with running_vehicle(
        tmp_path, slm_vehicle_state_file=state, slm_min_state_of_charge=30, slm_must_be_parked=True, **QUICK
    ) as vehicle:
        core, playing = await begin(vehicle, tmp_path)
        await waits(vehicle, "state of charge 20 % (needs 30 %): does not hold; parked: no, does not hold")
        assert (await status(vehicle))["stage"] == "transferred"
        state.write_text("{")
        await waits(vehicle, "invalid")
        state.unlink()
        await waits(vehicle, "No such file")
        assert debs.installed(vehicle.root) == {}

        tell(state, state_of_charge=80, parked=True, speed=0)
        await playing

        first, *_rest = core.reports[1]["operations"]
        assert first == {
            "id": "preconditions",
            "result_code": 0,
            "result_text": "state of charge 80 % (needs 30 %): holds; parked: yes, holds",
        }
        assert core.reports[1]["status"] == "installed"


async def test_update_fails_truthfully_when_they_never_hold(tmp_path: Path) -> None:
    async with running_vehicle(tmp_path, slm_must_be_parked=True, slm_precondition_wait_s=0.3, **QUICK) as vehicle:
        core, playing = await begin(vehicle, tmp_path)
        await playing

        report = core.reports[1]
        assert (report["status"], report["reason"]) == ("failed", "expired")
        assert [(each["id"], each["result_code"]) for each in report["operations"]] == [
            ("preconditions", 19),
            ("verify", 19),
        ]
        assert (
            "parked: unknown (neither a file nor a command reports it), does not hold"
            in report["operations"][0]["result_text"]
        )
        assert debs.installed(vehicle.root) == {}


async def test_waiting_update_can_be_cancelled_and_survives_a_restart(tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", 'echo {\\"parked\\": false}')
    async with running_vehicle(
        tmp_path, slm_must_be_parked=True, slm_vehicle_state_command=command, **QUICK
    ) as vehicle:
        core, playing = await begin(vehicle, tmp_path)
        await waits(vehicle, "parked: no")
        await vehicle.stop_slm()
        await vehicle.start_slm()
        await waits(vehicle, "parked: no")

        await vehicle.node.tell("abort", core.offers[1].named)
        await playing

        assert core.reports[1]["status"] == "cancelled"
        assert debs.installed(vehicle.root) == {}


@pytest.mark.parametrize(
    ("needed", "state", "free", "holds"),
    [
        (Needed(0, False, 0), VehicleState(), 0, True),
        (Needed(50, False, 0), VehicleState(50, None), 0, True),
        (Needed(50, False, 0), VehicleState(49.9, True), 0, False),
        (Needed(50, False, 0), VehicleState(None, True), 0, False),
        (Needed(0, True, 0), VehicleState(99, True), 0, True),
        (Needed(0, True, 0), VehicleState(99, None), 0, False),
        (Needed(0, False, 100), VehicleState(), 100, True),
        (Needed(0, False, 100), VehicleState(), 99, False),
    ],
)
def test_what_is_needed_and_not_known_does_not_hold(
    needed: Needed, state: VehicleState, free: int, holds: bool
) -> None:
    assert evaluate(needed, state, free).holds is holds
