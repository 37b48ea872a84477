"""Software changed by hand is found, recorded, and reported until Core confirms it (DEV-14 to -17, -28 to -30)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import debs
from tests.support.vehicle import PlayedCore, Vehicle, notify, running_vehicle

QUICK = {"client_software_check_s": 0.2}
CHANGE = {"package": {"name": "vim", "version": "9.1"}, "operation": "install", "at": "2026-03-01T12:00:00Z"}


@pytest.fixture
async def vehicle(tmp_path: Path) -> AsyncIterator[Vehicle]:
    async with running_vehicle(tmp_path, **QUICK) as running:
        yield running


async def confirm(vehicle: Vehicle, body: dict[str, Any]) -> None:
    outcome = {"status": 200, "message": "received"}
    await vehicle.node.tell("reported", {"sequence": body["sequence"], "outcome": outcome})


async def test_package_installed_by_hand_is_told_until_core_has_it(vehicle: Vehicle, tmp_path: Path) -> None:
    file = debs.build(tmp_path, "tool", "1.0.0")
    with pytest.raises(TimeoutError):  # the first look tells nothing: it is what others compare with
        await vehicle.node.heard("packages", timeout_s=1.0)
    debs.install(vehicle.root, file)

    first, again = [await vehicle.node.heard("packages") for _ in range(2)]

    assert first == again
    (change,) = first["changes"]
    assert (change["package"], change["operation"]) == ({"name": "tool", "version": "1.0.0"}, "install")
    assert {"name": "tool", "version": "1.0.0"} in first["packages"]
    await confirm(vehicle, first)
    vehicle.node.drain()
    with pytest.raises(TimeoutError):
        await vehicle.node.heard("packages", timeout_s=2.0)


async def test_update_of_ours_is_no_local_change(vehicle: Vehicle, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):  # the first look, which others compare with
        await vehicle.node.heard("packages", timeout_s=1.0)
    offer = vehicle.offer(1, "ivi", "1.0.0", debs.build(tmp_path, "ivi", "1.0.0"))
    await vehicle.node.tell("notify", notify(offer))
    await PlayedCore(vehicle.node, offer).run_until_reported(1)

    told = await vehicle.node.heard("packages")

    assert "changes" not in told
    assert told["packages"] == [{"name": "ivi", "version": "1.0.0"}]


async def test_what_core_has_not_confirmed_survives_a_restart(vehicle: Vehicle) -> None:
    answer = await vehicle.call_client("POST", "/v1/changes", [CHANGE])
    assert answer.status == 200
    first = await vehicle.node.heard("packages")
    await vehicle.stop_client()
    vehicle.node.drain()

    await vehicle.start_client()

    again = await vehicle.node.heard("packages")
    assert (again["changes"], again["sequence"]) == ([CHANGE], first["sequence"])


async def test_old_confirmation_does_not_hide_newer_changes(vehicle: Vehicle) -> None:
    other = {**CHANGE, "operation": "remove"}
    await vehicle.call_client("POST", "/v1/changes", [CHANGE])
    first = await vehicle.node.heard("packages")
    await vehicle.call_client("POST", "/v1/changes", [other])
    await confirm(vehicle, first)
    vehicle.node.drain()

    told = await vehicle.node.heard("packages")

    assert told["changes"] == [other]
    assert told["sequence"] > first["sequence"]
