"""What counts as the answer of a local service, byte by byte: simple ones speak HTTP/1.0 and close after each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sota.rvi import callback
from tests.support.machine import LACKS, why_no_network_namespace
from tests.support.plain_service import CALLS
from tests.support.rvi import (
    BACKEND,
    OK,
    Identities,
    RawPeer,
    RecordingService,
    backend_settings,
    running,
    token,
    wait_until,
)


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.0 200 OK\r\nContent-type: application/json\r\n\r\n{"jsonrpc":"2.0","id":1,"result":{"status":0}}',
        b"HTTP/1.0 400 Bad Request\r\n\r\nmethod not found",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
async def test_a_simple_service_that_closes_after_each_answer_is_called_once_a_message(
    answer: bytes, identities: Identities, tmp_path: Path
) -> None:
    called: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        called.append(json.loads(await reader.readexactly(length))["params"]["parameters"])
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        settings = backend_settings(identities, tmp_path)
        async with running(settings) as (_, core):
            await core.register("/sota/report", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            peer = await RawPeer.connect(settings.tls_port, identities.vehicle())
            await peer.greet(token(identities.vehicle()))
            for number in range(3):
                data = {"service": f"{BACKEND}/report", "timeout": 1, "parameters": [number]}
                peer.send({"tid": 1, "cmd": "rcv", "mod": "proto_msgpack_rpc", "data": data})
            await wait_until(lambda: [2] in called)
            assert called == [[0], [1], [2]]
            await peer.close()


async def test_an_answer_that_is_cut_off_is_none(identities: Identities, tmp_path: Path) -> None:
    called: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(await reader.readuntil(b"\r\n\r\n"))
        parts = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
            b"HTTP/1.1 200 OK\r\nX: ",
            b"HTTP/1.0 200 OK\r\n\r\n",
        )
        writer.write(parts[len(called) - 1])
        await reader.read(1 << 16)
        writer.close()
        await writer.wait_closed()

    rights = identities.with_rights("both-ways", ["genivi.org/backend/"], ["genivi.org/"])
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        settings = backend_settings(identities, tmp_path, identity=rights)
        async with running(settings) as (_, core):
            await core.register("/sota/report", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            assert await core.send(f"{BACKEND}/report", 1) == -1
            assert len(called) == 3


async def test_callbacks_are_byte_by_byte_those_of_a_real_node(
    identities: Identities, tmp_path: Path, service: RecordingService
) -> None:
    """Except for the port in ``Host``; a message from another node also has its sender."""
    called: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                called.append(head + await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(OK), OK))
        writer.close()

    def expected(port: int, method: str, params: str) -> bytes:
        body = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}'
        head = f"POST /cb/path?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    rights = identities.with_rights("both-ways", ["genivi.org/backend/"], ["genivi.org/"])
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = backend_settings(identities, tmp_path, identity=rights, extra_services=("control",))
        async with running(settings) as (_, core):
            await core.register("/sota/start", f"http://127.0.0.1:{port}/cb/path?x=1")
            params = {"service_name": f"{BACKEND}/start", "timeout": 60_000, "parameters": {"a": 1, "b": "x"}}
            await core.result("message", params)
            await core.register("control", service.url())
            await wait_until(lambda: len(called) == 2)
            await core.result("unregister_service", {"service": "genivi.org/backend/control"})
            await wait_until(lambda: len(called) == 3)
    assert called == [
        expected(port, "message", '{"service_name":"/sota/start","parameters":{"a": 1, "b": "x"}}'),
        expected(port, "services_available", '{"services":["genivi.org/backend/control"]}'),
        expected(port, "services_unavailable", '{"services":["genivi.org/backend/control"]}'),
    ]
    assert service.notices("services_available") == [], "who owns a service is not told of it"


async def test_a_program_that_serves_one_connection_at_a_time_may_have_several_services(
    identities: Identities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "KEPT_IDLE_S", 0.1)
    called: list[str] = []
    turn = asyncio.Lock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with turn:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                    called.append(json.loads(await reader.readexactly(length))["params"]["service_name"])
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(OK), OK))
        writer.close()

    rights = identities.with_rights("both-ways", ["genivi.org/backend/"], ["genivi.org/"])
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with running(backend_settings(identities, tmp_path, identity=rights)) as (_, core):
            names = [f"/sota/{name}" for name in ("start", "ack", "report")]
            for name in names:
                await core.register(name, address)
            for name in names:
                await core.send(f"genivi.org/backend{name}", 1)
            assert called == names


@pytest.mark.skipif(why_no_network_namespace() is not None, reason=f"{LACKS}{why_no_network_namespace()}")
def test_a_service_that_writes_head_and_body_apart_is_not_kept_waiting() -> None:
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-m", "tests.support.plain_service"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    answered, delays = map(int, done.stdout.split())
    assert answered == CALLS
    assert delays < CALLS // 5, "40 ms each, one for every call"
