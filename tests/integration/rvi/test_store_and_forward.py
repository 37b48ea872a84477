"""Messages for peers that are away: kept through everything, until their time is over."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.boundaries.values import Interval, PackageId
from sota.kit.errors import Refused
from sota.rvi.codec import MSGPACK
from tests.support.processes import ProgramProcess, free_ports
from tests.support.rvi import (
    OTHER_VIN,
    VEHICLE,
    VIN,
    EdgeCaller,
    Identities,
    RawPeer,
    RecordingService,
    backend_settings,
    running,
    token,
    vehicle_settings,
    wait_until,
)
from tests.support.waiting import until

UPDATE_ID = "0190c5a8-0000-7000-8000-000000000001"


async def announced(identities: Identities, port: int, *names: str) -> RawPeer:
    """A vehicle's node that has announced these services."""
    peer = await RawPeer.connect(port, identities.vehicle())
    await peer.greet(token(identities.vehicle()))
    peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/{name}" for name in names]})
    return peer


async def parameters(peer: RawPeer, count: int) -> list[Any]:
    """What the next messages carry."""
    found = []
    for _ in range(count):
        data = MSGPACK.decode_data((await peer.read()).data)
        assert data is not None
        found.append(MSGPACK.parameters_json(data.parameters))
    return found


