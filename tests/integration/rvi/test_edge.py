"""The service edge over real sockets: every exchange of the protocol, byte by byte where it has a form."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sota.rvi.node import Node
from tests.support.rvi import (
    BACKEND,
    VEHICLE,
    VIN,
    EdgeCaller,
    Identities,
    RecordingService,
    backend_settings,
    exchange,
    running,
    vehicle_settings,
    wait_until,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n"


def post(body: bytes, *headers: bytes, path: bytes = b"/", content_type: bytes = b"application/json") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Content-Type: " + content_type, *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body


def answered(body: bytes) -> bytes:
    return HEAD % len(body) + body


def port_of(node: Node) -> int:
    return int(node.edge_url.rpartition(":")[2])


@pytest.fixture(scope="module")
async def backend(
    identities: Identities, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Node, EdgeCaller]]:
    """A node for the tests that leave nothing behind."""
    async with running(backend_settings(identities, tmp_path_factory.mktemp("backend"))) as node:
        yield node


async def test_registering_is_answered_with_the_full_name(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    async with running(vehicle_settings(identities, tmp_path, "tls://127.0.0.1:1")) as (node, _):
        request = (
            '{"jsonrpc":"2.0","id":1,"method":"register_service",'
            f'"params":{{"service":"/sota/notify","network_address":"{service.url()}"}}}}'
        )
        result = f'{{"status":0,"service":"{VEHICLE}/notify","method":"register_service"}}'
        expected = f'{{"jsonrpc":"2.0","id":1,"result":{result}}}'
        received = await exchange(port_of(node), post(request.encode(), path=b"/any/path?x=1"))
        assert received == answered(expected.encode())


@pytest.mark.parametrize(
    ("call_id", "shown"),
    [
        (b"1", b"1"),
        (b"-5", b"-5"),
        (b"0", b"0"),
        (b"9007199254740993", b"9007199254740993"),
        (b'"x\\u00e9"', b'"x\\u00e9"'),
    ],
)
async def test_the_id_comes_back_as_it_was(call_id: bytes, shown: bytes, backend: tuple[Node, EdgeCaller]) -> None:
    node, _ = backend
    request = b'{"jsonrpc":"2.0","id":%b,"method":"get_node_service_prefix","params":{}}' % call_id
    result = b'{"status":0,"node_service_prefix":"genivi.org/backend/","method":"get_node_service_prefix"}'
    assert await exchange(port_of(node), post(request)) == answered(
        b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (shown, result)
    )


async def test_the_prefix_may_be_asked_for_in_part(backend: tuple[Node, EdgeCaller]) -> None:
    _, core = backend
    for params, prefix in (
        ({}, "genivi.org/backend/"),
        ({"full": True}, "genivi.org/backend/"),
        ({"full": 1}, "genivi.org/backend/"),
        ({"full": False}, "genivi.org"),
        ({"full": 0}, "genivi.org"),
        ([], "genivi.org/backend/"),
    ):
        result = await core.result("get_node_service_prefix", params)
        assert result == {"status": 0, "node_service_prefix": prefix, "method": "get_node_service_prefix"}
    refused = {"status": 1, "method": "get_node_service_prefix"}
    assert await core.result("get_node_service_prefix", {"full": 2}) == refused


@pytest.mark.parametrize("params", [{}, [], [1], None])
async def test_available_services_may_be_asked_for_with_anything(params: Any, backend: tuple[Node, EdgeCaller]) -> None:
    _, core = backend
    expected = {"status": 0, "services": [], "method": "get_available_services"}
    assert await core.result("get_available_services", params) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"jsonrpc":"2.0","id":1,"method":"message"}',
        b'{"id":1,"method":"message","params":{}}',
        b'{"jsonrpc":"1.0","id":1,"method":"message","params":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":7,"params":{}}',
        b'"text"',
        b"",
        b"\xff",
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b"[" * 100_000,
    ],
)
async def test_what_is_no_json_rpc_is_said_without_an_id(body: bytes, backend: tuple[Node, EdgeCaller]) -> None:
    node, _ = backend
    expected = b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"json error"}}'
    assert await exchange(port_of(node), post(body)) == answered(expected)


async def test_an_unknown_method_has_status_1(backend: tuple[Node, EdgeCaller]) -> None:
    _, core = backend
    assert await core.call("nothing", {}) == {"jsonrpc": "2.0", "id": 1, "result": {"status": 1}}


async def test_a_vehicle_schedules_nothing(identities: Identities, tmp_path: Path) -> None:
    async with running(vehicle_settings(identities, tmp_path, "tls://127.0.0.1:1")) as (_, client):
        assert await client.result("schedule_update", []) == {"status": 1}


async def test_a_notification_gets_an_empty_answer(identities: Identities, tmp_path: Path) -> None:
    async with running(backend_settings(identities, tmp_path)) as (node, core):
        request = b'{"jsonrpc":"2.0","method":"get_available_services","params":{}}'
        assert await exchange(port_of(node), post(request)) == HEAD % 0
        params = {"service_name": f"{VEHICLE}/notify", "timeout": 60_000, "parameters": []}
        await core.post(json.dumps({"jsonrpc": "2.0", "method": "message", "params": params}).encode())
        assert node.store.messages == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"404 Not Found"),
        (post(b"[]"), b"501 Internal Error"),
        (post(b"{}", content_type=b"text/plain"), b"415 Unsupported Media Type"),
        (post(b"{}", b"Origin: http://example.com"), b"403 Forbidden"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 11_000_000,
            b"413 Content Too Large",
        ),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 70_000, b"413 Content Too Large"),
    ],
)
async def test_what_the_edge_refuses(request_bytes: bytes, status: bytes, backend: tuple[Node, EdgeCaller]) -> None:
    node, _ = backend
    received = await exchange(port_of(node), request_bytes)
    assert received.startswith(b"HTTP/1.1 " + status + b"\r\n")


@pytest.mark.parametrize("cut", [1, 60, 240, 1000])
async def test_a_wish_for_another_protocol_is_passed_over(cut: int, backend: tuple[Node, EdgeCaller]) -> None:
    """Some libraries ask for HTTP/2 with their first request."""
    request, answer = (
        b'{"jsonrpc":"2.0","id":%d,"method":"x","params":{}}',
        b'{"jsonrpc":"2.0","id":%d,"result":{"status":1}}',
    )
    wish = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAAB")
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(backend[0]))
    async with asyncio.timeout(20):
        for number in range(3):
            sent = post(request % number, *(wish if number < 2 else ()))
            writer.write(sent[:cut])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(sent[cut:])
            expected = answered(answer % number)
            assert await reader.readexactly(len(expected)) == expected
    writer.close()


@pytest.mark.parametrize("more", [b"x", b"POST / HTTP/1.1\r\n\r\n"])
async def test_nothing_may_stand_behind_a_wish_for_another_protocol(
    more: bytes, backend: tuple[Node, EdgeCaller]
) -> None:
    sent = post(b"{}", b"Connection: Upgrade", b"Upgrade: h2c") + more
    assert (await exchange(port_of(backend[0]), sent)).startswith(b"HTTP/1.1 404 Not Found\r\n")
    handshake = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert (await exchange(port_of(backend[0]), handshake)).startswith(b"HTTP/1.1 404 Not Found\r\n")


async def test_what_is_no_post_is_told_so_in_the_words_of_a_real_node(backend: tuple[Node, EdgeCaller]) -> None:
    node, _ = backend
    text = b"Object not found. Try using POST method."
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n" % len(text)
    assert await exchange(port_of(node), b"GET /any HTTP/1.1\r\nHost: x\r\n\r\n") == head + text


@pytest.mark.parametrize(
    "content_type", [b"application/json; charset=utf-8", b"application/json-rpc", b"application/jsonrequest"]
)
async def test_every_name_of_json_is_accepted(content_type: bytes, backend: tuple[Node, EdgeCaller]) -> None:
    node, _ = backend
    request = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{}}'
    received = await exchange(port_of(node), post(request, content_type=content_type))
    assert received == answered(b'{"jsonrpc":"2.0","id":1,"result":{"status":1}}')


@pytest.mark.parametrize("piece", [1, 7, 100, 331, 1000, 100_000])
async def test_requests_are_understood_however_they_are_cut(piece: int, backend: tuple[Node, EdgeCaller]) -> None:
    bodies = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": "nothing", "params": ["x" * size]}).encode()
        for number, size in enumerate((0, 0, 3000, 0, 20_000))
    ]
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(bodies[1]), bodies[1])
    chunked = post(b"").replace(b"Content-Length: 0\r\n\r\n", chunks)
    sent = b"".join((*map(post, bodies), chunked, *map(post, bodies)))
    answers = b"".join(
        answered(b'{"jsonrpc":"2.0","id":%d,"result":{"status":1}}' % number)
        for number in (0, 1, 2, 3, 4, 1, 0, 1, 2, 3, 4)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(backend[0]))
    for start in range(0, len(sent), piece):
        writer.write(sent[start : start + piece])
        if start < 3000 or piece > 1:
            await writer.drain()
            await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await reader.readexactly(len(answers)) == answers
    writer.close()


async def test_chunks_pipelining_and_expectations_are_understood(backend: tuple[Node, EdgeCaller]) -> None:
    node, _ = backend
    request = b'{"jsonrpc":"2.0","id":%d,"method":"x","params":{}}'
    answer = b'{"jsonrpc":"2.0","id":%d,"result":{"status":1}}'
    head = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = request % 1
    chunked = head + b"5\r\n" + body[:5] + b"\r\n%x\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\n\r\n"
    assert await exchange(port_of(node), chunked) == answered(answer % 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(node))
    writer.write(b"".join(post(request % number) for number in range(20)))
    expected = b"".join(answered(answer % number) for number in range(20))
    assert await reader.readexactly(len(expected)) == expected
    writer.write(post(body, b"Expect: 100-continue")[: -len(body)])
    assert await reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert await reader.readexactly(len(answered(answer % 1))) == answered(answer % 1)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "params",
    [
        {"timeout": 60_000, "parameters": []},
        {"service_name": f"{VEHICLE}/notify", "parameters": []},
        {"service_name": f"{VEHICLE}/notify", "timeout": 60_000},
        {"service_name": f"{VEHICLE}/notify", "timeout": "60000", "parameters": []},
        {"service_name": f"{VEHICLE}/notify", "timeout": 1.5, "parameters": []},
        {"service_name": f"{VEHICLE}/notify", "timeout": True, "parameters": []},
        {"service_name": f"{VEHICLE}/notify", "timeout": 60_000, "parameters": "text"},
        {"service_name": f"{VEHICLE}/notify", "timeout": 60_000, "parameters": None},
        {"service_name": f"{VEHICLE}/notify", "timeout": 60_000, "parameters": 5},
        {"service_name": f"{VEHICLE}/notify", "timeout": 60_000, "parameters": [2**64]},
        {"service_name": f"{VEHICLE}/notify", "timeout": 60_000, "parameters": [-(2**63) - 1]},
        [],
        "text",
    ],
)
async def test_a_message_that_would_harm_a_node_is_refused_at_once(
    params: Any, identities: Identities, tmp_path: Path
) -> None:
    async with running(backend_settings(identities, tmp_path)) as (node, core):
        assert (await core.call("message", params))["error"]["code"] == -32603
        assert node.store.messages == 0
        assert await core.send(f"{VEHICLE}/notify", "good") == 1


@pytest.mark.parametrize("extra", [{}, {"calling_service": "x", "transaction_id": 5, "rvi_log_id": "y"}])
async def test_transactions_are_counted(extra: dict[str, Any], identities: Identities, tmp_path: Path) -> None:
    async with running(backend_settings(identities, tmp_path)) as (_, core):
        for number in (1, 2):
            params = {"service_name": f"{VEHICLE}/notify", "timeout": int(time.time()) + 9, "parameters": {}, **extra}
            expected = {"status": 0, "transaction_id": number, "method": "message"}
            assert await core.result("message", params) == expected


@pytest.mark.parametrize(
    "name", ["/control", "/sota/notify", f"{BACKEND}/start", "", "//sota/start", "sota/" + "x" * 300]
)
async def test_only_services_of_the_whitelist_are_registered(
    name: str, backend: tuple[Node, EdgeCaller], service: RecordingService
) -> None:
    node, core = backend
    error = (await core.call("register_service", {"service": name, "network_address": service.url()}))["error"]
    assert (error["code"], error["data"]["code"]) == (-32603, "unknown_service")
    assert node.known_services() == []


async def test_a_message_outside_the_whitelist_is_refused(backend: tuple[Node, EdgeCaller]) -> None:
    node, core = backend
    for name in (f"genivi.org/vin/{VIN}/control/doors", f"{VEHICLE}/ack", "anything"):
        error = (await core.call("message", {"service_name": name, "timeout": 60_000, "parameters": []}))["error"]
        assert error["data"]["code"] == "unknown_service"
    assert node.store.messages == 0


async def test_the_operator_may_let_other_services_pass(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    async with running(backend_settings(identities, tmp_path, extra_services=("control",))) as (_, core):
        assert await core.register("control", service.url()) == "genivi.org/backend/control"
        assert await core.send(f"genivi.org/vin/{VIN}/control/doors", None) == 1


@pytest.mark.parametrize(
    ("name", "full", "called"),
    [
        ("control", "genivi.org/backend/control", "/control"),
        ("/control", "genivi.org/backend/control", "/control"),
        ("//p/b", "genivi.org/backend//p/b", "/p/b"),
        ("", "genivi.org/backend/", "/"),
        ("genivi.org/backend/x", "genivi.org/backend/genivi.org/backend/x", "/genivi.org/backend/x"),
    ],
)
async def test_names_are_made_as_by_a_real_node(
    name: str, full: str, called: str, identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    """Where the operator lets everything pass."""
    rights = identities.with_rights("everything", ["genivi.org/"], ["genivi.org/"])
    async with running(backend_settings(identities, tmp_path, identity=rights, extra_services=("",))) as (_, core):
        assert await core.register(name, service.url("/cb/path?x=1")) == full
        await core.send(full, {"a": 1})
        assert [message["service_name"] for message in await service.wait_for(1)] == [called]
        assert service.calls[-1][0] == "/cb/path?x=1"


@pytest.mark.parametrize(
    "address", ["", "ftp://x/", "http://", "/path", "http://[", "http://x:99999/", "http://" + "x" * 3000]
)
async def test_an_address_that_cannot_be_called_is_refused(address: str, backend: tuple[Node, EdgeCaller]) -> None:
    node, core = backend
    error = (await core.call("register_service", {"service": "/sota/start", "network_address": address}))["error"]
    assert error["data"]["code"] == "invalid"
    assert node.known_services() == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("register_service", {}),
        ("register_service", []),
        ("register_service", {"service": "/sota/start"}),
        ("register_service", {"service": 7, "network_address": "http://127.0.0.1:1"}),
        ("unregister_service", {}),
        ("unregister_service", None),
    ],
)
async def test_what_an_argument_is_missing_in_is_refused(
    method: str, params: Any, backend: tuple[Node, EdgeCaller]
) -> None:
    _, core = backend
    answer = await core.call(method, params, "an id")
    assert (answer["id"], answer["error"]["code"]) == ("an id", -32603)


async def test_unregistering_needs_the_full_name(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    async with running(backend_settings(identities, tmp_path)) as (node, core):
        full = await core.register("/sota/start", service.url())
        for name, left in (("/sota/start", [full]), (full, []), (full, [])):
            expected = {"status": 0, "method": "unregister_service"}
            assert await core.result("unregister_service", {"service": name}) == expected
            assert node.known_services() == left


async def test_one_edge_serves_many_callers(identities: Identities, tmp_path: Path) -> None:
    async with running(backend_settings(identities, tmp_path)) as (node, _):
        callers = [EdgeCaller(node.edge_url) for _ in range(20)]
        numbers = await asyncio.gather(*(caller.send(f"{VEHICLE}/notify", n) for n, caller in enumerate(callers)))
        assert sorted(numbers) == list(range(1, 21))
        await wait_until(lambda: node.store.messages == 20)
        for caller in callers:
            await caller.client.close()
