"""What tests of the RVI node need: nodes with real sockets, services that record, and peers that speak raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import msgpack

from sota.boundaries.authority import Authority
from sota.kit.http.client import HttpClient
from sota.rvi.codec import JSON, MSGPACK, Codec, Decoder, Packet
from sota.rvi.credentials import Identity
from sota.rvi.link import client_context, server_context
from sota.rvi.node import Node
from sota.rvi.settings import NodeSettings
from tests.support.processes import free_ports
from tests.support.waiting import until

PATIENCE_S = 20.0  # generous: a busy machine is no fault
VIN = "WVW00000000000001"
OTHER_VIN = "WVW00000000000002"
BACKEND = "genivi.org/backend/sota"
VEHICLE = f"genivi.org/vin/{VIN}/sota"
OK = b'{"jsonrpc":"2.0","id":1,"result":{"status":0}}'


class Identities:
    """One authority and the identities it gave, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.open(folder / "authority")

    @property
    def backend(self) -> Path:
        return self._made("backend", self.authority.issue_backend)

    def vehicle(self, vin: str = VIN) -> Path:
        return self._made(vin, lambda folder: self.authority.issue_vehicle(vin, folder))

    def with_rights(self, name: str, receive: list[str], invoke: list[str]) -> Path:
        return self._made(name, lambda folder: self.authority.issue(folder, name, receive=receive, invoke=invoke))

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        folder = self.folder / name
        if not (folder / "credential.jwt").exists():
            make(folder)
        return folder


@dataclass
class RecordingService:
    """A local service: an HTTP server that keeps what it was called with. ``answer`` may delay or refuse."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    status: int = 200
    answer: Callable[[str, dict[str, Any]], Awaitable[None]] | None = None
    port: int = 0
    accepted: int = 0
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> RecordingService:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self._server = None

    def url(self, path: str = "/callback") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def messages(self, path: str | None = None) -> list[dict[str, Any]]:
        return [
            call["params"] for at, call in self.calls if call["method"] == "message" and (path is None or at == path)
        ]

    def notices(self, method: str, path: str | None = None) -> list[str]:
        chosen = [call for at, call in self.calls if call["method"] == method and (path is None or at == path)]
        return [name for call in chosen for name in call["params"]["services"]]

    async def wait_for(self, count: int, timeout_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        await wait_until(lambda: len(self.messages()) >= count, f"{count} messages", timeout_s)
        return self.messages()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.accepted += 1
        try:
            while True:
                path, body = await _read_request(reader)
                call = json.loads(body)
                if self.answer is not None:
                    await self.answer(path, call)
                self.calls.append((path, call))
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (self.status, len(OK), OK))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head.split(b" ")[1].decode(), await reader.readexactly(int(length.split(b":")[1]))


async def wait_until(condition: Callable[[], object], what: str = "it is so", timeout_s: float = PATIENCE_S) -> None:
    """Wait until this is true, at most so long."""

    async def look() -> object:
        return condition()

    await until(look, what, timeout_s=timeout_s, interval_s=0.005)


class EdgeCaller:
    """A local program that calls its node's edge."""

    def __init__(self, url: str) -> None:
        self.client = HttpClient(url)

    async def call(self, method: str, params: Any, call_id: Any = 1) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}
        _, answer = await self.post(json.dumps(request).encode())
        decoded: dict[str, Any] = json.loads(answer)
        return decoded

    async def post(self, body: bytes) -> tuple[int, bytes]:
        response = await self.client.request("POST", "/", body=body, headers={"content-type": "application/json"})
        return response.status, response.body

    async def result(self, method: str, params: Any) -> dict[str, Any]:
        result: dict[str, Any] = (await self.call(method, params))["result"]
        return result

    async def register(self, service: str, url: str) -> str:
        return str((await self.result("register_service", {"service": service, "network_address": url}))["service"])

    async def send(self, service: str, body: Any, ends_at: int | None = None) -> int:
        ends_at = int(time.time()) + 60 if ends_at is None else ends_at
        params = {"service_name": service, "timeout": ends_at, "parameters": [body]}
        return int((await self.result("message", params))["transaction_id"])


@contextlib.asynccontextmanager
async def running(settings: NodeSettings) -> AsyncIterator[tuple[Node, EdgeCaller]]:
    """A running node, and a caller of its edge."""
    node = Node(settings)
    await node.start()
    caller = EdgeCaller(node.edge_url)
    try:
        yield node, caller
    finally:
        await caller.client.close()
        await node.stop()


