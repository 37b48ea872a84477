"""Core beside a real rvi_core node: it names no sender, knows no schedules, and calls as was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.services import backend_service
from tests.support.core import RunningCore, running_core
from tests.support.edge import VehiclePlayer
from tests.support.raw_http import call_as_rvi_core

pytestmark = pytest.mark.anyio


async def say(core: RunningCore, service: str, body: dict[str, Any]) -> int:
    """Have the node hand over a message of a vehicle."""
    params = f'{{"service_name":"/sota/{service}","parameters":[{json.dumps(body)}]}}'
    status, answer = await call_as_rvi_core(core.edge.addresses[backend_service(service)], "message", params)
    assert json.loads(answer)["id"] == 1
    if core.edge.settle is not None:
        await core.edge.settle()
    return status


async def announce(core: RunningCore, method: str, name: str) -> None:
    address = core.edge.addresses[backend_service("start")]
    assert (await call_as_rvi_core(address, method, f'{{"services":["{name}"]}}'))[0] == 200


async def test_update_passes_through_a_real_node_from_its_notification_to_its_report(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'core.db'}"
    async with running_core(database, tmp_path, accept_unidentified_peers=True) as core:
        core.edge.is_real = True
        vin, name = await core.add_target()
        request_id = await core.queue(name, "2.1.0")
        core.edge.vehicles.add(vin)
        for service in ("abort", "notify"):
            await announce(core, "services_available", f"genivi.org/vin/{vin}/sota/{service}")

        index = (await core.edge.expect(vin, "notify")).body["downloads"][0]["download_index"]
        about = VehiclePlayer(core.edge, vin).named(index)
        assert await say(core, "start", about) == 202
        blocks = (await core.edge.expect(vin, "start")).body["block_count"]
        assert await say(core, "ack", {**about, "received": ""}) == 200
        for number in range(1, blocks + 1):
            await core.edge.expect(vin, "chunk", after=number - 1)
            assert await say(core, "ack", {**about, "received": f"1-{number}" if number > 1 else "1"}) == 200
        await core.edge.expect(vin, "finish")
        outcome = {"status": 200, "message": f"Download of {name}/2.1.0 complete"}
        assert await say(core, "ack", {**about, "received": f"1-{blocks}", "outcome": outcome}) == 200
        report = {"status": "installed", "operations": []}
        assert await say(core, "report", {**about, **report}) == 200

        assert (await core.update_of(request_id))["status"] == "installed"
        await announce(core, "services_unavailable", f"genivi.org/vin/{vin}/sota/notify")
        assert core.edge.calls.count("schedule_update") == 1, "what it does not know it is not asked again"
        assert core.edge.scheduled == []


async def test_without_the_operators_word_nothing_from_a_real_node_counts(tmp_path: Path) -> None:
    async with running_core(f"sqlite:///{tmp_path / 'core.db'}", tmp_path) as core:
        offer = await core.offer()
        assert await say(core, "start", offer.vehicle.named(offer.index)) == 403