async def test_what_waited_is_sent_in_order_and_once(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        for number in range(5):
            await core.send(f"{VEHICLE}/notify", number)
        await core.send(f"{VEHICLE}/start", "other")
        await core.send(f"genivi.org/vin/{OTHER_VIN}/sota/notify", "for another")
        peer = await announced(identities, settings.tls_port, "notify")
        assert await parameters(peer, 5) == [b"[0]", b"[1]", b"[2]", b"[3]", b"[4]"]
        await wait_until(lambda: node.store.messages == 2, "what was sent has left the disk")
        await peer.close()
        again = await announced(identities, settings.tls_port, "notify", "start")
        assert await parameters(again, 1) == [b'["other"]']
        await again.close()


async def test_what_is_over_is_not_sent(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        await core.send(f"{VEHICLE}/notify", "over already", int(time.time()) - 5)
        await core.send(f"{VEHICLE}/notify", "soon over", 1000)
        await core.send(f"{VEHICLE}/notify", "lasting")
        assert node.store.messages == 2
        await asyncio.sleep(1.1)
        peer = await announced(identities, settings.tls_port, "notify")
        assert await parameters(peer, 1) == [b'["lasting"]']
        await peer.close()


async def test_what_a_dying_connection_may_not_have_carried_is_sent_again(
    identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        for number in range(3):
            await core.send(f"{VEHICLE}/notify", number)
        peer = await announced(identities, settings.tls_port, "notify")
        assert len(await parameters(peer, 3)) == 3
        await peer.close()
        await wait_until(lambda: not node.is_connected)
        await core.send(f"{VEHICLE}/notify", 3)
        again = await announced(identities, settings.tls_port, "notify")
        assert await parameters(again, 4) == [b"[0]", b"[1]", b"[2]", b"[3]"]
        await again.close()


@pytest.mark.parametrize("confirms", [False, True])
async def test_what_was_in_pieces_or_behind_them_is_sent_again_when_the_link_breaks(
    confirms: bool, identities: Identities, tmp_path: Path
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        peer.send({"cmd": "au", "ver": "1.0", "creds": [token(identities.vehicle())], "ack": confirms})
        peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/notify"]})
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        params = {"service_name": f"{VEHICLE}/notify", "timeout": int(time.time()) + 60, "parameters": [0]}
        for parameters_ in ({"rvi.max_msg_size": 80, "n": 1}, [2], [3]):
            await core.result("message", {**params, "parameters": parameters_})
        assert [(await peer.read()).cmd for _ in range(3)] == ["au", "sa", None], "nothing but the first piece"
        await peer.close()
        await wait_until(lambda: not node.is_connected)
        again = await announced(identities, settings.tls_port, "notify")
        number, total, offset, piece = MSGPACK.decode_fragment((await again.read()).frg)
        again.send({"frg-get": [number, len(piece) + 1, total]})
        assert (offset, MSGPACK.decode_fragment((await again.read()).frg)[1]) == (1, total)
        again.send({"frg-end": [number, 0]})
        assert await parameters(again, 2) == [b"[2]", b"[3]"]
        await wait_until(lambda: node.store.messages == 0, "what was sent has left the disk")
        await again.close()


async def test_a_full_disk_is_said_to_the_sender(identities: Identities, tmp_path: Path) -> None:
    async with running(backend_settings(identities, tmp_path, stored_messages=2)) as (_, core):
        for _ in range(2):
            await core.send(f"{VEHICLE}/notify", 1)
        params = {"service_name": f"{VEHICLE}/notify", "timeout": 60_000, "parameters": []}
        assert (await core.call("message", params))["error"]["data"]["code"] == "unavailable"


async def test_messages_survive_a_kill_of_the_node(identities: Identities, tmp_path: Path) -> None:
    edge, tls = free_ports(2)
    environment = {
        "SOTA_RVI_NODE_EDGE_PORT": str(edge),
        "SOTA_RVI_NODE_TLS_PORT": str(tls),
        "SOTA_RVI_NODE_IDENTITY": str(identities.backend),
        "SOTA_RVI_NODE_DATA": str(tmp_path / "data"),
    }
    program = ProgramProcess("rvi-node", ["rvi-node"], tmp_path / "node.log", environment=environment)
    core = EdgeCaller(f"http://127.0.0.1:{edge}")

    async def listening() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", edge)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    program.start()
    try:
        await until(listening, "the node listens", latest=program.tail)
        sent = 0
        for sent in range(1, 51):
            await core.send(f"{VEHICLE}/notify", sent)
        program.kill()
        program.start()
        await until(listening, "the node listens again", latest=program.tail)
        await core.send(f"{VEHICLE}/notify", sent + 1)
        peer = await announced(identities, tls, "notify")
        assert await parameters(peer, 51) == [b"[%d]" % number for number in range(1, 52)]
        await peer.close()
    finally:
        await core.client.close()
        if program.running:
            program.kill()


def scheduled(start: timedelta, end: timedelta, vin: str = VIN) -> ScheduledUpdate:
    now = datetime.now(UTC)
    package = PackageId(name="ivi", version="2.1.0")
    interval = Interval(start=now + start, end=now + end)
    return ScheduledUpdate(
        vin=vin, update_id=UPDATE_ID, package=package, dependencies=[], interval=interval, priority=10, created_at=now
    )


@pytest.mark.whitelist("WL-B7-1", "scheduled")
async def test_a_scheduled_vehicle_is_told_to_core_when_it_connects_in_its_interval(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path / "b")
    address = f"tls://127.0.0.1:{settings.tls_port}"
    hour = timedelta(hours=1)
    async with running(settings) as (_, core):
        vins = await NodeClient(core.client).schedule([scheduled(-hour, hour), scheduled(-hour, hour, OTHER_VIN)])
        assert vins == [VIN, OTHER_VIN]
    async with (
        running(settings) as (node, core),
        running(vehicle_settings(identities, tmp_path / "v", address)) as (_, client),
    ):
        assert len(node.calendar) == 2
        await core.register("/sota/ack", service.url())
        name = await client.register("/sota/notify", service.url("/vehicle"))
        await wait_until(lambda: service.notices("services_available", "/callback") == [name])
        # The vehicle is connected already: Core hears of it again at once, for the update that it schedules now.
        await NodeClient(core.client).schedule([scheduled(-hour, hour)])
        await wait_until(lambda: service.notices("services_available", "/callback") == [name, name])
        # An interval that begins while the vehicle is connected is told of when it begins.
        await NodeClient(core.client).schedule([scheduled(timedelta(seconds=0.5), hour)])
        assert service.notices("services_available", "/callback") == [name, name]
        await wait_until(lambda: service.notices("services_available", "/callback") == [name, name, name])


@pytest.mark.whitelist("WL-B7-1", "scheduled")
async def test_an_update_that_was_withdrawn_is_awaited_no_more(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    async with running(backend_settings(identities, tmp_path)) as (node, core):
        await NodeClient(core.client).schedule([scheduled(timedelta(0), timedelta(hours=1))])
        assert await NodeClient(core.client).unschedule([UnscheduledUpdate(vin=VIN, update_id=UPDATE_ID)]) == [VIN]
        assert len(node.calendar) == 0


@pytest.mark.whitelist("WL-B7-1", "scheduling_failed")
async def test_an_update_that_cannot_be_scheduled_is_refused(identities: Identities, tmp_path: Path) -> None:
    async with running(backend_settings(identities, tmp_path)) as (node, core):
        with pytest.raises(Refused) as refused:
            await NodeClient(core.client).schedule([scheduled(-timedelta(hours=2), -timedelta(hours=1))])
        assert (refused.value.code, refused.value.status) == ("scheduling_failed", 412)
        assert refused.value.title == "Task scheduling failed"
        malformed: list[Any] = [{}, [{"vin": "short"}], [{}], [1], "text", [{"vin": VIN, "update_id": UPDATE_ID}]]
        for wrong in malformed:
            error = (await core.call("schedule_update", wrong))["error"]
            assert (error["message"], error["data"]["code"]) == ("Task scheduling failed", "scheduling_failed")
        assert len(node.calendar) == 0
