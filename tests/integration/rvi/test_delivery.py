"""Callbacks to local services: order, time limits, and no service waits for the trouble of another."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from sota.rvi.delivery import QUEUES_PER_SERVICE
from sota.rvi.node import Node
from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
    VIN,
    EdgeCaller,
    Identities,
    RawPeer,
    RecordingService,
    backend_settings,
    credential_id,
    running,
    token,
    wait_until,
)


async def vehicle(identities: Identities, port: int, vin: str = VIN) -> RawPeer:
    peer = await RawPeer.connect(port, identities.vehicle(vin))
    await peer.greet(token(identities.vehicle(vin)))
    return peer


def report(peer: RawPeer, number: int, service: str = "report", keep_s: float = 60.0) -> None:
    data = {"service": f"{BACKEND}/{service}", "timeout": int((time.time() + keep_s) * 1000), "parameters": [number]}
    peer.send({"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data})


async def test_the_callback_is_that_of_a_real_node_and_tells_the_peer(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("sota/report", service.url("/cb/path?x=1"))
        peer = await vehicle(identities, settings.tls_port)
        report(peer, 7)
        await service.wait_for(1)
        path, call = service.calls[-1]
        assert path == "/cb/path?x=1"
        assert call == {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "message",
            "params": {
                "service_name": "/sota/report",
                "parameters": [7],
                "peer": {"vin": VIN, "credential": credential_id(identities.vehicle())},
            },
        }
        await peer.close()


async def test_callbacks_use_one_connection(identities: Identities, tmp_path: Path, service: RecordingService) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await vehicle(identities, settings.tls_port)
        for number in range(20):
            report(peer, number)
        await service.wait_for(20)
        assert service.accepted == 1
        await peer.close()


async def test_a_service_that_hangs_delays_no_other(
    identities: Identities, tmp_path: Path, service: RecordingService, other_service: RecordingService
) -> None:
    release = asyncio.Event()

    async def hang(_path: str, _call: dict[str, Any]) -> None:
        await release.wait()

    service.answer = hang
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        await core.register("/sota/ack", other_service.url())
        peer = await vehicle(identities, settings.tls_port)
        for number in range(50):
            report(peer, number)
            report(peer, number, "ack")
        received = await other_service.wait_for(50, 8.0)  # sooner than the time-out of the one that hangs
        assert [message["parameters"] for message in received] == [[number] for number in range(50)]
        await core.register("/sota/start", other_service.url())  # answered although the one that hangs was not released
        release.set()
        assert [m["parameters"] for m in await service.wait_for(50)] == [[number] for number in range(50)]
        await peer.close()


async def test_peers_of_other_lanes_do_not_wait_and_each_keeps_its_order(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    others = [f"WVW{number:014}" for number in range(1, 4 * QUEUES_PER_SERVICE)]
    vins = [VIN, *[vin for vin in others if hash(vin) % QUEUES_PER_SERVICE != hash(VIN) % QUEUES_PER_SERVICE][:2]]
    release = asyncio.Event()

    async def hang_for_one(_path: str, call: dict[str, Any]) -> None:
        if call["params"]["peer"]["vin"] == VIN:
            await release.wait()

    def of(vin: str) -> list[Any]:
        return [message["parameters"] for message in service.messages() if message["peer"]["vin"] == vin]

    service.answer = hang_for_one
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/ack", service.url())
        peers = [await vehicle(identities, settings.tls_port, vin) for vin in vins]
        for number in range(30):
            for peer in peers:
                report(peer, number, "ack")
        in_order = [[number] for number in range(30)]
        await wait_until(lambda: all(of(vin) == in_order for vin in vins[1:]))
        assert len(of(VIN)) <= 1
        await peers[0].close()
        peers[0] = await vehicle(identities, settings.tls_port)  # what it says now goes behind what it said before
        report(peers[0], 30, "ack")
        release.set()
        await wait_until(lambda: of(VIN) == [*in_order, [30]])
        assert service.accepted <= len(vins)
        for peer in peers:
            await peer.close()


async def test_a_service_that_is_down_gets_its_messages_when_it_is_back(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        await service.stop()
        peer = await vehicle(identities, settings.tls_port)
        for number in range(10):
            report(peer, number)
        report(peer, 10)
        await asyncio.sleep(0.1)
        await service.start()
        received = await service.wait_for(11)
        assert [message["parameters"] for message in received] == [[number] for number in range(11)]
        await peer.close()


async def test_a_service_that_was_restarted_elsewhere_gets_its_messages_there(
    identities: Identities, tmp_path: Path, service: RecordingService, other_service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        await service.stop()
        peer = await vehicle(identities, settings.tls_port)
        report(peer, 1)
        await asyncio.sleep(0.1)
        await core.register("/sota/report", other_service.url())
        assert [m["parameters"] for m in await other_service.wait_for(1)] == [[1]]
        await peer.close()


@pytest.mark.parametrize("status", [503, 429])
async def test_a_service_that_says_later_is_asked_later(
    status: int, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        service.status = status
        peer = await vehicle(identities, settings.tls_port)
        report(peer, 1)
        report(peer, 2)
        await service.wait_for(2)
        service.status = 200
        await wait_until(lambda: [2] in [message["parameters"] for message in service.messages()])
        numbers = [message["parameters"][0] for message in service.messages()]
        assert numbers == sorted(numbers)
        await peer.close()


@pytest.mark.parametrize("status", [200, 202, 400, 404, 409, 500])
async def test_any_other_answer_is_final(
    status: int, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        service.status = status
        peer = await vehicle(identities, settings.tls_port)
        report(peer, 1)
        report(peer, 2)
        received = await service.wait_for(2)
        assert [message["parameters"] for message in received] == [[1], [2]]
        await peer.close()


async def test_a_message_for_an_own_service_that_is_not_there_yet_waits_for_it(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        peer = await vehicle(identities, settings.tls_port)
        for number in range(3):
            report(peer, number)
        await wait_until(lambda: node.store.messages == 3)
        await core.register("/sota/report", service.url())
        report(peer, 3)
        received = await service.wait_for(4)
        assert [message["parameters"] for message in received] == [[number] for number in range(4)]
        assert received[0]["peer"]["vin"] == VIN
        await wait_until(lambda: node.store.messages == 0, "what was answered has left the disk")
        await peer.close()


async def test_more_than_fits_into_memory_goes_to_the_disk_and_keeps_its_order(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    release = asyncio.Event()

    async def hang(_path: str, _call: dict[str, Any]) -> None:
        await release.wait()

    service.answer = hang
    settings = backend_settings(identities, tmp_path, local_queue=1024)
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        peer = await vehicle(identities, settings.tls_port)
        for number in range(100):
            report(peer, number)
        await wait_until(lambda: node.store.messages > 50)
        release.set()
        received = await service.wait_for(100)
        assert [message["parameters"] for message in received] == [[number] for number in range(100)]
        await peer.close()


async def test_what_is_not_delivered_when_the_node_stops_is_delivered_by_the_next_run(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path, drain_s=0.1)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        await service.stop()
        peer = await vehicle(identities, settings.tls_port)
        for number in range(5):
            report(peer, number)
        await peer.close()
        await asyncio.sleep(0.1)
    await service.start()
    async with running(settings) as (node, core):
        assert node.store.messages == 5
        await core.register("/sota/report", service.url())
        received = await service.wait_for(5)
        assert [message["parameters"] for message in received] == [[number] for number in range(5)]


async def local_node_rights(identities: Identities) -> Path:
    return identities.with_rights("both-ways", ["genivi.org/backend/"], ["genivi.org/"])


async def test_a_node_that_is_ending_takes_no_connection_that_it_would_drop(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    """A real node whose connection was taken and dropped at once never tries again; one that was refused does."""
    go_on = asyncio.Event()

    async def wait(*_: object) -> None:
        await go_on.wait()

    service.answer = wait
    settings = backend_settings(
        identities, tmp_path, identity=await local_node_rights(identities), tcp_port=free_ports(1)[0]
    )
    node = Node(settings)
    await node.start()
    core = EdgeCaller(node.edge_url)
    await core.register("/sota/report", service.url())
    asking = asyncio.create_task(core.send(f"{BACKEND}/report", 1))
    await wait_until(lambda: service.accepted == 1)

    stopping = asyncio.create_task(node.stop())
    await wait_until(lambda: not node.is_listening)

    for port in (settings.tcp_port, settings.tls_port):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    assert not stopping.done(), "it waits for the request that is under way"
    go_on.set()
    assert await asking == -1
    await stopping
    await core.client.close()


async def test_the_answer_of_a_local_service_is_handed_back(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path, identity=await local_node_rights(identities))
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        service.status = 409
        params = {"service_name": f"{BACKEND}/report", "timeout": 5000, "parameters": [1]}
        assert await core.result("message", params) == {
            "status": 0,
            "transaction_id": -1,
            "method": "message",
            "answer": {"status": 409, "body": {"jsonrpc": "2.0", "id": 1, "result": {"status": 0}}},
        }
        assert "peer" not in service.messages()[0]


async def test_a_local_answer_that_does_not_come_is_not_waited_for(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(
        identities, tmp_path, identity=await local_node_rights(identities), callback_timeout_s=0.2
    )
    await service.stop()
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        params = {"service_name": f"{BACKEND}/report", "timeout": 5000, "parameters": [1]}
        assert await core.result("message", params) == {"status": 0, "transaction_id": -1, "method": "message"}
        await service.start()
        assert len(await service.wait_for(1)) == 1


async def test_notices_wait_for_an_address_that_is_down(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        await core.register("/sota/report", service.url())
        await service.stop()
        peer = await vehicle(identities, settings.tls_port)
        names = [f"{VEHICLE}/notify", f"{VEHICLE}/start"]
        peer.send({"cmd": "sa", "stat": "av", "svcs": names})
        await wait_until(lambda: names[1] in node.known_services())
        await service.start()
        await wait_until(lambda: service.notices("services_available") == names)
        await peer.close()
        await wait_until(lambda: service.notices("services_unavailable") == names)


async def test_an_edge_answers_while_callbacks_are_out(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    """A service may call its node from inside a callback."""
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):

        async def call_back(_path: str, _call: dict[str, Any]) -> None:
            caller = EdgeCaller(node.edge_url)
            await caller.send(f"{VEHICLE}/reported", 1)
            await caller.client.close()

        service.answer = call_back
        await core.register("/sota/report", service.url())
        peer = await vehicle(identities, settings.tls_port)
        report(peer, 1)
        await service.wait_for(1)
        assert node.store.messages == 1
        await peer.close()
