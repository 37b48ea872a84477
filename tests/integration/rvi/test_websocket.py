"""The service edge over WebSocket: the exchanges of a real node, and what hostile programs may try."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sota.rvi import edge_ws, websocket
from sota.rvi.node import Node
from tests.support.processes import free_ports
from tests.support.rvi import (
    BACKEND,
    VIN,
    EdgeCaller,
    Identities,
    RawPeer,
    RecordingService,
    backend_settings,
    credential_id,
    running,
    token,
    vehicle_settings,
    wait_until,
)

ECHO = f"genivi.org/vin/{VIN}/ws/echo"
SILENCE_S = 0.2


@contextlib.asynccontextmanager
async def vehicle_node(identities: Identities, folder: Path, **changes: Any) -> AsyncIterator[tuple[Node, EdgeCaller]]:
    changes = {"ws_port": free_ports(1)[0], "extra_services": ("ws",), **changes}
    async with running(vehicle_settings(identities, folder, "tls://127.0.0.1:1", **changes)) as both:
        yield both


def socket(node: Node, **options: Any) -> connect:
    return connect(f"ws://127.0.0.1:{node.settings.ws_port}/any/path", compression=None, **options)


async def ask(ws: ClientConnection, text: str) -> str:
    await ws.send(text)
    async with asyncio.timeout(20):
        return str(await ws.recv())


async def is_silent(ws: ClientConnection, text: str) -> bool:
    """Nothing comes back; the next request is answered, so the connection stands."""
    await ws.send(text)
    answer = await ask(ws, '{"id":"after","method":"get_node_service_prefix","params":{}}')
    return answer.startswith('{"id":"after"')


async def test_the_exchanges_of_a_real_node(identities: Identities, tmp_path: Path) -> None:
    async with vehicle_node(identities, tmp_path) as (node, _), socket(node) as ws:
        registered = await ask(
            ws, '{"json-rpc":"2.0","id":"1","method":"register_service","params":{"service_name":"ws/echo"}}'
        )
        assert registered == f'{{"id":"1","status":0,"service":"{ECHO}","method":"register_service"}}'
        services = await ask(ws, '{"id":"2","method":"get_available_services","params":{}}')
        assert services == f'{{"id":"2","status":0,"services":["{ECHO}"],"method":"get_available_services"}}'
        prefix = await ask(ws, '{"id":"3","method":"get_node_service_prefix","params":{}}')
        expected = f'"node_service_prefix":"genivi.org/vin/{VIN}/","method":"get_node_service_prefix"'
        assert prefix == f'{{"id":"3","status":0,{expected}}}'
        ends_at = int(time.time()) + 60
        sent = await ask(
            ws,
            f'{{"id":"5","method":"message","params":{{"service_name":"{BACKEND}/report","timeout":{ends_at},'
            '"parameters":{"a":"1","s":"\\"x\\"","o":"{\\"k\\":[1,2]}"}}}',
        )
        assert sent == '{"id":"5","status":0,"transaction_id":1,"method":"message"}'
        assert node.store.messages == 1
        gone = await ask(ws, f'{{"id":"10","method":"unregister_service","params":{{"service_name":"{ECHO}"}}}}')
        assert gone == '{"id":"10","status":0}'
        assert node.known_services() == []


async def test_a_message_from_the_link_comes_over_the_socket(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path, ws_port=free_ports(1)[0])
    async with running(settings) as (node, _), socket(node) as ws:
        await ask(ws, '{"id":1,"method":"register_service","params":{"service_name":"/sota/report"}}')
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        for number in range(200):
            data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": {"a": number}}
            peer.send({"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data})
        for number in range(200):
            received = str(await asyncio.wait_for(ws.recv(), 20))
            sender = f'"peer":{{"vin":"{VIN}","credential":"{credential_id(identities.vehicle())}"}}'
            assert received == (
                '{"json-rpc":"2.0","method":"message","params":{"service_name":"/sota/report",'
                f'"parameters":{{"a":{number}}},{sender}}}}}'
            )
        await peer.close()


async def test_what_comes_and_goes_is_told(identities: Identities, tmp_path: Path, service: RecordingService) -> None:
    async with vehicle_node(identities, tmp_path) as (node, client), socket(node) as ws:
        await ask(ws, '{"id":1,"method":"register_service","params":{"service_name":"ws/echo"}}')
        name = await client.register("/sota/notify", service.url())
        told = await asyncio.wait_for(ws.recv(), 20)
        assert told == f'{{"json-rpc":"2.0","method":"services_available","params":{{"services":["{name}"]}}}}'
        await client.result("unregister_service", {"service": name})
        told = await asyncio.wait_for(ws.recv(), 20)
        assert told == f'{{"json-rpc":"2.0","method":"services_unavailable","params":{{"services":["{name}"]}}}}'


async def test_values_are_taken_out_of_their_texts(identities: Identities, tmp_path: Path) -> None:
    async with vehicle_node(identities, tmp_path) as (node, _), socket(node) as ws:
        for parameters, kept in (
            ({"a": "1", "s": '"x"', "o": '{"k":[1,2]}'}, b'{"a":1,"s":"x","o":{"k":[1,2]}}'),
            ([{"a": 1.0}], b'[{"a": 1.0}]'),
            ({}, b"{}"),
        ):
            params = {"service_name": f"{BACKEND}/report", "timeout": 60_000, "parameters": parameters}
            await ask(ws, json.dumps({"id": 1, "method": "message", "params": params}))
            (message,) = await node.store.next(f"{BACKEND}/report")
            assert message.parameters == kept
            node.store.mark_handed_over(message)


async def test_params_may_be_a_text(identities: Identities, tmp_path: Path) -> None:
    async with vehicle_node(identities, tmp_path) as (node, _), socket(node) as ws:
        params = json.dumps({"service_name": "ws/echo"})
        answer = json.loads(await ask(ws, json.dumps({"id": 1, "method": "register_service", "params": params})))
        assert answer["service"] == ECHO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"method":"get_available_services","params":{}}',
        '{"id":1,"method":"unheard_of","params":{}}',
        '{"id":1,"method":"register_service","params":{"service_name":"/not/of/the/whitelist"}}',
        '{"id":1,"method":"register_service","params":[]}',
        '{"id":1,"method":"message","params":{"service_name":"%s","timeout":60000,"parameters":{"a":1}}}',
        '{"id":1,"method":"message","params":{"service_name":"%s","timeout":60000,"parameters":{"a":"1,\\"b\\":2"}}}',
        '{"id":1,"method":"message","params":{"service_name":"%s","timeout":60000,"parameters":{"a":"x"}}}',
        '{"id":1,"method":"message","params":{"service_name":"%s","timeout":"1","parameters":{}}}',
        '{"id":1,"method":"message","params":{"service_name":"%s","timeout":1.5,"parameters":{}}}',
        '{"id":1,"method":"message","params":{"service_name":"%s","timeout":60000,"parameters":null}}',
        '{"id":1,"method":"message","params":{"service_name":"x/y","timeout":60000,"parameters":{}}}',
        '{"id":1,"method":"message","params":' + "[" * 50_000,
    ],
)
async def test_what_is_refused_gets_no_answer_and_the_socket_stays(
    text: str, identities: Identities, tmp_path: Path
) -> None:
    async with vehicle_node(identities, tmp_path) as (node, _), socket(node) as ws:
        assert await is_silent(ws, text.replace("%s", f"{BACKEND}/report"))
        assert node.store.messages == 0


async def test_a_service_goes_with_its_socket_and_its_messages_wait(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path, ws_port=free_ports(1)[0])
    register = '{"id":1,"method":"register_service","params":{"service_name":"/sota/report"}}'
    async with running(settings) as (node, _):
        async with socket(node) as ws:
            await ask(ws, register)
        await wait_until(lambda: node.known_services() == [])
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [1]}
        peer.send({"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data})
        await wait_until(lambda: node.store.messages == 1)
        async with socket(node) as again:
            await again.send(register)
            received = [json.loads(await asyncio.wait_for(again.recv(), 5)) for _ in range(2)]
            assert [1] in [one.get("params", {}).get("parameters") for one in received]
            await wait_until(lambda: node.store.messages == 0)
        await peer.close()


async def test_a_program_that_does_not_read_costs_bounded_memory(identities: Identities, tmp_path: Path) -> None:
    settings = backend_settings(identities, tmp_path, ws_port=free_ports(1)[0], local_queue=100_000)
    async with running(settings) as (node, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.ws_port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        text = b'{"id":1,"method":"register_service","params":{"service_name":"/sota/report"}}'
        writer.write(b"\x81%c\0\0\0\0%b" % (0x80 | len(text), text))
        await wait_until(lambda: node.known_services() == [f"{BACKEND}/report"])
        peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
        await peer.greet(token(identities.vehicle()))
        for number in range(20):
            data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [number, "x" * 1_000_000]}
            peer.send({"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data})
            await peer.writer.drain()
        await wait_until(lambda: node.store.messages > 3, "the disk takes what the program does not", 10.0)
        writer.close()
        await peer.close()


async def test_hostile_frames_cost_their_socket_only(
    identities: Identities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "HANDSHAKE_S", 0.2)
    monkeypatch.setattr(edge_ws, "TICK_S", 0.05)
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    hostile = [
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000,
        b"POST / HTTP/1.1\r\n\r\n",
        b"\x00" * 100,
        b"GET /",
        upgrade + b"\x81\x05hello",  # not masked
        upgrade + b"\xc1\x80\0\0\0\0",  # a reserved bit
        upgrade + b"\x83\x80\0\0\0\0",  # a reserved opcode
        upgrade + b"\x80\x80\0\0\0\0",  # the rest of nothing
        upgrade + b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # 2^63 bytes
        upgrade + b"\x82\x81\0\0\0\0x",  # binary
        upgrade + b"\x89\xfe\x01\x00\0\0\0\0" + b"x" * 256,  # a long ping
        upgrade + b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0",  # a text inside a text
    ]
    async with vehicle_node(identities, tmp_path) as (node, _), socket(node) as good:
        for content in hostile:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.ws_port)
            writer.write(content)
            async with asyncio.timeout(20):
                with contextlib.suppress(ConnectionError):
                    while await reader.read(1 << 16):
                        pass
            writer.close()
        assert await is_silent(good, "still here")


async def test_a_text_in_pieces_is_understood_and_bounded(identities: Identities, tmp_path: Path) -> None:
    async with vehicle_node(identities, tmp_path, max_message=1024) as (node, _):
        async with socket(node) as ws:
            await ws.send(iter(['{"id":1,"method":"get_node', '_service_prefix",', '"params":{}}']))
            assert json.loads(await asyncio.wait_for(ws.recv(), 20))["status"] == 0
        async with socket(node) as ws:
            with contextlib.suppress(ConnectionClosed):
                await ws.send(iter(["x" * 10_000] * 100))
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 20)


@pytest.mark.parametrize("origin", ["http://example.com", "https://127.0.0.1:%d", "http://127.0.0.1", "null"])
async def test_a_web_page_is_turned_away(origin: str, identities: Identities, tmp_path: Path) -> None:
    async with vehicle_node(identities, tmp_path) as (node, _):
        shown = origin.replace("%d", str(node.settings.ws_port))
        with pytest.raises(InvalidStatus, match="403"):
            await socket(node, origin=shown).__aenter__()


@pytest.mark.parametrize(
    ("origins", "hosts", "expected"),
    [
        ([], ["127.0.0.1:9008"], False),
        (["http://127.0.0.1:9008"], ["127.0.0.1:9008"], False),
        (["http://localhost:9008"], ["localhost:9008"], False),
        (["http://[::1]:9008"], ["[::1]:9008"], False),
        (["http://rebound.example:9008"], ["rebound.example:9008"], True),
        (["http://127.0.0.1:9008"], [], True),
        (["http://127.0.0.1:9008"], ["127.0.0.1:9008", "x"], True),
        (["http://127.0.0.1:9008", "http://example.com"], ["127.0.0.1:9008"], True),
        (["http://["], ["["], True),
        ([""], [""], True),
    ],
)
def test_only_what_names_the_node_itself_is_no_page(origins: list[str], hosts: list[str], *, expected: bool) -> None:
    assert websocket.is_of_a_page(origins, hosts) is expected


async def test_a_library_that_names_the_node_as_origin_is_answered(identities: Identities, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    origin = f"http://127.0.0.1:{port}"
    async with vehicle_node(identities, tmp_path, ws_port=port) as (node, _), socket(node, origin=origin) as ws:
        assert await is_silent(ws, "and stays")


async def test_a_silent_socket_is_found(
    identities: Identities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((websocket, "PING_S"), (websocket, "PONG_S"), (edge_ws, "TICK_S")):
        monkeypatch.setattr(module, name, 0.05)
    async with vehicle_node(identities, tmp_path) as (node, _), socket(node) as good:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.settings.ws_port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(20):
            received = b"".join([part async for part in _parts(reader)])
        assert received.startswith(b"\x89\x04")
        writer.close()
        assert await is_silent(good, "this one answers pings")


async def _parts(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(1 << 16):
            yield part


def test_a_node_without_this_edge_does_not_load_its_library() -> None:
    look = "import sys, sota.rvi.node; sys.exit('websockets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False, timeout=60).returncode == 0
