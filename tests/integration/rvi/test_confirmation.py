"""Two nodes of ours confirm messages to each other: a kill of either side's neighbour loses none."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest

from sota.rvi.codec import JSON, MSGPACK
from tests.support.processes import ProgramProcess, free_ports
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
    VIN,
    EdgeCaller,
    Identities,
    RawPeer,
    RecordingService,
    backend_settings,
    running,
    token,
    wait_until,
)
from tests.support.waiting import until


async def confirming_peer(identities: Identities, port: int, *announced: str) -> RawPeer:
    peer = await RawPeer.connect(port, identities.vehicle())
    peer.send({"cmd": "au", "ver": "1.0", "creds": [token(identities.vehicle())], "ack": True})
    assert [(await peer.read()).cmd, (await peer.read()).cmd] == ["au", "sa"]
    peer.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/{name}" for name in announced]})
    return peer


async def confirmed(peer: RawPeer, count: int) -> list[int]:
    numbers: list[int] = []
    while len(numbers) < count:
        packet = await peer.read()
        assert packet.cmd == "ack"
        numbers += cast("list[int]", packet.ids)
    return numbers


async def test_a_message_is_confirmed_when_its_service_has_answered(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    release = asyncio.Event()

    async def hang(_path: str, _call: dict[str, Any]) -> None:
        await release.wait()

    service.answer = hang
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (_, core):
        await core.register("/sota/report", service.url())
        peer = await confirming_peer(identities, settings.tls_port)
        data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [1]}
        for number in (5, 6):
            peer.send({"tid": 1, "cmd": "rcv", "mod": "x", "data": data, "ack": number})
        peer.send({"tid": 1, "cmd": "rcv", "mod": "x", "data": {**data, "service": "not/ours"}, "ack": 7})
        assert await confirmed(peer, 1) == [7], "what is refused need not be kept"
        with pytest.raises(TimeoutError):
            await peer.read(0.1)
        release.set()
        assert await confirmed(peer, 2) == [5, 6]
        await peer.close()


async def test_a_message_is_confirmed_when_it_is_on_disk(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path, stored_messages=1)
    async with running(settings) as (node, _):
        peer = await confirming_peer(identities, settings.tls_port)
        data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [1]}
        peer.send({"tid": 1, "cmd": "rcv", "mod": "x", "data": data, "ack": 1})
        assert await confirmed(peer, 1) == [1]
        assert node.store.messages == 1
        peer.send({"tid": 1, "cmd": "rcv", "mod": "x", "data": data, "ack": 2})
        with pytest.raises(TimeoutError):
            await peer.read(0.1)  # the disk is full: the sender keeps it
        await peer.close()


async def test_what_was_not_confirmed_is_sent_again_in_order(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path)
    async with running(settings) as (node, core):
        peer = await confirming_peer(identities, settings.tls_port, "notify")
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        for number in range(4):
            await core.send(f"{VEHICLE}/notify", number)
        numbers = [(await peer.read()).ack for _ in range(4)]
        assert numbers == [1, 2, 3, 4]
        peer.send({"cmd": "ack", "ids": [numbers[1], 99, "x", None]})
        await asyncio.sleep(0.05)
        await peer.close()
        await wait_until(lambda: node.store.messages == 3)
        again = await confirming_peer(identities, settings.tls_port, "notify")
        packets = [await again.read() for _ in range(3)]
        datas = [MSGPACK.decode_data(packet.data) for packet in packets]
        assert [MSGPACK.parameters_json(data.parameters) for data in datas if data] == [b"[0]", b"[2]", b"[3]"]
        assert node.store.messages == 3
        again.send({"cmd": "ack", "ids": [packet.ack for packet in packets]})
        await wait_until(lambda: node.store.messages == 0)
        await again.close()


async def test_a_peer_that_confirms_nothing_is_sent_only_so_much(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path, send_queue=50_000, back_pressure_s=0.1)
    async with running(settings) as (node, core):
        peer = await confirming_peer(identities, settings.tls_port, "notify")
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        for number in range(10):
            await core.send(f"{VEHICLE}/notify", [number, "x" * 20_000])
        assert node.store.messages == 7
        seen: list[int] = []
        while len(seen) < 10:
            packet = await peer.read()
            data = MSGPACK.decode_data(packet.data)
            assert data is not None
            seen.append(first_number(MSGPACK.parameters_json(data.parameters)))
            peer.send({"cmd": "ack", "ids": [packet.ack]})
        assert seen == list(range(10))
        await wait_until(lambda: node.store.messages == 0)
        await peer.close()


def first_number(parameters: bytes) -> int:
    return int(parameters[2:].split(b",")[0])


async def test_blocks_and_real_nodes_go_without(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path, tls_port=0, tcp_port=free_ports(1)[0])
    async with running(settings) as (node, core):
        real = await RawPeer.connect(settings.tcp_port, None, JSON)
        await real.greet(token(identities.vehicle()))
        real.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/notify"]})
        await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services())
        await core.send(f"{VEHICLE}/notify", 1)
        assert (await real.read()).ack is None
        real.send({"cmd": "au", "ver": "1.1", "creds": [token(identities.vehicle())], "ack": True})
        assert (await real.read()).cmd == "sa"
        real.send({"cmd": "sa", "stat": "av", "svcs": [f"{VEHICLE}/chunk"]})
        await wait_until(lambda: f"{VEHICLE}/chunk" in node.known_services())
        await core.send(f"{VEHICLE}/chunk", 1)
        assert (await real.read()).ack is None
        await core.send(f"{VEHICLE}/notify", 1)
        assert (await real.read()).ack is not None
        await real.close()


async def test_a_kill_of_the_receiving_node_loses_nothing_that_was_queued(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    release = asyncio.Event()

    async def hang(_path: str, _call: dict[str, Any]) -> None:
        await release.wait()

    service.answer = hang
    settings = backend_settings(identities, tmp_path / "b")
    (edge,) = free_ports(1)
    environment = {
        "SOTA_RVI_NODE_ROLE": "client",
        "SOTA_RVI_NODE_PREFIX": f"genivi.org/vin/{VIN}",
        "SOTA_RVI_NODE_EDGE_PORT": str(edge),
        "SOTA_RVI_NODE_TLS_PORT": "0",
        "SOTA_RVI_NODE_PEERS": f"tls://127.0.0.1:{settings.tls_port}",
        "SOTA_RVI_NODE_IDENTITY": str(identities.vehicle()),
        "SOTA_RVI_NODE_DATA": str(tmp_path / "v"),
    }
    program = ProgramProcess("rvi-node", ["rvi-node"], tmp_path / "node.log", environment=environment)
    client = EdgeCaller(f"http://127.0.0.1:{edge}")

    async def registered() -> bool:
        try:
            return bool(await client.register("/sota/notify", service.url()))
        except Exception:  # noqa: BLE001  it is starting
            return False

    async with running(settings) as (node, core):
        program.start()
        try:
            await until(registered, "the vehicle's node takes services", timeout_s=20)
            await wait_until(lambda: f"{VEHICLE}/notify" in node.known_services(), timeout_s=20)
            for number in range(20):
                await core.send(f"{VEHICLE}/notify", number, int(time.time()) + 600)
            assert node.store.messages == 0
            await asyncio.sleep(0.2)
            program.kill()
            await wait_until(lambda: node.store.messages == 20)
            service.calls.clear()
            service.answer = None
            release.set()
            program.start()
            await until(registered, "the vehicle's node takes services", timeout_s=20)
            # The call that hung before the kill may have been noted, too.
            await wait_until(lambda: [19] in [m["parameters"] for m in service.messages()], timeout_s=20)
            assert [message["parameters"][0] for message in service.messages()][-20:] == list(range(20))
            await wait_until(lambda: node.store.messages == 0)
        finally:
            await client.client.close()
            program.kill()