def backend_settings(identities: Identities, data: Path, **changes: Any) -> NodeSettings:
    """A backend node on free ports."""
    changes.setdefault("tls_port", free_ports(1)[0])
    return NodeSettings(**{"identity": identities.backend, "data": data, "edge_port": 0, "drain_s": 1.0, **changes})


def vehicle_settings(identities: Identities, data: Path, peer: str, vin: str = VIN, **changes: Any) -> NodeSettings:
    """A vehicle's node that connects to ``peer``."""
    base = {"role": "client", "prefix": f"genivi.org/vin/{vin}", "identity": identities.vehicle(vin), "data": data}
    ports = {"edge_port": 0, "tls_port": 0, "peers": (peer,), "reconnect_s": 0.05, "reconnect_max_s": 0.2}
    return NodeSettings(**{**base, **ports, "drain_s": 1.0, **changes})


class RawPeer:
    """Another node, as bytes: what a test sends is what goes out, what came in can be read packet by packet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, codec: Codec) -> None:
        self.reader, self.writer, self.codec = reader, writer, codec
        self.received = b""
        self._decoder = Decoder(None, 64 << 20)
        self._packets: list[Packet] = []

    @classmethod
    async def connect(
        cls, port: int, identity: Path | None, codec: Codec = MSGPACK, tls: ssl.SSLContext | None = None
    ) -> RawPeer:
        """Connect to a node: over TLS with this identity, over TCP without one."""
        if identity is not None and tls is None:
            tls = client_context(Identity.read(identity, time.time()))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        return cls(reader, writer, codec)

    def send(self, fields: dict[str, Any]) -> None:
        packed = msgpack.packb(fields, use_bin_type=False) if self.codec is MSGPACK else _compact(fields)
        self.writer.write(packed)

    def send_raw(self, content: bytes) -> None:
        self.writer.write(content)

    async def greet(self, *tokens: object) -> None:
        """Present these credentials, and read the node's greeting and announcement."""
        self.send({"cmd": "au", "ver": self.codec.version, "creds": list(tokens)})
        assert (await self.read()).cmd == "au"
        assert (await self.read()).cmd == "sa"

    async def read(self, timeout_s: float = PATIENCE_S) -> Packet:
        """Read the next packet."""
        async with asyncio.timeout(timeout_s):
            while not self._packets:
                content = await self.reader.read(1 << 16)
                if not content:
                    raise EOFError
                self.received += content
                self._packets += self._decoder.feed(content)
        return self._packets.pop(0)

    async def is_cut_off(self, timeout_s: float = 8.0) -> bool:
        """Report whether the node ends the connection."""
        try:
            while True:
                await self.read(timeout_s)
        except (EOFError, ConnectionError, ssl.SSLError):
            return True
        except TimeoutError:
            return False

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(2):
                await self.writer.wait_closed()


class RawListener:
    """A node that others connect to, as bytes."""

    def __init__(self, identity: Path | None, codec: Codec) -> None:
        self._identity, self._codec = identity, codec
        self.port = 0
        self._peers: asyncio.Queue[RawPeer] = asyncio.Queue()
        self._all: list[RawPeer] = []
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> RawListener:
        if self._identity is not None and tls is None:
            tls = server_context(Identity.read(self._identity, time.time()))
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def peer(self, timeout_s: float = PATIENCE_S) -> RawPeer:
        """Take the next connection."""
        async with asyncio.timeout(timeout_s):
            return await self._peers.get()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for peer in self._all:
            await peer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer, self._codec)
        self._all.append(peer)
        self._peers.put_nowait(peer)


def token(identity: Path) -> str:
    """Read the credential of an identity."""
    return (identity / "credential.jwt").read_text()


def credential_id(identity: Path) -> str:
    """Return the id of an identity's credential, as the node adds it to each message."""
    return Identity.read(identity, time.time()).rights.credentials[0].id


async def exchange(port: int, request: bytes, timeout_s: float = PATIENCE_S) -> bytes:
    """Send bytes to an edge, and read one answer or the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    received = b""
    done: list[bool] = []

    class Collect:
        def on_message_complete(self) -> None:
            done.append(True)

    parser = httptools.HttpResponseParser(Collect())
    try:
        async with asyncio.timeout(timeout_s):
            while not done and (content := await reader.read(1 << 16)):
                received += content
                parser.feed_data(content)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return received


def _compact(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


__all__ = ["BACKEND", "JSON", "MSGPACK", "OTHER_VIN", "VEHICLE", "VIN"]
